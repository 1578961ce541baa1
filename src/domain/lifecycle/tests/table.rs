//! Every phase times every event, rendered and held against `table.txt`.
//!
//! After a deliberate change: `UPDATE_TABLE=1 cargo test --lib lifecycle`, then read the difference.

use std::{fmt::Write as _, fs, sync::Arc};

use jiff::Timestamp;

use super::*;
use crate::domain::{Confinement, Exit, PreviousPackage, RunEvent, Stage};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/lifecycle/table.txt");

const PRESENT: RunId = RunId::from_bytes([1; 12]);
const NEXT: RunId = RunId::from_bytes([2; 12]);

fn moment() -> Moment {
    Moment { now: Timestamp::UNIX_EPOCH, fresh: NEXT }
}

/// The present run did something.
fn happened(event: RunEvent) -> Event {
    Event::Run { run: PRESENT, event }
}

/// The end of the connection, which plugd made if it is for something that the plugin did.
fn disconnected(fault: Option<&str>) -> RunEvent {
    RunEvent::Disconnected { reason: fault.unwrap_or_default().to_owned(), is_fault: fault.is_some() }
}

fn mk(phase: Phase) -> Lifecycle {
    let active = match phase {
        Phase::Inactive | Phase::Stopping { then: Then::Disable } => ActiveState::Inactive,
        _ => ActiveState::Active,
    };
    let mut lifecycle = mk_unbegun(active);
    lifecycle.desired = Some(mk_desired(active));
    lifecycle.reported.state = phase.state();
    lifecycle.phase = phase;
    lifecycle
}

/// Before the first time that it hears what is desired.
fn mk_unbegun(active: ActiveState) -> Lifecycle {
    Lifecycle::new(&mk_plugin(Mode::Supervised, active), Supervision::default(), PRESENT)
}

/// An update whose package was not stable yet.
fn mk_desired(active: ActiveState) -> Arc<Desired> {
    let desired = mk_plugin(Mode::Supervised, active).desired;
    let previous = PreviousPackage { digest: Digest([1; 32]), manifest: desired.manifest.clone() };
    Arc::new(Desired { package: Some(Digest([2; 32])), previous_package: Some(previous), ..desired })
}

/// The next generation of what is desired.
fn changed(old: &Desired, change: impl FnOnce(&mut Desired)) -> Event {
    let mut desired = Desired { generation: old.generation + 1, ..old.clone() };
    change(&mut desired);
    Event::DesiredChanged(Arc::new(desired))
}

fn set_active(old: &Desired, active: ActiveState) -> Event {
    changed(old, |new| {
        new.active = active;
        new.active_generation = new.generation;
    })
}

fn phases() -> Vec<(&'static str, Phase)> {
    let failed = || Then::Fail { failure: mk_failure(), was_stable: false };
    vec![
        ("inactive", Phase::Inactive),
        ("starting", Phase::Starting),
        ("connecting", Phase::Connecting { was_stable: false }),
        ("active", Phase::Active { is_stable: false, has_missed_pong: false }),
        ("active (degraded)", Phase::Active { is_stable: true, has_missed_pong: true }),
        ("restarting", Phase::Restarting),
        ("stopping (disable)", Phase::Stopping { then: Then::Disable }),
        ("stopping (restart)", Phase::Stopping { then: Then::Restart }),
        ("stopping (fail)", Phase::Stopping { then: failed() }),
        ("stopping (delete)", Phase::Stopping { then: Then::Delete }),
        ("stopping (shutdown)", Phase::Stopping { then: Then::Shutdown }),
        ("error", Phase::Error { survivors: None }),
        ("error (unkillable)", Phase::Error { survivors: Some(failed()) }),
    ]
}

fn mk_failure() -> Failure {
    Failure::new(Stage::Exit, "exit status 1")
}

fn spawned() -> RunEvent {
    RunEvent::Spawned { pid: Some(7), confinement: Some(Confinement::Off), placement: None }
}

