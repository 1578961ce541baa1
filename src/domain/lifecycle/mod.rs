//! The lifecycle of one plugin: a pure function from what is and what happened to what is now and what is to be done.
//!
//! Nothing else assigns a state. `table.txt` beside this file lists every state and event; a test holds it against the code.

mod desired;
mod event;
mod run;
#[cfg(test)]
pub(crate) mod tests;

use std::{sync::Arc, time::Duration};

pub use event::{Effect, Event, Moment, Timer};
use jiff::Timestamp;

use super::{
    Desired, Digest, Failure, Mode, Plugin, Reported, RunId, Stage, State, policy::Supervision, run::MAX_SURVIVORS,
};

/// Deaths of plugd during the start of a plugin, one after the other, after which it is not started again by itself.
///
/// Counted are only those at which the plugin was starting or connecting, so that a `kill -9` or a power cut counts
/// against none that ran. Plugins that start together are counted together, so a plugin that was counted twice is started
/// alone (`supervisor::actor`): a third death can only be its own. Connecting, a request to start it, and another package
/// begin the count afresh.
pub const MAX_DEATHS_AT_START: u32 = 3;

/// Time until going back is tried again where it could not be stored.
const GO_BACK_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Lifecycle {
    mode: Mode,
    /// How plugins are supervised of which no policy says otherwise.
    defaults: Supervision,
    /// What it acted upon last; nothing before the first time.
    desired: Option<Arc<Desired>>,
    phase: Phase,
    /// plugd died while it started the plugin.
    was_in_its_start: bool,
    run: RunId,
    /// The run that an earlier plugd began and that goes on, until it is taken over.
    earlier: Option<RunId>,
    /// Why plugd ended the connection, until the plugin has another one or its run is over.
    link_failure: Option<Failure>,
    reported: Reported,
    stale: u64,
    effects: Vec<Effect>,
}

/// The state with what belongs to it alone.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Inactive,
    Starting,
    Connecting { was_stable: bool },
    Active { is_stable: bool, has_missed_pong: bool },
    Restarting,
    Stopping { then: Then },
    Error { survivors: Option<Then> },
}

/// What follows when nothing of the run is left.
#[derive(Debug, Clone, PartialEq)]
enum Then {
    Disable,
    Restart,
    Fail { failure: Failure, was_stable: bool },
    Delete,
    Shutdown,
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Inactive => State::Inactive,
            Self::Starting => State::Starting,
            Self::Connecting { .. } => State::Connecting,
            Self::Active { .. } => State::Active,
            Self::Restarting => State::Restarting,
            Self::Stopping { .. } => State::Stopping,
            Self::Error { .. } => State::Error,
        }
    }
}

impl Lifecycle {
    /// The lifecycle of a plugin of which nothing runs. It begins with the first [`Event::DesiredChanged`].
    pub fn new(plugin: &Plugin, defaults: Supervision, run: RunId) -> Self {
        Self {
            mode: plugin.desired.mode,
            defaults,
            desired: None,
            phase: Phase::Inactive,
            was_in_its_start: plugin.was_in_its_start(),
            run,
            earlier: None,
            link_failure: None,
            reported: plugin.reported.clone(),
            stale: 0,
            effects: Vec::new(),
        }
    }

    /// The same, but of a plugin of which this run goes on that an earlier plugd began.
    #[must_use]
    pub fn with_earlier(self, run: RunId) -> Self {
        Self { earlier: Some(run), ..self }
    }

    /// How the plugin is supervised.
    pub fn supervision(&self) -> Supervision {
        let desired = self.desired.as_ref();
        desired.map_or_else(|| self.defaults.clone(), |desired| desired.policy.supervision.over(&self.defaults))
    }

    pub fn reported(&self) -> &Reported {
        &self.reported
    }

    /// The present run; what comes of any other is ignored.
    pub fn run(&self) -> RunId {
        self.run
    }

