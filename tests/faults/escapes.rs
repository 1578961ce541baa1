//! Processes that do not want to be found.

use plugd::api::v1::{
    Confinement,
    ReportedState::{Active, Starting},
};

use super::{lone::Lone, repeat, rounds, skip};
use crate::harness::{Plugd, eventually, gone, is_alive, kill_9, status_of};

const KNOBS: crate::harness::Knobs = &[
    ("PLUGD_BACKOFF", "10ms"),
    ("PLUGD_MAX_BACKOFF", "20ms"),
    ("PLUGD_GRACE", "50ms"),
    ("PLUGD_MAX_RESTART_ATTEMPTS", "1000000"),
];

/// Two forks, a session and an environment of its own, deaf to signals, and its output held open.
const HERMIT: &str = "(env -i PATH=\"$PATH\" setsid sh -c 'trap \"\" INT TERM HUP; echo hermit $$; sleep 1000; sleep 1000' &); \
                      exec chaos tame";

#[tokio::test]
async fn a_leader_that_exits_while_a_deaf_grandchild_holds_its_output() {
    let plugd = Plugd::with(KNOBS).await;
    let api = plugd.api();
    let plugin = Lone::install(&plugd, "grandchild").await;
    api.activate(&plugin.id).await.unwrap();
    let mut log = api.logs(&plugin.id).await;
    let mut watch = api.live().await;
    repeat("leader exits, a deaf grandchild holds stdout", rounds(5, 100), async |_| {
        // Two processes say these, in any order.
        let (mut grandchild, mut is_deaf) = (None, false);
        while grandchild.is_none() || !is_deaf {
            let text = log.line().await.unwrap().unwrap().text;
            is_deaf |= text.starts_with("lingering");
            grandchild = grandchild.or(text.strip_prefix("grandchild ").map(str::to_owned));
        }
        let grandchild = Plugd::pid_on_host(&plugin.id, &grandchild.unwrap());
        kill_9(status_of(&api.activate(&plugin.id).await.unwrap()).pid());
        let mut events = watch.until_state(&plugin.id, Starting).await;
        assert!(!is_alive(grandchild), "the next run begins after the last process of this one");
        events.extend(watch.until_state(&plugin.id, Active).await);
        plugin.assert_one_at_a_time(&events);
        plugin.assert_alone();
    })
    .await;
    plugin.stop(&api).await;
}

#[tokio::test]
async fn a_process_that_forks_twice_and_leaves_its_session_and_environment() {
    let plugd = Plugd::with(KNOBS).await;
    let api = plugd.api();
    let plugin = Lone::install_script(&plugd, HERMIT).await;
    let mut log = api.logs(&plugin.id).await;
    repeat("double fork, `setsid`, `env -i`", rounds(5, 100), async |_| {
        api.activate(&plugin.id).await.unwrap();
        let hermit = Plugd::pid_on_host(&plugin.id, &log.find("hermit ").await);
        assert!(is_alive(hermit));
        plugin.stop(&api).await;
        gone(hermit).await;
    })
    .await;
}

/// Eight loops, each in a session of its own, in which each process starts the next one and ends. The hundredth of a loop
/// leaves a file.
const LOOPS: &str = "for i in 1 2 3 4 5 6 7 8; do \
                     setsid perl -e 'while (1) { fork && exit; $n++ == 100 && open(F, \">looping\") }' & \
                     done; exec chaos tame";

#[tokio::test]
async fn a_fork_loop_that_never_stops() {
    const SCENARIO: &str = "fork loop that never stops: ended by a stop, and with plugd";
    let mut plugd = Plugd::with(KNOBS).await;
    let tame = Lone::install(&plugd, "tame").await;
    let held_by = status_of(&plugd.api().activate(&tame.id).await.unwrap()).confinement();
    if held_by != Confinement::Protect {
        return skip(SCENARIO, "this host lets nobody make a process namespace");
    }
    let plugin = Lone::install_script(&plugd, LOOPS).await;
    let sign = plugin.file("looping");
    repeat(SCENARIO, rounds(2, 50), async |round| {
        plugd.api().activate(&plugin.id).await.unwrap();
        eventually("a hundred processes", || sign.exists().then_some(())).await;
        if round % 2 == 1 {
            plugd.kill_9().await;
            eventually("the end of what ran", || plugin.has_ended().then_some(())).await;
            plugd.restart().await;
        }
        plugin.stop(&plugd.api()).await;
        std::fs::remove_file(&sign).unwrap();
    })
    .await;
}
