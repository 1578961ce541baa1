//! Every phase times every event, rendered and held against `table.txt`.
//!
//! After a deliberate change: `UPDATE_TABLE=1 cargo test --lib lifecycle`, then read the difference.

use std::{fmt::Write as _, fs, sync::Arc};

use jiff::Timestamp;

use super::*;
use crate::domain::{Desired, Exit, PluginId, Stage, manifest::Manifest};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/lifecycle/table.txt");

const PRESENT: RunId = RunId::from_bytes([1; 12]);
const NEXT: RunId = RunId::from_bytes([2; 12]);

fn moment() -> Moment {
    Moment { now: Timestamp::UNIX_EPOCH, fresh: NEXT }
}

pub(super) fn mk_plugin(mode: Mode, active: ActiveState) -> Plugin {
    let manifest: Manifest =
        serde_json::from_value(json!({"id": "greeter", "author": "a", "name": "Greeter"})).unwrap();
    Plugin {
        id: PluginId::from_bytes([9; 12]),
        created: Timestamp::UNIX_EPOCH,
        installed: 1,
        desired: Desired {
            mode,
            manifest: Arc::new(manifest),
            package: None,
            previous_package: None,
            is_restored: false,
            configuration: Arc::default(),
            configuration_revision: 0,
            active,
            active_generation: 1,
            restart_generation: 0,
            generation: 1,
            token: None,
            token_epoch: 0,
        },
        reported: Reported::inactive(Timestamp::UNIX_EPOCH, 1),
        revision: 1,
        request_id: None,
    }
}

fn mk(phase: Phase) -> Lifecycle {
    let active = match phase {
        Phase::Inactive | Phase::Stopping { then: Then::Disable } => ActiveState::Inactive,
        _ => ActiveState::Active,
    };
    let mut lifecycle = Lifecycle::new(&mk_plugin(Mode::Supervised, active), Policy::default(), PRESENT);
    lifecycle.reported.state = phase.state();
    lifecycle.phase = phase;
    lifecycle
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

fn events() -> Vec<(&'static str, Event)> {
    let happened = |what| Event::Happened { run: PRESENT, what };
    vec![
        ("booted", Event::Booted { generation: 1 }),
        ("activated", Event::ActivationChanged { generation: 2, active: ActiveState::Active }),
        ("deactivated", Event::ActivationChanged { generation: 2, active: ActiveState::Inactive }),
        ("restart requested", Event::RestartRequested { generation: 2 }),
        ("package replaced", Event::PackageReplaced { generation: 2, package: None }),
        ("credential replaced", Event::CredentialReplaced { generation: 2 }),
        ("desired amended", Event::DesiredAmended { generation: 2 }),
        ("events lost", Event::EventsLost { count: 3 }),
        ("protocol broken", Event::ProtocolBroken { count: 3, last: "not JSON".to_owned() }),
        ("deletion requested", Event::DeletionRequested),
        ("shutdown requested", Event::ShutdownRequested),
        ("spawned", happened(Happening::Spawned { pid: 7 })),
        ("spawn failed", happened(Happening::SpawnFailed(mk_failure()))),
        ("spawn failed for good", happened(Happening::SpawnFailed(mk_failure().permanent()))),
        ("exited", happened(Happening::Exited(Exit { code: Some(1), signal: None }))),
        ("group emptied", happened(Happening::GroupEmptied)),
        ("connected", happened(Happening::Connected)),
        ("disconnected", happened(Happening::Disconnected { fault: None })),
        ("disconnected by plugd", happened(Happening::Disconnected { fault: Some("unread".to_owned()) })),
        ("pong missed", happened(Happening::PongMissed)),
        ("pong received", happened(Happening::PongReceived)),
        ("connect deadline", happened(Happening::TimerFired(Timer::Connect))),
        ("reconnect deadline", happened(Happening::TimerFired(Timer::Reconnect))),
        ("stable", happened(Happening::TimerFired(Timer::Stable))),
        ("grace over", happened(Happening::TimerFired(Timer::Grace))),
        ("survived the kill", happened(Happening::Survived { pids: vec![7, 8] })),
        ("backoff over", happened(Happening::TimerFired(Timer::Backoff))),
        ("spawned, of an earlier run", Event::Happened { run: NEXT, what: Happening::Spawned { pid: 7 } }),
    ]
}

fn render() -> String {
    let mut table = String::new();
    for (from, phase) in phases() {
        for (name, event) in events() {
            let mut lifecycle = mk(phase.clone());
            let effects = lifecycle.step(moment(), event);
            let to = describe(&lifecycle.phase);
            writeln!(table, "{from:<20}| {name:<27}| {to:<20}| {}", list(&effects)).unwrap();
        }
    }
    table
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
    effects.iter().map(|effect| format!("{effect:?}")).collect::<Vec<_>>().join(", ")
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
    let exit = Exit { code: Some(42), signal: None };
    let mut waits = Vec::new();
    while lifecycle.reported().state != State::Error {
        let run = lifecycle.run();
        lifecycle.step(moment(), Event::Happened { run, what: Happening::Spawned { pid: 7 } });
        lifecycle.step(moment(), Event::Happened { run, what: Happening::Exited(exit) });
        for effect in lifecycle.step(moment(), Event::Happened { run, what: Happening::GroupEmptied }) {
            if let Effect::Arm(Timer::Backoff, wait) = effect {
                waits.push(wait.as_secs());
            }
        }
        lifecycle.step(moment(), Event::Happened { run, what: Happening::TimerFired(Timer::Backoff) });
    }
    assert_eq!(waits, [1, 2, 4]);
    assert_eq!(lifecycle.reported().message, "exit status 42");
    assert_eq!(lifecycle.reported().details["exit_code"], 42);
    assert_eq!(lifecycle.reported().details["stage"], "exit");
}

#[test]
fn a_crash_after_the_stable_time_starts_the_count_afresh_and_waits_longer() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    lifecycle.reported.restarts = 3;
    let exit = Exit { code: Some(1), signal: None };
    let happened = |what| Event::Happened { run: PRESENT, what };
    lifecycle.step(moment(), happened(Happening::TimerFired(Timer::Stable)));
    lifecycle.step(moment(), happened(Happening::Disconnected { fault: None }));
    lifecycle.step(moment(), happened(Happening::Exited(exit)));
    let effects = lifecycle.step(moment(), happened(Happening::GroupEmptied));
    assert!(effects.contains(&Effect::Arm(Timer::Backoff, Duration::from_secs(5))), "{effects:?}");
    assert_eq!(lifecycle.reported().restarts, 1);
}