    pub fn accepts_connections(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. })
    }

    /// Events of earlier runs that were ignored.
    pub fn stale_events(&self) -> u64 {
        self.stale
    }

    /// Takes one event in and says what is to be done, in this order.
    pub fn step(&mut self, moment: Moment, event: Event) -> Vec<Effect> {
        match event {
            Event::Run { run, .. } | Event::TimerFired { run, .. } if run != self.run => self.stale += 1,
            Event::Run { event, .. } => self.run_event(moment, event),
            Event::TimerFired { timer, .. } => self.timer_fired(moment, timer),
            Event::DesiredChanged(desired) => self.desired_changed(moment, desired),
            Event::GoBackFailed => self.go_back_failed(),
            Event::EventsLost { count } => self.reported.events_dropped += count,
            Event::DeletionRequested => self.leave(moment.now, Then::Delete),
            Event::ShutdownRequested => self.leave(moment.now, Then::Shutdown),
        }
        std::mem::take(&mut self.effects)
    }

    fn is_desired_active(&self) -> bool {
        self.desired.as_ref().is_some_and(|desired| desired.active.is_active())
    }

    fn package(&self) -> Option<Digest> {
        self.desired.as_ref()?.package
    }

    /// Enters a phase. Its deadline is armed by the caller, afterwards.
    fn enter(&mut self, now: Timestamp, phase: Phase) {
        let left = self.reported.state;
        self.phase = phase;
        self.effects.push(Effect::Disarm);
        let state = self.phase.state();
        if state != left {
            self.reported.since = now;
        }
        self.reported.state = state;
        self.reported.stopping_from = (state == State::Stopping).then_some(left);
        if state != State::Active {
            self.reported.is_degraded = false;
        }
    }

    fn arm(&mut self, timer: Timer, after: Duration) {
        self.effects.push(Effect::Arm(timer, after));
    }

    /// Begins a new run and keeps the count of restarts.
    fn launch(&mut self, moment: Moment) {
        self.begin(moment.now, moment.fresh);
        self.effects.push(Effect::SpawnProcess);
    }

    /// Goes on with the run that an earlier plugd began, if there is one: how far it is is about to be heard.
    fn take_over(&mut self, now: Timestamp) {
        if let Some(run) = self.earlier.take() {
            self.begin(now, run);
            self.effects.push(Effect::TakeOverRun);
        }
    }

    fn begin(&mut self, now: Timestamp, run: RunId) {
        self.run = run;
        self.reported.run = Some(run);
        self.reported.pid = None;
        self.reported.confinement = None;
        self.reported.placement = None;
        self.link_failure = None;
        self.enter(now, Phase::Starting);
    }

    /// Begins a new run and counts restarts from zero.
    fn launch_afresh(&mut self, moment: Moment) {
        self.reported.restarts = 0;
        self.reported.deaths_at_start = 0;
        self.clear_failure();
        self.launch(moment);
    }

    fn rest(&mut self, now: Timestamp) {
        self.clear_failure();
        self.reported.restarts = 0;
        self.reported.deaths_at_start = 0;
        self.forget_run();
        self.enter(now, Phase::Inactive);
    }

    /// Waits for an external plugin, which plugd does not start.
    fn await_connection(&mut self, moment: Moment) {
        self.run = moment.fresh;
        self.forget_run();
        self.clear_failure();
        self.enter(moment.now, Phase::Connecting { was_stable: false });
    }

    /// Begins to stop: signal now, kill after the grace.
    fn stop(&mut self, now: Timestamp, then: Then) {
        if let Then::Fail { failure, .. } = &then {
            self.note_failure(failure.clone());
        } else {
            self.clear_failure();
        }
        self.enter(now, Phase::Stopping { then });
        self.effects.push(Effect::SignalGroup);
        self.arm(Timer::Grace, self.supervision().grace);
    }

    /// Goes on with what the stop was for, as nothing of the run is left.
    fn stopped(&mut self, moment: Moment, then: Then) {
        self.effects.push(Effect::CloseConnection);
        match then {
            Then::Disable => self.rest(moment.now),
            Then::Restart if self.is_desired_active() => self.launch_afresh(moment),
            Then::Restart => self.rest(moment.now),
            Then::Fail { failure, was_stable } => self.fail(moment.now, failure, was_stable),
            Then::Delete | Then::Shutdown => self.finish(moment.now),
        }
    }

    /// Nothing runs and the last run failed: another try, or none.
    fn fail(&mut self, now: Timestamp, failure: Failure, was_stable: bool) {
        let is_its_own = !failure.is_from_outside;
        let is_one_too_many = is_its_own && self.supervision().max_restarts.is_reached(self.reported.restarts);
        let is_last = failure.is_permanent || is_one_too_many;
        self.note_failure(failure);
        self.forget_run();
        if is_its_own && self.reported.proven_package != self.package() {
            self.reported.failed_package = self.package();
        }
        if is_last {
            self.enter(now, Phase::Error { survivors: None });
            if is_its_own {
                self.go_back();
            }
            return;
        }
        let delay = if was_stable || !is_its_own {
            self.supervision().stable_backoff
        } else {
            self.supervision().backoff_after(self.reported.restarts)
        };
        self.reported.restarts = self.reported.restarts.saturating_add(is_its_own.into());
        self.enter(now, Phase::Restarting);
        self.arm(Timer::Backoff, delay);
    }

    /// Where a package failed before it was ever stable, the one before it is desired again.
    fn go_back(&mut self) {
        let Some(desired) = self.desired.clone() else { return };
        let (Some(from), Some(to)) = (desired.package, desired.previous_digest()) else { return };
        if desired.active.is_active() && !desired.is_proven(&self.reported) {
            if let Some(failure) = &mut self.reported.failure {
                failure.going_back_to = Some(to);
            }
            self.effects.push(Effect::GoBack { from, to });
        }
    }

    fn go_back_failed(&mut self) {
        if self.phase == (Phase::Error { survivors: None }) {
            self.arm(Timer::GoBack, GO_BACK_AGAIN);
        }
    }

    /// The plugin is deleted or plugd shuts down, and nothing of it runs.
    fn finish(&mut self, now: Timestamp) {
        self.forget_run();
        if !matches!(self.phase, Phase::Error { .. } | Phase::Inactive) {
            self.enter(now, Phase::Inactive);
        }
        self.effects.push(Effect::Finish);
    }

    /// Notes what went wrong, and where the run was that it went wrong with.
    fn note_failure(&mut self, failure: Failure) {
        let placement = failure.placement.or_else(|| self.reported.placement.clone());
        self.reported.failure = Some(Box::new(Failure { placement, ..failure }));
    }

    fn clear_failure(&mut self) {
        self.reported.failure = None;
    }

    fn forget_run(&mut self) {
        self.reported.run = None;
        self.reported.pid = None;
        self.reported.confinement = None;
        self.reported.placement = None;
    }

    /// Processes outlive their kill. Nothing is started until they are gone.
    fn give_up(&mut self, now: Timestamp, then: Then, pids: &[u32]) {
        let listed = pids.iter().take(MAX_SURVIVORS).map(u32::to_string).collect::<Vec<_>>().join(", ");
        let more = pids.len().saturating_sub(MAX_SURVIVORS);
        let listed = if more > 0 { format!("{listed} and {more} more") } else { listed };
        let listed = if listed.is_empty() { "that it left".to_owned() } else { listed };
        self.note_failure(match &then {
            // Said where it was found out: nobody can kill what can't be reached.
            Then::Fail { failure, .. } if failure.is_from_outside => failure.clone(),
            _ => Failure::new(Stage::Stop, format!("processes {listed} can't be killed")).with_survivors(pids),
        });
        // A deletion is not carried out later, as its caller was told that it failed: the plugin goes on as it is desired.
        let then = if then == Then::Delete { Then::Restart } else { then };
        let is_shutdown = then == Then::Shutdown;
        self.effects.push(Effect::CloseConnection);
        self.enter(now, Phase::Error { survivors: Some(then) });
        if is_shutdown {
            self.effects.push(Effect::Finish);
        }
    }
}
