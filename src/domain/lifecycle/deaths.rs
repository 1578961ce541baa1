//! plugd died while a plugin was being started: what the next plugd makes of that.

use super::{table::mk_plugin, *};
use crate::domain::Exit;

/// The record that a plugd left behind.
fn mk_record(state: State, deaths: u32) -> Plugin {
    let mut plugin = mk_plugin(Mode::Supervised, ActiveState::Active);
    plugin.reported.state = state;
    plugin.reported.deaths_at_start = deaths;
    plugin
}

/// The lifecycle after the start of a plugd that finds this record.
fn boot(plugin: &Plugin) -> Lifecycle {
    let mut lifecycle = Lifecycle::new(plugin, Policy::default(), RunId::from_bytes([1; 12]));
    lifecycle.step(moment(), Event::Booted { generation: 1 });
    lifecycle
}

/// The same, where it is its turn if it has to await one.
fn boot_alone(plugin: &Plugin) -> Lifecycle {
    let mut lifecycle = boot(plugin);
    lifecycle.step(moment(), Event::TurnTaken { is_alone: true });
    lifecycle
}

/// What the next plugd finds when this one dies now.
fn killed(lifecycle: &Lifecycle) -> Plugin {
    Plugin { reported: lifecycle.reported().clone(), ..mk_record(State::Inactive, 0) }
}

fn moment() -> Moment {
    Moment { now: Timestamp::UNIX_EPOCH, fresh: RunId::from_bytes([2; 12]) }
}

fn happened(lifecycle: &mut Lifecycle, what: Happening) -> Vec<Effect> {
    lifecycle.step(moment(), Event::Happened { run: lifecycle.run(), what })
}

fn connect(lifecycle: &mut Lifecycle) {
    happened(lifecycle, Happening::Spawned { pid: 7 });
    happened(lifecycle, Happening::Connected);
}

fn standing(lifecycle: &Lifecycle) -> (State, u32) {
    (lifecycle.reported().state, lifecycle.reported().deaths_at_start)
}

const START: [State; 3] = [State::Starting, State::Connecting, State::Active];

#[test]
fn a_plugin_in_whose_start_plugd_died_three_times_is_not_started_again() {
    for state in START {
        let first = boot_alone(&mk_record(state, 0));
        assert_eq!(standing(&first), (State::Starting, 1));
        let second = boot_alone(&Plugin { reported: first.reported().clone(), ..mk_record(state, 0) });
        assert_eq!(standing(&second), (State::Starting, 2));
        let given_up = boot(&killed(&second));
        assert_eq!(standing(&given_up), (State::Error, 3));
        assert!(given_up.reported().message.starts_with("plugd ended 3 times while"), "{given_up:?}");
        let later = boot(&killed(&given_up));
        assert_eq!((standing(&later), later.reported()), ((State::Error, 3), given_up.reported()), "nor after that");
    }
}

/// It takes plugd's memory some seconds after it connected.
#[test]
fn a_plugin_that_connects_before_plugd_dies_is_not_started_a_fourth_time() {
    let mut lifecycle = boot_alone(&mk_record(State::Inactive, 0));
    for starts in 1..=MAX_DEATHS_AT_START {
        assert_eq!(standing(&lifecycle), (State::Starting, starts - 1));
        connect(&mut lifecycle);
        assert_eq!(standing(&lifecycle), (State::Active, starts - 1));
        lifecycle = boot_alone(&killed(&lifecycle));
    }
    assert_eq!(standing(&lifecycle), (State::Error, MAX_DEATHS_AT_START));
}

#[test]
fn a_death_of_plugd_is_held_against_none_that_was_not_in_its_start() {
    use State::{Error, Inactive, Restarting, Stopping};
    for state in [Error, Inactive, Restarting, Stopping] {
        assert_eq!(standing(&boot(&mk_record(state, 2))), (State::Starting, 0), "{state:?}");
    }
    for state in START {
        let mut stable = mk_record(state, 2);
        stable.reported.is_stable = true;
        assert_eq!(standing(&boot(&stable)), (State::Starting, 0), "stable, {state:?}");
    }
    let mut asked_for = mk_record(State::Starting, 2);
    asked_for.reported.observed_generation = 0;
    assert_eq!(standing(&boot(&asked_for)), (State::Starting, 0), "somebody asked for something else since");
}