fn events(desired: &Arc<Desired>) -> Vec<(&'static str, Event)> {
    let fired = |timer| Event::TimerFired { run: PRESENT, timer };
    vec![
        ("nothing changed", Event::DesiredChanged(desired.clone())),
        ("activated", set_active(desired, ActiveState::Active)),
        ("deactivated", set_active(desired, ActiveState::Inactive)),
        ("restart requested", changed(desired, |new| new.restart_generation = new.generation)),
        ("package replaced", changed(desired, |new| new.package = Some(Digest([3; 32])))),
        ("configuration replaced", changed(desired, |new| new.configuration_revision += 1)),
        ("going back failed", Event::GoBackFailed),
        ("events lost", Event::EventsLost { count: 3 }),
        ("protocol broken", happened(RunEvent::ProtocolBroken { count: 3, last: "not JSON".to_owned() })),
        ("deletion requested", Event::DeletionRequested),
        ("shutdown requested", Event::ShutdownRequested),
        ("spawned", happened(spawned())),
        ("spawn failed", happened(RunEvent::SpawnFailed(mk_failure()))),
        ("spawn failed for good", happened(RunEvent::SpawnFailed(mk_failure().permanent()))),
        ("exited", happened(RunEvent::Exited(Exit { code: Some(1), signal: None, out_of_memory: false }))),
        ("taken away", happened(RunEvent::TakenAway(mk_failure().caused_outside()))),
        ("group emptied", happened(RunEvent::GroupEmptied)),
        ("connected", happened(RunEvent::Connected)),
        ("disconnected", happened(disconnected(None))),
        ("disconnected by plugd", happened(disconnected(Some("unread")))),
        ("pong missed", happened(RunEvent::PongMissed)),
        ("pong received", happened(RunEvent::PongReceived)),
        ("connect deadline", fired(Timer::Connect)),
        ("reconnect deadline", fired(Timer::Reconnect)),
        ("stable", fired(Timer::Stable)),
        ("grace over", fired(Timer::Grace)),
        ("survived the kill", happened(RunEvent::Survived { pids: vec![7, 8] })),
        ("backoff over", fired(Timer::Backoff)),
        ("time to go back again", fired(Timer::GoBack)),
        ("spawned, of an earlier run", Event::Run { run: NEXT, event: spawned() }),
    ]
}

fn render() -> String {
    let mut table = String::new();
    for active in [ActiveState::Active, ActiveState::Inactive] {
        let event = ("first told what is desired", Event::DesiredChanged(mk_desired(active)));
        let from = if active.is_active() { "not begun (active)" } else { "not begun (inactive)" };
        render_one(&mut table, from, mk_unbegun(active), event);
    }
    for active in [ActiveState::Active, ActiveState::Inactive] {
        let earlier = || mk_unbegun(active).with_earlier(NEXT);
        let from = if active.is_active() { "earlier (active)" } else { "earlier (inactive)" };
        let desired = mk_desired(active);
        let told = ("first told what is desired", Event::DesiredChanged(desired.clone()));
        render_one(&mut table, from, earlier(), told);
        render_one(&mut table, from, earlier(), ("first told of a change", changed(&desired, |_| ())));
    }
    for (from, phase) in phases() {
        let lifecycle = mk(phase);
        for event in events(lifecycle.desired.as_ref().unwrap()) {
            render_one(&mut table, from, lifecycle.clone(), event);
        }
    }
    table
}

fn render_one(table: &mut String, from: &str, mut lifecycle: Lifecycle, (name, event): (&str, Event)) {
    let effects = lifecycle.step(moment(), event);
    let to = describe(&lifecycle.phase);
    writeln!(table, "{from:<20}| {name:<27}| {to:<20}| {}", list(&effects)).unwrap();
}

