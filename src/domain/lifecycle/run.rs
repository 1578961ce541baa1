//! What happens to the present run.

use super::{Effect, Lifecycle, Moment, Phase, Then, Timer};
use crate::domain::{Exit, Failure, Mode, RunEvent, Stage};

impl Lifecycle {
    pub(super) fn run_event(&mut self, moment: Moment, event: RunEvent) {
        match event {
            RunEvent::Spawned { pid, confinement, placement } => {
                self.reported.pid = pid;
                self.reported.confinement = confinement;
                self.reported.placement = placement;
                self.spawned(moment);
            }
            RunEvent::SpawnFailed(failure) => self.spawn_failed(moment, failure),
            RunEvent::Exited(exit) => self.ended(moment, exit.into()),
            RunEvent::TakenAway(failure) => self.ended(moment, failure),
            RunEvent::GroupEmptied => self.group_emptied(moment),
            RunEvent::Connected => self.connected(moment),
            RunEvent::Disconnected { reason, is_fault } => {
                self.disconnected(moment, is_fault.then(|| Failure::new(Stage::Link, reason)));
            }
            RunEvent::ProtocolBroken { count, last } => {
                self.reported.protocol_faults += count;
                self.reported.last_protocol_fault = last;
            }
            RunEvent::PongMissed => self.pong_missed(moment),
            RunEvent::PongReceived => self.pong_received(),
            RunEvent::Survived { pids } => self.survived(moment, &pids),
        }
    }

    fn spawned(&mut self, moment: Moment) {
        if self.phase == Phase::Starting {
            self.enter(moment.now, Phase::Connecting { was_stable: false });
            self.arm(Timer::Connect, self.supervision().connect);
        }
    }

    fn spawn_failed(&mut self, moment: Moment, failure: Failure) {
        match self.phase {
            Phase::Starting => self.fail(moment.now, failure, false),
            // Nothing runs: that is all that a stop waits for.
            _ => self.group_emptied(moment),
        }
    }

    fn ended(&mut self, moment: Moment, failure: Failure) {
        let was_stable = match &mut self.phase {
            Phase::Starting => false,
            Phase::Connecting { was_stable: stable } | Phase::Active { is_stable: stable, .. } => *stable,
            // A cluster finds out late that it has lost a node, whose plugins have failed by then: here is why.
            Phase::Stopping { then: Then::Fail { failure: noted, .. } }
            | Phase::Error { survivors: Some(Then::Fail { failure: noted, .. }) }
                if failure.is_from_outside =>
            {
                *noted = failure.clone();
                return self.note_failure(failure);
            }
            // The escalation goes on until the whole group is gone.
            _ => return,
        };
        let failure = after_link_failure(failure, self.link_failure.take());
        self.stop(moment.now, Then::Fail { failure, was_stable });
    }

    fn group_emptied(&mut self, moment: Moment) {
        match &self.phase {
            Phase::Stopping { then } => {
                let then = then.clone();
                self.stopped(moment, then);
            }
            Phase::Error { survivors: Some(then) } => {
                let then = then.clone();
                self.survivors_gone(moment, then);
            }
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => {
                let exit = Exit { code: None, signal: None, out_of_memory: false };
                self.stopped(moment, Then::Fail { failure: exit.into(), was_stable: false });
            }
            Phase::Inactive | Phase::Restarting | Phase::Error { survivors: None } => {}
        }
    }

    /// What could not be killed is gone after all.
    fn survivors_gone(&mut self, moment: Moment, then: Then) {
        match then {
            Then::Fail { failure, was_stable } if failure.is_from_outside => {
                self.fail(moment.now, failure, was_stable);
            }
            Then::Fail { failure, .. } => {
                self.note_failure(failure);
                self.forget_run();
                self.enter(moment.now, Phase::Error { survivors: None });
            }
            then => self.stopped(moment, then),
        }
    }

