//! What must always hold (DESIGN section 3), over random sequences of events in a world with a virtual clock.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{table::mk_plugin, *};
use crate::domain::{Exit, Stage};

/// What the world does next.
#[derive(Debug, Clone, Copy)]
enum Move {
    Activate,
    Deactivate,
    Restart,
    ReplacePackage,
    FinishSpawn,
    FailSpawn,
    KillServer,
    Exit,
    EmptyGroup,
    Connect,
    Disconnect,
    MissPong,
    Wait,
    ReplayOldRun,
}

fn moves() -> impl Strategy<Value = Vec<(Move, bool)>> {
    let one = prop_oneof![
        2 => Just(Move::Activate),
        2 => Just(Move::Deactivate),
        1 => Just(Move::Restart),
        1 => Just(Move::ReplacePackage),
        1 => Just(Move::KillServer),
        4 => Just(Move::FinishSpawn),
        1 => Just(Move::FailSpawn),
        2 => Just(Move::Exit),
        4 => Just(Move::EmptyGroup),
        4 => Just(Move::Connect),
        1 => Just(Move::Disconnect),
        1 => Just(Move::MissPong),
        3 => Just(Move::Wait),
        1 => Just(Move::ReplayOldRun),
    ];
    prop::collection::vec((one, any::<bool>()), 1..120)
}

/// A fake runtime: at most one group, and what was asked of it.
#[derive(Debug, Default)]
struct Group {
    run: Option<RunId>,
    is_spawned: bool,
    has_leader: bool,
}

struct World {
    lifecycle: Lifecycle,
    group: Group,
    is_connected: bool,
    active: ActiveState,
    package: Digest,
    proven: Option<Digest>,
    generation: u64,
    seconds: i64,
    deadline: Option<(Timer, i64)>,
    stopping_since: Option<i64>,
    runs: u8,
}

impl World {
    fn new() -> Self {
        let mut plugin = mk_plugin(Mode::Supervised, ActiveState::Inactive);
        plugin.desired.package = Some(Digest([1; 32]));
        let lifecycle = Lifecycle::new(&plugin, Policy::default(), RunId::from_bytes([0; 12]));
        let mut world = Self {
            lifecycle,
            group: Group::default(),
            is_connected: false,
            active: ActiveState::Inactive,
            package: Digest([1; 32]),
            proven: None,
            generation: 1,
            seconds: 0,
            deadline: None,
            stopping_since: None,
            runs: 0,
        };
        world.step(Event::Booted { generation: 1 });
        world
    }