fn describe(phase: &Phase) -> &'static str {
    match phase {
        Phase::Inactive => "inactive",
        Phase::Starting => "starting",
        Phase::Connecting { .. } => "connecting",
        Phase::Active { has_missed_pong: false, .. } => "active",
        Phase::Active { has_missed_pong: true, .. } => "active (degraded)",
        Phase::Restarting => "restarting",
        Phase::Stopping { then: Then::Disable } => "stopping (disable)",
        Phase::Stopping { then: Then::Restart } => "stopping (restart)",
        Phase::Stopping { then: Then::Fail { .. } } => "stopping (fail)",
        Phase::Stopping { then: Then::Delete } => "stopping (delete)",
        Phase::Stopping { then: Then::Shutdown } => "stopping (shutdown)",
        Phase::Error { survivors: None } => "error",
        Phase::Error { survivors: Some(_) } => "error (unkillable)",
    }
}

fn list(effects: &[Effect]) -> String {
    effects.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn name(effect: &Effect) -> String {
    match effect {
        Effect::GoBack { .. } => "GoBack".to_owned(),
        effect => format!("{effect:?}"),
    }
}

#[test]
fn every_phase_answers_every_event_as_the_table_says() {
    let rendered = render();
    if std::env::var_os("UPDATE_TABLE").is_some() {
        fs::write(TABLE, &rendered).unwrap();
    }
    let expected = fs::read_to_string(TABLE).unwrap_or_default();
    for (got, wanted) in rendered.lines().zip(expected.lines()) {
        assert_eq!(got, wanted);
    }
    assert_eq!(rendered.lines().count(), expected.lines().count());
}

#[test]
fn a_crash_is_tried_again_after_one_two_and_four_seconds_and_then_given_up() {
    let mut lifecycle = mk(Phase::Starting);
    let exit = Exit { code: Some(42), signal: None, out_of_memory: false };
    let mut waits = Vec::new();
    while lifecycle.reported().state != State::Error {
        let run = lifecycle.run();
        lifecycle.step(moment(), Event::Run { run, event: spawned() });
        lifecycle.step(moment(), Event::Run { run, event: RunEvent::Exited(exit) });
        for effect in lifecycle.step(moment(), Event::Run { run, event: RunEvent::GroupEmptied }) {
            if let Effect::Arm(Timer::Backoff, wait) = effect {
                waits.push(wait.as_secs());
            }
        }
        lifecycle.step(moment(), Event::TimerFired { run, timer: Timer::Backoff });
    }
    assert_eq!(waits, [1, 2, 4]);
    assert_eq!(lifecycle.reported().message(), "exit status 42");
    let failure = lifecycle.reported().failure.as_ref().unwrap();
    assert_eq!((failure.exit_code, failure.stage), (Some(42), Stage::Exit));
}

#[test]
fn what_was_done_to_a_plugin_from_outside_counts_against_none_of_its_restarts() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    lifecycle.reported.restarts = 3;
    lifecycle.step(moment(), happened(RunEvent::TakenAway(Failure::new(Stage::Exit, "evicted").caused_outside())));
    let effects = lifecycle.step(moment(), happened(RunEvent::GroupEmptied));
    assert!(effects.contains(&Effect::Arm(Timer::Backoff, Duration::from_secs(5))), "{effects:?}");
    let reported = lifecycle.reported();
    assert_eq!((reported.state, reported.restarts, reported.message()), (State::Restarting, 3, "evicted"));
}

/// Its connection is lost long before the cluster knows why.
#[test]
fn a_plugin_on_a_lost_node_says_so_and_is_started_again_once_the_cluster_says_that_it_is_gone() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    let fired = |timer| Event::TimerFired { run: PRESENT, timer };
    lifecycle.step(moment(), happened(disconnected(None)));
    lifecycle.step(moment(), fired(Timer::Reconnect));
    lifecycle.step(moment(), fired(Timer::Grace));
    lifecycle.step(moment(), happened(RunEvent::Survived { pids: Vec::new() }));
    lifecycle.step(moment(), happened(RunEvent::TakenAway(Failure::new(Stage::Exit, "lost").caused_outside())));
    assert_eq!((lifecycle.reported().state, lifecycle.reported().message()), (State::Error, "lost"));
    lifecycle.step(moment(), happened(RunEvent::GroupEmptied));
    assert_eq!((lifecycle.reported().state, lifecycle.reported().message()), (State::Restarting, "lost"));
}