    fn connected(&mut self, moment: Moment) {
        if !self.accepts_connections() {
            return self.effects.push(Effect::CloseConnection);
        }
        let is_stable = matches!(self.phase, Phase::Active { is_stable: true, .. });
        self.clear_failure();
        self.reported.deaths_at_start = 0;
        self.link_failure = None;
        self.reported.is_degraded = false;
        if self.mode == Mode::External {
            // Nobody starts it, so its run is its connection.
            self.run = moment.fresh;
            self.reported.run = Some(self.run);
        }
        self.enter(moment.now, Phase::Active { is_stable, has_missed_pong: false });
        if !is_stable {
            self.arm(Timer::Stable, self.supervision().stable);
        }
    }

    fn disconnected(&mut self, moment: Moment, failure: Option<Failure>) {
        let Phase::Active { is_stable, .. } = self.phase else { return };
        if let Some(failure) = failure {
            self.note_failure(failure.clone());
            self.link_failure = Some(failure);
        }
        self.enter(moment.now, Phase::Connecting { was_stable: is_stable });
        match self.mode {
            Mode::Supervised => self.arm(Timer::Reconnect, self.supervision().reconnect),
            Mode::External => self.forget_run(),
        }
    }

    fn pong_missed(&mut self, moment: Moment) {
        let Phase::Active { has_missed_pong, .. } = &mut self.phase else { return };
        let is_second = std::mem::replace(has_missed_pong, true);
        let message = format!("stopped answering: no answer to a ping within {:?}", self.supervision().ping);
        let failure = Failure::new(Stage::Link, message);
        self.note_failure(failure.clone());
        self.reported.is_degraded = true;
        if is_second {
            self.effects.push(Effect::CloseConnection);
            self.disconnected(moment, Some(failure));
        }
    }

    fn pong_received(&mut self) {
        if let Phase::Active { has_missed_pong, .. } = &mut self.phase {
            *has_missed_pong = false;
            self.reported.is_degraded = false;
            self.clear_failure();
        }
    }

    pub(super) fn timer_fired(&mut self, moment: Moment, timer: Timer) {
        match (timer, &mut self.phase) {
            (Timer::Connect, Phase::Connecting { .. }) => {
                let message = format!("did not connect within {:?}", self.supervision().connect);
                let failure = Failure::new(Stage::Connect, message);
                self.stop(moment.now, Then::Fail { failure, was_stable: false });
            }
            (Timer::Reconnect, Phase::Connecting { was_stable }) => {
                let was_stable = *was_stable;
                let message = format!("lost its connection and did not exit within {:?}", self.supervision().reconnect);
                let failure = self.link_failure.take().unwrap_or_else(|| Failure::new(Stage::Link, message));
                self.stop(moment.now, Then::Fail { failure, was_stable });
            }
            (Timer::Stable, Phase::Active { is_stable, .. }) => {
                *is_stable = true;
                self.reported.restarts = 0;
                let package = self.package();
                self.reported.proven_package = package;
                self.reported.failed_package.take_if(|failed| Some(*failed) == package);
            }
            (Timer::Grace, Phase::Stopping { .. }) => {
                self.effects.push(Effect::KillGroup);
                self.arm(Timer::Kill, self.supervision().kill);
            }
            (Timer::Backoff, Phase::Restarting) => self.launch(moment),
            (Timer::GoBack, Phase::Error { survivors: None }) => self.go_back(),
            // A deadline of a state that has been left.
            _ => {}
        }
    }

    fn survived(&mut self, moment: Moment, pids: &[u32]) {
        if let Phase::Stopping { then } = &self.phase {
            let then = then.clone();
            self.give_up(moment.now, then, pids);
        }
    }
}

/// A plugin that ends after plugd has ended its connection is told of both: the end alone would hide why it came.
fn after_link_failure(exit: Failure, link: Option<Failure>) -> Failure {
    match link {
        Some(link) => Failure { message: format!("{}; then {}", link.message, exit.message), ..exit },
        None => exit,
    }
}
