//! The next plugd while something of the last one still lives: nothing is started beside it.

use std::time::Duration;

use plugd::api::v1::ReportedState::{Active, Starting};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::{
    kills::{KNOBS, SCRIPT, members, succeeded},
    lone::Lone,
    repeat, resumed, rounds,
};
use crate::harness::{Plugd, kill_9, state_of, status_of};

/// What plugd says while it holds starts back, and when it does so no longer.
const WAITS: &str = "something that an earlier plugd started still lives";
const GOES_ON: &str = "nothing of an earlier plugd lives any more";

/// How long is looked for a start that must not be: many times as long as one takes.
const A_WHILE: Duration = Duration::from_secs(2);

/// A process that is suspended until this is dropped: also when an assertion fails, so that it can end.
struct Suspended(Pid);

impl Suspended {
    fn new(pid: u32) -> Self {
        let suspended = Self(Pid::from_raw(pid.try_into().unwrap()).unwrap());
        kill_process(suspended.0, Signal::STOP).unwrap();
        suspended
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        // Who was killed meanwhile needs nothing.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Nobody is left who could end the run: plugd serves, and starts nothing until the keeper goes on, and has given up an
/// init that does nothing.
async fn hold_back(plugd: &mut Plugd, plugin: &Lone) {
    let api = plugd.api();
    let first = api.activate(&plugin.id).await.unwrap();
    let cursor = api.live().await.cursor;
    let [_, _, keeper, init] = members(plugd);
    let (keeper, _init) = (Suspended::new(keeper), Suspended::new(init));
    kill_9(plugd.pid());
    plugd.ended().await;
    plugd.restart().await;

    let mut watch = resumed(plugd, &cursor).await;
    watch.until_state(&plugin.id, Starting).await;
    let early = timeout(A_WHILE, watch.until_state(&plugin.id, Active)).await;
    assert!(early.is_err(), "it is started beside what lives: {early:?}");
    let waiting = plugd.api().get(&plugin.id).await.unwrap();
    assert_eq!((state_of(&waiting), status_of(&waiting).pid), (Starting, None));
    assert!(!plugin.has_ended(), "nobody has ended it");
    assert!(plugd.said().contains(WAITS) && !plugd.said().contains(GOES_ON), "{}", plugd.said());

    drop(keeper);
    succeeded(&mut resumed(plugd, &cursor).await, plugin, &first).await;
    assert!(plugd.said().contains(GOES_ON), "{}", plugd.said());
}

#[tokio::test]
async fn a_keeper_and_an_init_do_nothing_when_plugd_is_killed() {
    let mut plugd = Plugd::with(KNOBS).await;
    let plugin = Lone::install_script(&plugd, SCRIPT).await;
    let scenario = "kill -9 of plugd while its keeper is suspended: the next one waits, and serves meanwhile";
    repeat(scenario, rounds(1, 20), async |_| hold_back(&mut plugd, &plugin).await).await;
}
