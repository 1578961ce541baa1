//! What must always hold over random sequences of events in a world with a virtual clock.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::{Confinement, Exit, RunEvent, Stage, change::DesiredChange};

/// What the world does next.
#[derive(Debug, Clone, Copy)]
enum Move {
    Activate,
    Deactivate,
    Restart,
    ReplacePackage,
    Configure,
    FinishSpawn,
    FailSpawn,
    KillServer,
    ReplaceServer,
    Exit,
    TakeAway,
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
        1 => Just(Move::Configure),
        1 => Just(Move::KillServer),
        1 => Just(Move::ReplaceServer),
        4 => Just(Move::FinishSpawn),
        1 => Just(Move::FailSpawn),
        2 => Just(Move::Exit),
        1 => Just(Move::TakeAway),
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
    plugin: Plugin,
    next_package: u8,
    going_back: Option<DesiredChange>,
    proven: Option<Digest>,
    seconds: i64,
    deadline: Option<(Timer, i64)>,
    stopping_since: Option<i64>,
    runs: u8,
}

impl World {
    fn new() -> Self {
        let mut plugin = mk_plugin(Mode::Supervised, ActiveState::Inactive);
        plugin.desired.package = Some(Digest([1; 32]));
        let lifecycle = Lifecycle::new(&plugin, Supervision::default(), RunId::from_bytes([0; 12]));
        let mut world = Self {
            lifecycle,
            group: Group::default(),
            is_connected: false,
            plugin,
            next_package: 1,
            going_back: None,
            proven: None,
            seconds: 0,
            deadline: None,
            stopping_since: None,
            runs: 0,
        };
        world.follow();
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
        match self.going_back.take() {
            // Every other time the store is away.
            Some(_) if self.runs.is_multiple_of(2) => self.step(Event::GoBackFailed),
            Some(change) => self.change(change),
            None => {}
        }
    }

    fn follow(&mut self) {
        self.step(Event::DesiredChanged(Arc::new(self.plugin.desired.clone())));
    }