    fn step(&mut self, event: Event) {
        self.runs = self.runs.wrapping_add(1);
        let fresh = RunId::from_bytes([self.runs, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let moment = Moment { now: Timestamp::from_second(self.seconds).unwrap(), fresh };
        for effect in self.lifecycle.step(moment, event) {
            self.perform(&effect);
        }
        self.check();
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::SpawnProcess => {
                assert!(self.group.run.is_none(), "a second group while {:?} lives", self.group);
                self.group = Group { run: Some(self.lifecycle.run()), is_spawned: false, has_leader: false };
            }
            Effect::Arm(timer, after) => {
                self.deadline = Some((*timer, self.seconds + i64::try_from(after.as_secs()).unwrap()));
            }
            Effect::Disarm => self.deadline = None,
            Effect::CloseConnection(_) => self.is_connected = false,
            Effect::SignalGroup | Effect::KillGroup => assert!(self.group.run.is_some(), "nothing to signal"),
            Effect::Finish => {}
        }
    }

    fn check(&mut self) {
        let reported = self.lifecycle.reported();
        let state = reported.state;
        match state {
            State::Inactive | State::Restarting => assert!(self.group.run.is_none(), "{state:?} while a group lives"),
            State::Active => {
                assert!(self.is_connected, "active without a connection");
                assert!(self.active.is_active(), "active although inactive is desired");
            }
            State::Starting | State::Connecting | State::Stopping => assert!(self.group.run.is_some()),
            State::Error => assert!(!reported.message.is_empty(), "an error without a message"),
        }
        assert_eq!(reported.observed_generation, self.generation, "every change is answered");
        assert_eq!(reported.proven_package, self.proven, "what is said to have been stable was, and nothing else");
        assert_eq!(reported.details.contains_key(STOPPING_FROM), state == State::Stopping);
        let waits = matches!(state, State::Connecting | State::Stopping | State::Restarting);
        assert!(!waits || self.deadline.is_some(), "{state:?} would wait for ever");
        self.check_stop_ends(state);
    }

    fn check_stop_ends(&mut self, state: State) {
        if state != State::Stopping {
            self.stopping_since = None;
            return;
        }
        let policy = Policy::default();
        let bound = i64::try_from((policy.grace + policy.kill).as_secs()).unwrap();
        let since = *self.stopping_since.get_or_insert(self.seconds);
        assert!(self.seconds - since <= bound, "a stop took {} s", self.seconds - since);
    }

    fn happened(&mut self, what: Happening) {
        let run = self.group.run.unwrap_or(self.lifecycle.run());
        self.step(Event::Happened { run, what });
    }

    fn ask(&mut self, event: impl FnOnce(u64) -> Event) {
        self.generation += 1;
        self.step(event(self.generation));
    }

    fn play(&mut self, (one, flag): (Move, bool)) {
        match one {
            Move::Activate => self.set_active(ActiveState::Active),
            Move::Deactivate => self.set_active(ActiveState::Inactive),
            Move::Restart => self.ask(|generation| Event::RestartRequested { generation }),
            Move::ReplacePackage => self.replace_package(),
            Move::KillServer => self.kill_server(flag),
            Move::FinishSpawn => self.finish_spawn(),
            Move::FailSpawn => self.fail_spawn(flag),
            Move::Exit => self.exit(),
            Move::EmptyGroup => self.empty_group(),
            Move::Connect => self.connect(),
            Move::Disconnect => self.disconnect(),
            Move::MissPong if self.is_connected => self.happened(Happening::PongMissed),
            Move::MissPong => {}
            Move::Wait => self.wait(),
            Move::ReplayOldRun => self.replay_old_run(),
        }
    }

    fn set_active(&mut self, active: ActiveState) {
        self.active = active;
        self.ask(|generation| Event::ActivationChanged { generation, active });
    }

    fn replace_package(&mut self) {
        self.take_next_package();
        let package = Some(self.package);
        self.ask(|generation| Event::PackageReplaced { generation, package });
    }

    fn take_next_package(&mut self) {
        self.package.0[0] = self.package.0[0].wrapping_add(1);
    }

    /// plugd ends with all that it runs, perhaps between the commit of a new package and all that follows from it. The
    /// next one knows what was committed.
    fn kill_server(&mut self, is_in_between: bool) {
        if is_in_between {
            self.generation += 1;
            self.take_next_package();
        }
        let mut plugin = mk_plugin(Mode::Supervised, self.active);
        plugin.desired.package = Some(self.package);
        plugin.desired.generation = self.generation;
        plugin.reported = self.lifecycle.reported().clone();
        self.lifecycle = Lifecycle::new(&plugin, Policy::default(), RunId::from_bytes([0; 12]));
        self.group = Group::default();
        self.is_connected = false;
        self.deadline = None;
        self.step(Event::Booted { generation: self.generation });
    }

    fn finish_spawn(&mut self) {
        if self.group.run.is_some() && !self.group.is_spawned {
            self.group.is_spawned = true;
            self.group.has_leader = true;
            self.happened(Happening::Spawned { pid: 7 });
        }
    }

    fn fail_spawn(&mut self, is_permanent: bool) {
        if self.group.run.is_some() && !self.group.is_spawned {
            let run = self.group.run.take().unwrap();
            let failure = Failure { is_permanent, ..Failure::new(Stage::Start, "no such file") };
            self.step(Event::Happened { run, what: Happening::SpawnFailed(failure) });
        }
    }

    fn exit(&mut self) {
        if self.group.has_leader {
            self.group.has_leader = false;
            self.happened(Happening::Exited(Exit { code: Some(1), signal: None }));
            self.disconnect();
        }
    }

    fn empty_group(&mut self) {
        self.exit();
        if self.group.run.is_some() && (self.group.is_spawned || self.lifecycle.reported().state == State::Stopping) {
            let run = std::mem::take(&mut self.group).run.unwrap();
            self.is_connected = false;
            self.step(Event::Happened { run, what: Happening::GroupEmptied });
        }
    }

    fn connect(&mut self) {
        if self.group.has_leader && self.lifecycle.accepts_connections() {
            self.is_connected = true;
            self.happened(Happening::Connected);
        }
    }

    fn disconnect(&mut self) {
        if std::mem::take(&mut self.is_connected) {
            self.happened(Happening::Disconnected { fault: None });
        }
    }

    /// Lets the next deadline pass.
    fn wait(&mut self) {
        let Some((timer, at)) = self.deadline.take() else {
            self.seconds += 1;
            return;
        };
        self.seconds = self.seconds.max(at);
        let what = match timer {
            Timer::Kill => Happening::Survived { pids: vec![7] },
            timer => Happening::TimerFired(timer),
        };
        if timer == Timer::Stable {
            self.proven = Some(self.package);
        }
        let run = self.lifecycle.run();
        self.step(Event::Happened { run, what });
    }

    fn replay_old_run(&mut self) {
        let before = (self.lifecycle.phase.clone(), self.lifecycle.reported.clone());
        let old = RunId::from_bytes([255; 12]);
        for what in [Happening::Connected, Happening::GroupEmptied, Happening::TimerFired(Timer::Grace)] {
            self.step(Event::Happened { run: old, what });
        }
        assert_eq!(before, (self.lifecycle.phase.clone(), self.lifecycle.reported.clone()));
    }

    /// A plugin that does all it should, for as long as it takes.
    fn behave(&mut self) {
        for _ in 0..20 {
            self.finish_spawn();
            if self.lifecycle.reported().state == State::Stopping || self.lifecycle.reported().state == State::Error {
                self.empty_group();
            }
            self.connect();
            if self.lifecycle.reported().state == State::Restarting {
                self.wait();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_must_always_hold_holds(moves in moves()) {
        let mut world = World::new();
        for one in moves {
            world.play(one);
        }
        world.behave();
        let state = world.lifecycle.reported().state;
        match world.active {
            ActiveState::Active => prop_assert!(matches!(state, State::Active | State::Error), "{state:?}"),
            ActiveState::Inactive => prop_assert_eq!(state, State::Inactive),
        }
    }
}