#[test]
fn a_crash_after_the_stable_time_starts_the_count_afresh_and_waits_longer() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    lifecycle.reported.restarts = 3;
    let exit = Exit { code: Some(1), signal: None, out_of_memory: false };
    let fired = |timer| Event::TimerFired { run: PRESENT, timer };
    lifecycle.step(moment(), fired(Timer::Stable));
    lifecycle.step(moment(), happened(disconnected(None)));
    lifecycle.step(moment(), happened(RunEvent::Exited(exit)));
    let effects = lifecycle.step(moment(), happened(RunEvent::GroupEmptied));
    assert!(effects.contains(&Effect::Arm(Timer::Backoff, Duration::from_secs(5))), "{effects:?}");
    assert_eq!(lifecycle.reported().restarts, 1);
}

#[test]
fn an_activation_after_an_error_forgets_the_error() {
    let mut lifecycle = mk(Phase::Error { survivors: None });
    lifecycle.note_failure(mk_failure());
    let old = lifecycle.desired.clone().unwrap();
    lifecycle.step(moment(), changed(&old, |new| new.restart_generation = new.generation));
    assert_eq!(lifecycle.reported().state, State::Starting);
    assert_eq!(lifecycle.reported().message(), "");
    assert_eq!(lifecycle.reported().observed_generation, 2);
}

#[test]
fn an_external_plugin_goes_between_connecting_and_active_only() {
    let plugin = mk_plugin(Mode::External, ActiveState::Active);
    let mut lifecycle = Lifecycle::new(&plugin, Supervision::default(), PRESENT);
    let mut states = Vec::new();
    lifecycle.step(moment(), Event::DesiredChanged(Arc::new(plugin.desired.clone())));
    states.push(lifecycle.reported().state);
    for what in [RunEvent::Connected, disconnected(None), RunEvent::Connected] {
        let run = lifecycle.run();
        lifecycle.step(moment(), Event::Run { run, event: what });
        states.push(lifecycle.reported().state);
    }
    let fresh = RunId::from_bytes([3; 12]);
    let effects = lifecycle.step(Moment { fresh, ..moment() }, changed(&plugin.desired, |new| new.token_epoch += 1));
    states.push(lifecycle.reported().state);
    assert_eq!(states, [State::Connecting, State::Active, State::Connecting, State::Active, State::Connecting]);
    assert_eq!(effects[0], Effect::CloseConnection);
}

fn missing_pongs(lifecycle: &mut Lifecycle, count: usize) -> String {
    for _ in 0..count {
        lifecycle.step(moment(), Event::Run { run: PRESENT, event: RunEvent::PongMissed });
    }
    lifecycle.reported().message().to_owned()
}

/// While it is degraded, while it may connect again, and after it was stopped for it.
#[test]
fn a_plugin_that_stopped_answering_says_so_until_it_answers() {
    const SAID: &str = "stopped answering: no answer to a ping within 10s";
    let fired = |timer| Event::TimerFired { run: PRESENT, timer };
    let active = || mk(Phase::Active { is_stable: false, has_missed_pong: false });
    let mut answers_again = active();
    assert_eq!(missing_pongs(&mut answers_again, 1), SAID);
    answers_again.step(moment(), happened(RunEvent::PongReceived));
    assert_eq!(answers_again.reported().message(), "");

    let mut stays_silent = active();
    assert_eq!((missing_pongs(&mut stays_silent, 2), stays_silent.reported().state), (SAID.into(), State::Connecting));
    stays_silent.step(moment(), fired(Timer::Reconnect));
    assert_eq!((stays_silent.reported().message(), stays_silent.reported().state), (SAID, State::Stopping));
    stays_silent.step(moment(), happened(RunEvent::GroupEmptied));
    assert_eq!((stays_silent.reported().message(), stays_silent.reported().state), (SAID, State::Restarting));
    assert_eq!(stays_silent.reported().failure.as_ref().unwrap().stage, Stage::Link);

    let mut exits = active();
    missing_pongs(&mut exits, 2);
    exits.step(moment(), happened(RunEvent::Exited(Exit { code: Some(0), signal: None, out_of_memory: false })));
    assert_eq!(exits.reported().message(), format!("{SAID}; then process exited cleanly"));

    let mut connects = active();
    missing_pongs(&mut connects, 2);
    connects.step(moment(), happened(RunEvent::Connected));
    assert_eq!(connects.reported().message(), "");
    connects.step(moment(), happened(RunEvent::Exited(Exit { code: Some(3), signal: None, out_of_memory: false })));
    assert_eq!(connects.reported().message(), "exit status 3");
}