    fn change(&mut self, change: DesiredChange) {
        self.plugin.reported = self.lifecycle.reported().clone();
        if let Ok(Some(desired)) = change.apply(&self.plugin) {
            self.plugin.desired = desired;
            self.follow();
        }
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::TakeOverRun => assert_eq!(self.group.run, Some(self.lifecycle.run()), "it is not there"),
            Effect::SpawnProcess => {
                assert!(self.group.run.is_none(), "a second group while {:?} lives", self.group);
                self.group = Group { run: Some(self.lifecycle.run()), is_spawned: false, has_leader: false };
            }
            Effect::Arm(timer, after) => {
                self.deadline = Some((*timer, self.seconds + i64::try_from(after.as_secs()).unwrap()));
            }
            Effect::Disarm => self.deadline = None,
            Effect::CloseConnection => self.is_connected = false,
            Effect::Configure => assert!(self.is_connected, "nobody to configure"),
            Effect::GoBack { from, to } => {
                assert_ne!(self.proven, Some(*from), "what was stable is not taken back");
                self.going_back = Some(DesiredChange::GoBack { from: *from, to: *to });
            }
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
                assert!(self.plugin.desired.active.is_active(), "active although inactive is desired");
            }
            State::Starting | State::Connecting | State::Stopping => assert!(self.group.run.is_some()),
            State::Error => assert!(!reported.message().is_empty(), "an error without a message"),
        }
        assert_eq!(reported.observed_generation, self.plugin.desired.generation, "every change is answered");
        assert_eq!(reported.proven_package, self.proven, "what is said to have been stable was, and nothing else");
        assert_eq!(reported.stopping_from.is_some(), state == State::Stopping);
        let waits = matches!(state, State::Connecting | State::Stopping | State::Restarting);
        assert!(!waits || self.deadline.is_some(), "{state:?} would wait for ever");
        self.check_stop_ends(state);
    }

    fn check_stop_ends(&mut self, state: State) {
        if state != State::Stopping {
            self.stopping_since = None;
            return;
        }
        let supervision = Supervision::default();
        let bound = i64::try_from((supervision.grace + supervision.kill).as_secs()).unwrap();
        let since = *self.stopping_since.get_or_insert(self.seconds);
        assert!(self.seconds - since <= bound, "a stop took {} s", self.seconds - since);
    }

    fn happened(&mut self, event: RunEvent) {
        let run = self.group.run.unwrap_or(self.lifecycle.run());
        self.step(Event::Run { run, event });
    }

    fn play(&mut self, (one, flag): (Move, bool)) {
        match one {
            Move::Activate => self.change(DesiredChange::SetActive(ActiveState::Active)),
            Move::Deactivate => self.change(DesiredChange::SetActive(ActiveState::Inactive)),
            Move::Restart => self.change(DesiredChange::Restart),
            Move::ReplacePackage => self.replace_package(),
            Move::Configure => self.change(DesiredChange::Configure(Arc::default())),
            Move::KillServer => self.kill_server(flag),
            Move::ReplaceServer => self.replace_server(flag),
            Move::FinishSpawn => self.finish_spawn(),
            Move::FailSpawn => self.fail_spawn(flag),
            Move::Exit => self.exit(),
            Move::TakeAway => self.take_away(),
            Move::EmptyGroup => self.empty_group(),
            Move::Connect => self.connect(),
            Move::Disconnect => self.disconnect(),
            Move::MissPong if self.is_connected => self.happened(RunEvent::PongMissed),
            Move::MissPong => {}
            Move::Wait => self.wait(),
            Move::ReplayOldRun => self.replay_old_run(),
        }
    }

    fn replace_package(&mut self) {
        let change = self.next_package();
        self.change(change);
    }

    fn next_package(&mut self) -> DesiredChange {
        self.next_package = self.next_package.wrapping_add(1);
        let manifest = self.plugin.desired.manifest.clone();
        DesiredChange::ReplacePackage { digest: Digest([self.next_package; 32]), manifest }
    }

    /// plugd ends with all that it runs.
    fn kill_server(&mut self, is_in_between: bool) {
        self.group = Group::default();
        self.replace_server(is_in_between);
    }

    /// plugd ends, perhaps between the commit of a new package and all that follows from it. The next one knows what was
    /// committed, and goes on with what it finds, of which it has heard nothing yet.
    fn replace_server(&mut self, is_in_between: bool) {
        self.plugin.reported = self.lifecycle.reported().clone();
        if is_in_between && let Ok(Some(desired)) = self.next_package().apply(&self.plugin) {
            self.plugin.desired = desired;
        }
        let lifecycle = Lifecycle::new(&self.plugin, Supervision::default(), RunId::from_bytes([0; 12]));
        self.lifecycle = match self.group.run {
            Some(run) => lifecycle.with_earlier(run),
            None => lifecycle,
        };
        (self.group.is_spawned, self.group.has_leader) = (false, false);
        self.is_connected = false;
        // The next one gives a stop its time anew.
        (self.deadline, self.stopping_since) = (None, None);
        self.follow();
    }

    /// Something other than the plugin ends the run.
    fn take_away(&mut self) {
        if self.group.has_leader || (self.group.run.is_some() && !self.group.is_spawned) {
            (self.group.is_spawned, self.group.has_leader) = (true, false);
            self.happened(RunEvent::TakenAway(Failure::new(Stage::Exit, "its pod was deleted").caused_outside()));
            self.disconnect();
        }
    }

    fn finish_spawn(&mut self) {
        if self.group.run.is_some() && !self.group.is_spawned {
            self.group.is_spawned = true;
            self.group.has_leader = true;
            self.happened(RunEvent::Spawned { pid: Some(7), confinement: Some(Confinement::Off), placement: None });
        }
    }

    fn fail_spawn(&mut self, is_permanent: bool) {
        if self.group.run.is_some() && !self.group.is_spawned {
            let run = self.group.run.take().unwrap();
            let failure = Failure { is_permanent, ..Failure::new(Stage::Start, "no such file") };
            self.step(Event::Run { run, event: RunEvent::SpawnFailed(failure) });
        }
    }

    fn exit(&mut self) {
        if self.group.has_leader {
            self.group.has_leader = false;
            self.happened(RunEvent::Exited(Exit { code: Some(1), signal: None, out_of_memory: false }));
            self.disconnect();
        }
    }

    fn empty_group(&mut self) {
        self.exit();
        if self.group.run.is_some() && (self.group.is_spawned || self.lifecycle.reported().state == State::Stopping) {
            let run = std::mem::take(&mut self.group).run.unwrap();
            self.is_connected = false;
            self.step(Event::Run { run, event: RunEvent::GroupEmptied });
        }
    }

    fn connect(&mut self) {
        if self.group.has_leader && self.lifecycle.accepts_connections() {
            self.is_connected = true;
            self.happened(RunEvent::Connected);
        }
    }

    fn disconnect(&mut self) {
        if std::mem::take(&mut self.is_connected) {
            self.happened(RunEvent::Disconnected { reason: String::new(), is_fault: false });
        }
    }

    /// Lets the next deadline pass.
    fn wait(&mut self) {
        let Some((timer, at)) = self.deadline.take() else {
            self.seconds += 1;
            return;
        };
        self.seconds = self.seconds.max(at);
        if timer == Timer::Stable {
            self.proven = self.plugin.desired.package;
        }
        let run = self.lifecycle.run();
        self.step(match timer {
            Timer::Kill => Event::Run { run, event: RunEvent::Survived { pids: vec![7] } },
            timer => Event::TimerFired { run, timer },
        });
    }

    fn replay_old_run(&mut self) {
        let before = (self.lifecycle.phase.clone(), self.lifecycle.reported.clone());
        let old = RunId::from_bytes([255; 12]);
        for event in [RunEvent::Connected, RunEvent::GroupEmptied] {
            self.step(Event::Run { run: old, event });
        }
        self.step(Event::TimerFired { run: old, timer: Timer::Grace });
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
        match world.plugin.desired.active {
            ActiveState::Active => prop_assert!(matches!(state, State::Active | State::Error), "{state:?}"),
            ActiveState::Inactive => prop_assert_eq!(state, State::Inactive),
        }
    }
}
