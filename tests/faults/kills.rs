//! `kill -9` of those that look after plugins: plugd, the two processes of its keeper, the init of a run.

use plugd::api::v1::{Plugin, PluginEvent, ReportedState::Active};

use super::{lone::Lone, repeat, resumed, rounds};
use crate::harness::{Plugd, Watch, children, eventually, kill_9, status_of};

pub(super) const KNOBS: crate::harness::Knobs = &[
    ("PLUGD_BACKOFF", "10ms"),
    ("PLUGD_MAX_BACKOFF", "20ms"),
    ("PLUGD_GRACE", "1h"),
    ("PLUGD_MAX_RESTART_ATTEMPTS", "1000000"),
];

/// What a run of the plugin is: processes that stay, one of them with a session and an environment of its own.
pub(super) const SCRIPT: &str = "(env -i PATH=\"$PATH\" setsid sleep 1000 &); exec chaos grandchild";

/// Who may be killed, from plugd down to the init of the run.
const MEMBERS: [&str; 4] = ["plugd", "the keeper's first process", "the keeper's second process", "an init"];

/// Their pids: each is the parent of the next.
pub(super) fn members(plugd: &Plugd) -> [u32; MEMBERS.len()] {
    let only = |of: u32, children: Vec<u32>| {
        let [only] = children[..] else { panic!("one child of {of}: {children:?}") };
        only
    };
    let first = only(plugd.pid(), children(plugd.pid()));
    let second = only(first, children(first));
    // Another init waits for its orders, and has no children.
    let inits = children(second).into_iter().filter(|init| !children(*init).is_empty());
    [plugd.pid(), first, second, only(second, inits.collect())]
}

/// Kills these at once. There is one instance after that, and a watch that resumes says how it came.
async fn kill_together(plugd: &mut Plugd, plugin: &Lone, killed: &[usize]) {
    let api = plugd.api();
    let first = api.activate(&plugin.id).await.unwrap();
    let mut watch = api.live().await;
    let pids = members(plugd);
    killed.iter().for_each(|member| kill_9(pids[*member]));
    if killed.contains(&0) {
        // Nobody waits for what it left: the next one does.
        plugd.ended().await;
        plugd.restart().await;
        watch = resumed(plugd, &watch.cursor).await;
    }
    let events = succeeded(&mut watch, plugin, &first).await;
    let [.., init] = members(plugd);
    assert_eq!(children(init).first(), Some(&status_of(events.last().unwrap().plugin.as_ref().unwrap()).pid()));
}

/// What a watch says until the plugin is active in another run than at first: one instance at a time, and no more now.
pub(super) async fn succeeded(watch: &mut Watch, plugin: &Lone, first: &Plugin) -> Vec<PluginEvent> {
    let run = &status_of(first).run_id;
    let events = watch
        .until(|event| {
            let status = status_of(event.plugin.as_ref().unwrap());
            status.state() == Active && status.run_id != *run
        })
        .await;
    plugin.assert_one_at_a_time(&events);
    plugin.assert_alone();
    events
}

async fn scenario(name: &str, rounds: usize, killed: &[&[usize]]) {
    let mut plugd = Plugd::with(KNOBS).await;
    let plugin = Lone::install_script(&plugd, SCRIPT).await;
    repeat(name, rounds, async |round| kill_together(&mut plugd, &plugin, killed[round % killed.len()]).await).await;
    plugd.kill_9().await;
    eventually("the end of all of it", || plugin.has_ended().then_some(())).await;
}

#[tokio::test]
async fn each_is_killed_in_turn() {
    for (member, name) in MEMBERS.iter().enumerate() {
        scenario(&format!("kill -9 of {name}"), rounds(2, 100), &[&[member]]).await;
    }
}

#[tokio::test]
async fn two_are_killed_at_once() {
    const PAIRS: [&[usize]; 6] = [&[0, 1], &[0, 2], &[0, 3], &[1, 2], &[1, 3], &[2, 3]];
    scenario("kill -9 of two of them at once, each pair in turn", rounds(6, 600), &PAIRS).await;
}
