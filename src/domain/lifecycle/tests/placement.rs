//! Where a run is that is not on plugd's host, and where it was that failed.

use super::*;
use crate::domain::{Exit, Placement, RunEvent};

fn mk_placement() -> Option<Box<Placement>> {
    let (provider, name) = ("kubernetes".to_owned(), "plugd/a-pod".to_owned());
    Some(Box::new(Placement { provider, name, host: Some("a-host".to_owned()) }))
}

fn moment(run: u8) -> Moment {
    Moment { now: Timestamp::UNIX_EPOCH, fresh: RunId::from_bytes([run; 12]) }
}

/// The lifecycle of a plugin that is being started.
fn mk_lifecycle() -> Lifecycle {
    let plugin = mk_plugin(Mode::Supervised, ActiveState::Active);
    let mut lifecycle = Lifecycle::new(&plugin, Supervision::default(), RunId::from_bytes([1; 12]));
    lifecycle.step(moment(2), Event::DesiredChanged(Arc::new(plugin.desired)));
    lifecycle
}

fn happened(lifecycle: &mut Lifecycle, event: RunEvent) {
    let run = lifecycle.run();
    lifecycle.step(moment(3), Event::Run { run, event });
}

#[test]
fn a_failure_says_where_the_run_was_also_once_that_is_over() {
    let mut lifecycle = mk_lifecycle();
    happened(&mut lifecycle, RunEvent::Spawned { pid: None, confinement: None, placement: mk_placement() });
    assert_eq!(lifecycle.reported().placement, mk_placement());
    happened(&mut lifecycle, RunEvent::Exited(Exit { code: Some(3), signal: None, out_of_memory: false }));
    happened(&mut lifecycle, RunEvent::GroupEmptied);
    let reported = lifecycle.reported();
    assert_eq!((reported.state, &reported.placement), (State::Restarting, &None));
    assert_eq!(reported.failure.as_ref().unwrap().placement, mk_placement());
    lifecycle.step(moment(4), Event::TimerFired { run: lifecycle.run(), timer: Timer::Backoff });
    assert_eq!((lifecycle.reported().state, &lifecycle.reported().placement), (State::Starting, &None));
}

#[test]
fn what_was_never_placed_fails_where_its_runtime_says() {
    let mut lifecycle = mk_lifecycle();
    let failure = Failure { placement: mk_placement(), ..Failure::new(Stage::Start, "no image") };
    happened(&mut lifecycle, RunEvent::SpawnFailed(failure.clone()));
    assert_eq!(lifecycle.reported().failure, Some(failure.into()));
    let mut here = mk_lifecycle();
    happened(&mut here, RunEvent::SpawnFailed(Failure::new(Stage::Start, "no program")));
    assert_eq!(here.reported().failure.as_ref().unwrap().placement, None);
}