#[test]
fn whoever_is_stable_has_failed_or_is_asked_for_begins_afresh() {
    let mut stable = boot_alone(&mk_record(State::Starting, 1));
    connect(&mut stable);
    happened(&mut stable, Happening::TimerFired(Timer::Stable));
    assert_eq!((standing(&stable), stable.reported().is_stable), ((State::Active, 0), true));
    happened(&mut stable, Happening::Disconnected { fault: None });
    assert!(!killed(&stable).was_in_its_start(), "it was stable before its connection was lost");

    let mut failed = boot_alone(&mk_record(State::Starting, 1));
    happened(&mut failed, Happening::Exited(Exit { code: Some(1), signal: None }));
    assert_eq!(standing(&failed), (State::Stopping, 2), "a start that fails is none that went well");
    let mut failed = boot_alone(&mk_record(State::Starting, 1));
    happened(&mut failed, Happening::SpawnFailed(Failure::new(crate::domain::Stage::Start, "no file").permanent()));
    assert_eq!(standing(&failed), (State::Error, 0), "plugd lived");

    let mut guilty = mk_record(State::Starting, 2);
    guilty.reported.is_tried_alone = true;
    for record in [guilty, mk_record(State::Active, 1)] {
        for event in [
            Event::ActivationChanged { generation: 2, active: ActiveState::Active },
            Event::RestartRequested { generation: 2 },
            Event::PackageReplaced { generation: 2, package: None },
        ] {
            let mut lifecycle = boot(&record);
            lifecycle.step(moment(), event);
            let reported = lifecycle.reported();
            assert_eq!((standing(&lifecycle), reported.is_tried_alone), ((State::Starting, 0), false));
            assert_eq!((&*reported.message, reported.run), ("", Some(lifecycle.run())));
        }
    }
}

#[test]
fn a_suspect_awaits_its_turn_and_a_death_meanwhile_is_not_its_own() {
    let waiting = boot(&mk_record(State::Active, 1));
    assert_eq!((standing(&waiting), waiting.reported().awaits_turn()), ((State::Starting, 1), true));
    assert!(waiting.reported().message.starts_with("plugd ended 2 times while"), "{waiting:?}");
    assert_eq!(boot(&killed(&waiting)).reported(), waiting.reported(), "the same again");
    let mut tried = waiting;
    tried.step(moment(), Event::TurnTaken { is_alone: false });
    assert_eq!((standing(&tried), tried.reported().awaits_turn()), ((State::Starting, 2), false));
    assert!(boot(&killed(&tried)).reported().awaits_turn(), "one of several that were tried is not guilty for that");
}

#[test]
fn the_turn_of_one_that_left_changes_nothing() {
    for event in [Event::DeletionRequested, Event::ShutdownRequested] {
        let mut waiting = boot(&mk_record(State::Starting, 1));
        assert_eq!(waiting.step(moment(), event), [Effect::Disarm, Effect::Finish]);
        assert_eq!(waiting.step(moment(), Event::TurnTaken { is_alone: true }), []);
        assert_eq!(waiting.reported().state, State::Inactive);
    }
}

/// Fifty plugins, of which some bring plugd down before any is stable; one at a time is tried as its turn comes.
#[test]
fn one_of_many_that_is_guilty_is_found_and_no_other() {
    for guilty in [&[0][..], &[49], &[0, 49], &[3, 4, 30]] {
        let mut records = vec![mk_record(State::Starting, 0); 50];
        let mut plugds = 0;
        loop {
            plugds += 1;
            assert!(plugds < 30, "guilty {guilty:?} not found");
            let width = width(&records);
            let mut lifecycles: Vec<_> = records.iter().map(boot).collect();
            let is_deadly = live(&mut lifecycles, width, guilty);
            records = lifecycles.iter().map(killed).collect();
            if !is_deadly {
                break;
            }
        }
        let found = |number: &usize| records[*number].reported.state == State::Error;
        assert_eq!((0..50).filter(found).collect::<Vec<_>>(), guilty);
        assert!((0..50).all(|number| found(&number) || records[number].reported.is_stable));
    }
}

/// The life of one plugd. Does it die of its plugins?
fn live(plugins: &mut [Lifecycle], width: usize, guilty: &[usize]) -> bool {
    let (waiting, mut started): (Vec<_>, Vec<_>) =
        (0..plugins.len()).partition(|number| plugins[*number].reported().awaits_turn());
    let mut turns = waiting.chunks(width);
    loop {
        started.retain(|number| plugins[*number].reported().state != State::Error);
        started.iter().for_each(|number| connect(&mut plugins[*number]));
        if started.iter().any(|number| guilty.contains(number)) {
            return true;
        }
        for number in &started {
            happened(&mut plugins[*number], Happening::TimerFired(Timer::Stable));
        }
        let Some(turn) = turns.next() else { return false };
        started = turn.to_vec();
        for number in &started {
            plugins[*number].step(moment(), Event::TurnTaken { is_alone: width == 1 });
        }
    }
}