#[test]
fn what_plugd_ended_a_connection_for_is_what_the_run_failed_of() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    let fired = |timer| Event::TimerFired { run: PRESENT, timer };
    lifecycle.step(moment(), happened(disconnected(Some("does not read"))));
    assert_eq!(lifecycle.reported().message(), "does not read");
    lifecycle.step(moment(), fired(Timer::Reconnect));
    assert_eq!((lifecycle.reported().message(), lifecycle.reported().state), ("does not read", State::Stopping));
}

#[test]
fn faults_are_added_up_and_the_last_one_is_kept() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    for (count, last) in [(2, "one"), (3, "two")] {
        lifecycle.step(moment(), happened(RunEvent::ProtocolBroken { count, last: last.to_owned() }));
    }
    let reported = lifecycle.reported();
    assert_eq!((reported.protocol_faults, &*reported.last_protocol_fault), (5, "two"));
    assert_eq!((reported.state, reported.message()), (State::Active, ""), "it lives");
}

/// Nobody is told of each change: a plugd that starts, and one whose store was away, hear of all at once.
#[test]
fn of_several_changes_that_nobody_saw_being_made_each_takes_effect() {
    let mut lifecycle = mk(Phase::Active { is_stable: true, has_missed_pong: false });
    let old = lifecycle.desired.clone().unwrap();
    lifecycle.step(moment(), Event::Run { run: PRESENT, event: RunEvent::Connected });
    let effects = lifecycle.step(
        moment(),
        changed(&old, |new| {
            // Deactivated, given another package, and activated again.
            new.generation += 2;
            new.active_generation = new.generation;
            new.package = Some(Digest([3; 32]));
        }),
    );
    assert!(effects.contains(&Effect::SignalGroup), "the old package would go on: {effects:?}");
    assert_eq!((lifecycle.reported().state, lifecycle.reported().observed_generation), (State::Stopping, 4));
}

#[test]
fn a_plugin_goes_back_to_the_package_before_one_that_was_never_stable_and_says_so() {
    let failed = || Event::Run { run: PRESENT, event: RunEvent::SpawnFailed(mk_failure().permanent()) };
    let (from, to) = (Digest([2; 32]), Digest([1; 32]));
    let mut lifecycle = mk(Phase::Starting);
    assert!(lifecycle.step(moment(), failed()).contains(&Effect::GoBack { from, to }));
    assert_eq!(lifecycle.reported().failure.as_ref().unwrap().going_back_to, Some(to));
    lifecycle.step(moment(), Event::GoBackFailed);
    let again = lifecycle.step(moment(), Event::TimerFired { run: PRESENT, timer: Timer::GoBack });
    assert_eq!(again, [Effect::GoBack { from, to }], "the store may be back");

    let mut proven = mk(Phase::Starting);
    proven.reported.proven_package = Some(from);
    assert_eq!(proven.step(moment(), failed()), [Effect::Disarm]);
    let mut restored = mk(Phase::Starting);
    restored.desired =
        Some(Arc::new(Desired { is_restored: true, ..Desired::clone(&mk_desired(ActiveState::Active)) }));
    assert_eq!(restored.step(moment(), failed()), [Effect::Disarm], "two packages would take turns for ever");
}
