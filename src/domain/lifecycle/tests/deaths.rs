//! plugd died while a plugin was being started: what the next plugd makes of that.

use super::*;
use crate::domain::{Confinement, Exit, RunEvent};

/// The lifecycle after the start of a plugd that finds this record.
fn boot(state: State, deaths: u32, observed: u64) -> Lifecycle {
    let mut plugin = mk_plugin(Mode::Supervised, ActiveState::Active);
    plugin.reported.state = state;
    plugin.reported.deaths_at_start = deaths;
    plugin.reported.observed_generation = observed;
    let mut lifecycle = Lifecycle::new(&plugin, Supervision::default(), RunId::from_bytes([1; 12]));
    lifecycle.step(moment(), Event::DesiredChanged(Arc::new(plugin.desired)));
    lifecycle
}

fn moment() -> Moment {
    Moment { now: Timestamp::UNIX_EPOCH, fresh: RunId::from_bytes([2; 12]) }
}

fn standing(lifecycle: &Lifecycle) -> (State, u32) {
    (lifecycle.reported().state, lifecycle.reported().deaths_at_start)
}

#[test]
fn a_plugin_in_whose_start_plugd_died_three_times_is_not_started_again() {
    for state in [State::Starting, State::Connecting] {
        assert_eq!(standing(&boot(state, 0, 1)), (State::Starting, 1));
        assert_eq!(standing(&boot(state, 1, 1)), (State::Starting, 2));
        let given_up = boot(state, 2, 1);
        assert_eq!(standing(&given_up), (State::Error, 3));
        assert!(given_up.reported().message().starts_with("plugd ended 3 times while"), "{given_up:?}");
    }
    assert_eq!(standing(&boot(State::Error, 3, 1)), (State::Error, 3), "nor by the plugd after that");
}

#[test]
fn a_death_of_plugd_is_held_against_none_that_was_not_in_its_start() {
    use State::{Active, Error, Inactive, Restarting, Stopping};
    for state in [Active, Error, Inactive, Restarting, Stopping] {
        assert_eq!(standing(&boot(state, 2, 1)), (State::Starting, 0), "{state:?}");
    }
    assert_eq!(standing(&boot(State::Starting, 2, 0)), (State::Starting, 0), "somebody asked for something else since");
}

#[test]
fn whoever_connects_and_whoever_is_asked_for_begins_afresh() {
    let run = moment().fresh;
    let mut connected = boot(State::Starting, 1, 1);
    connected.step(
        moment(),
        Event::Run {
            run,
            event: RunEvent::Spawned { pid: Some(7), confinement: Some(Confinement::Off), placement: None },
        },
    );
    connected.step(moment(), Event::Run { run, event: RunEvent::Connected });
    assert_eq!(standing(&connected), (State::Active, 0));
    let mut failed = boot(State::Starting, 1, 1);
    failed.step(
        moment(),
        Event::Run { run, event: RunEvent::Exited(Exit { code: Some(1), signal: None, out_of_memory: false }) },
    );
    assert_eq!(standing(&failed), (State::Stopping, 2), "a start that fails is none that went well");
    let changes: [fn(&mut Desired); 3] =
        [|new| new.active_generation = 2, |new| new.restart_generation = 2, |new| new.package = Some(Digest([3; 32]))];
    for change in changes {
        let mut given_up = boot(State::Starting, 2, 1);
        let mut desired = mk_plugin(Mode::Supervised, ActiveState::Active).desired;
        desired.generation = 2;
        change(&mut desired);
        given_up.step(moment(), Event::DesiredChanged(Arc::new(desired)));
        assert_eq!(standing(&given_up), (State::Starting, 0));
    }
}