#[test]
fn an_activation_after_an_error_forgets_the_error() {
    let mut lifecycle = mk(Phase::Error { survivors: None });
    lifecycle.note_failure(mk_failure());
    lifecycle.step(moment(), Event::ActivationChanged { generation: 5, active: ActiveState::Active });
    assert_eq!(lifecycle.reported().state, State::Starting);
    assert_eq!(lifecycle.reported().message, "");
    assert_eq!(lifecycle.reported().observed_generation, 5);
}

#[test]
fn an_external_plugin_goes_between_connecting_and_active_only() {
    let plugin = mk_plugin(Mode::External, ActiveState::Active);
    let mut lifecycle = Lifecycle::new(&plugin, Policy::default(), PRESENT);
    let mut states = Vec::new();
    lifecycle.step(moment(), Event::Booted { generation: 1 });
    states.push(lifecycle.reported().state);
    for what in [Happening::Connected, Happening::Disconnected { fault: None }, Happening::Connected] {
        let run = lifecycle.run();
        lifecycle.step(moment(), Event::Happened { run, what });
        states.push(lifecycle.reported().state);
    }
    let fresh = RunId::from_bytes([3; 12]);
    let effects = lifecycle.step(Moment { fresh, ..moment() }, Event::CredentialReplaced { generation: 2 });
    states.push(lifecycle.reported().state);
    assert_eq!(states, [State::Connecting, State::Active, State::Connecting, State::Active, State::Connecting]);
    assert_eq!(effects[0], Effect::CloseConnection(CloseReason::Closed));
}

fn missing_pongs(lifecycle: &mut Lifecycle, count: usize) -> String {
    for _ in 0..count {
        lifecycle.step(moment(), Event::Happened { run: PRESENT, what: Happening::PongMissed });
    }
    lifecycle.reported().message.clone()
}

/// While it is degraded, while it may connect again, and after it was stopped for it.
#[test]
fn a_plugin_that_stopped_answering_says_so_until_it_answers() {
    const SAID: &str = "stopped answering: no answer to a ping within 10s";
    let happened = |what| Event::Happened { run: PRESENT, what };
    let active = || mk(Phase::Active { is_stable: false, has_missed_pong: false });
    let mut answers_again = active();
    assert_eq!(missing_pongs(&mut answers_again, 1), SAID);
    answers_again.step(moment(), happened(Happening::PongReceived));
    assert_eq!(answers_again.reported().message, "");

    let mut stays_silent = active();
    assert_eq!((missing_pongs(&mut stays_silent, 2), stays_silent.reported().state), (SAID.into(), State::Connecting));
    stays_silent.step(moment(), happened(Happening::TimerFired(Timer::Reconnect)));
    assert_eq!((&*stays_silent.reported().message, stays_silent.reported().state), (SAID, State::Stopping));
    stays_silent.step(moment(), happened(Happening::GroupEmptied));
    assert_eq!((&*stays_silent.reported().message, stays_silent.reported().state), (SAID, State::Restarting));
    assert_eq!(stays_silent.reported().details["stage"], "link");

    let mut exits = active();
    missing_pongs(&mut exits, 2);
    exits.step(moment(), happened(Happening::Exited(Exit { code: Some(0), signal: None })));
    assert_eq!(exits.reported().message, format!("{SAID}; then process exited cleanly"));

    let mut connects = active();
    missing_pongs(&mut connects, 2);
    connects.step(moment(), happened(Happening::Connected));
    assert_eq!(connects.reported().message, "");
    connects.step(moment(), happened(Happening::Exited(Exit { code: Some(3), signal: None })));
    assert_eq!(connects.reported().message, "exit status 3");
}

#[test]
fn what_plugd_ended_a_connection_for_is_what_the_run_failed_of() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    let happened = |what| Event::Happened { run: PRESENT, what };
    lifecycle.step(moment(), happened(Happening::Disconnected { fault: Some("does not read".to_owned()) }));
    assert_eq!(lifecycle.reported().message, "does not read");
    lifecycle.step(moment(), happened(Happening::TimerFired(Timer::Reconnect)));
    assert_eq!((&*lifecycle.reported().message, lifecycle.reported().state), ("does not read", State::Stopping));
}

#[test]
fn faults_are_added_up_and_the_last_one_is_kept() {
    let mut lifecycle = mk(Phase::Active { is_stable: false, has_missed_pong: false });
    for (count, last) in [(2, "one"), (3, "two")] {
        lifecycle.step(moment(), Event::ProtocolBroken { count, last: last.to_owned() });
    }
    let reported = lifecycle.reported();
    assert_eq!((reported.protocol_faults, &*reported.last_protocol_fault), (5, "two"));
    assert_eq!((reported.state, &*reported.message), (State::Active, ""), "it lives");
}
