//! What callers and plugd itself ask of a plugin.

use jiff::Timestamp;

use super::{CloseReason, Effect, Event, Lifecycle, MAX_DEATHS_AT_START, Moment, Phase, Then};
use crate::domain::{ActiveState, Failure, Mode, Stage};

impl Lifecycle {
    pub(super) fn asked(&mut self, moment: Moment, event: Event) {
        match event {
            Event::Booted { generation } => self.booted(moment, generation),
            Event::ActivationChanged { generation, active } => {
                self.reported.observed_generation = generation;
                self.activation_changed(moment, active);
            }
            Event::RestartRequested { generation } => {
                self.reported.observed_generation = generation;
                self.restart_requested(moment);
            }
            Event::PackageReplaced { generation, package } => {
                self.reported.observed_generation = generation;
                self.package = package;
                self.package_replaced(moment);
            }
            Event::CredentialReplaced { generation } => {
                self.reported.observed_generation = generation;
                self.credential_replaced(moment);
            }
            Event::DesiredAmended { generation } => self.reported.observed_generation = generation,
            Event::EventsLost { count } => self.reported.events_dropped += count,
            Event::ProtocolBroken { count, last } => {
                self.reported.protocol_faults += count;
                self.reported.last_protocol_fault = last;
            }
            Event::DeletionRequested => self.leave(moment.now, Then::Delete),
            Event::ShutdownRequested => self.leave(moment.now, Then::Shutdown),
            // `step` takes these to `happened`.
            Event::Happened { .. } => {}
        }
    }

    /// An earlier plugd may have ended between the commit of what is desired and all that follows from it.
    fn booted(&mut self, moment: Moment, generation: u64) {
        if self.phase != Phase::Inactive {
            return;
        }
        let is_observed = self.reported.observed_generation == generation;
        self.reported.observed_generation = generation;
        match (self.mode, self.active) {
            (Mode::External, _) => self.await_connection(moment),
            (Mode::Supervised, ActiveState::Active) if is_observed => self.launch_unless_deadly(moment),
            (Mode::Supervised, ActiveState::Active) => self.launch_afresh(moment),
            (Mode::Supervised, ActiveState::Inactive) => self.rest(moment.now),
        }
    }

    /// plugd was here before, and may have died of this plugin.
    fn launch_unless_deadly(&mut self, moment: Moment) {
        let deaths = &mut self.reported.deaths_at_start;
        match *deaths {
            MAX_DEATHS_AT_START.. => {}
            earlier if self.was_in_its_start => *deaths = earlier + 1,
            _ => *deaths = 0,
        }
        if *deaths < MAX_DEATHS_AT_START {
            return self.launch(moment);
        }
        let message = format!(
            "plugd ended {deaths} times while this plugin was being started, so it is not started again by itself: mend it, \
             then activate it"
        );
        let failure = Failure::new(Stage::Start, message).with("deaths_at_start", *deaths).permanent();
        self.fail(moment.now, failure, false);
    }

    fn activation_changed(&mut self, moment: Moment, active: ActiveState) {
        self.active = active;
        if self.mode == Mode::External {
            // A deletion that the store did not take: it is waited for again.
            if self.phase == Phase::Inactive {
                self.await_connection(moment);
            }
            return;
        }
        match active {
            ActiveState::Active => self.activated(moment),
            ActiveState::Inactive => self.deactivated(moment.now),
        }
    }

    fn activated(&mut self, moment: Moment) {
        match &mut self.phase {
            Phase::Inactive | Phase::Error { survivors: None } => self.launch_afresh(moment),
            Phase::Stopping { then } | Phase::Error { survivors: Some(then) } => follow_with(then, Then::Restart),
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } | Phase::Restarting => {}
        }
    }

    fn deactivated(&mut self, now: Timestamp) {
        match &mut self.phase {
            // Inactive too: one that awaits its turn at the start of plugd is said to be starting.
            Phase::Inactive | Phase::Restarting | Phase::Error { survivors: None } => self.rest(now),
            Phase::Stopping { then } | Phase::Error { survivors: Some(then) } => follow_with(then, Then::Disable),
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => self.stop(now, Then::Disable),
        }
    }

    fn restart_requested(&mut self, moment: Moment) {
        match self.phase {
            // The delay is skipped, what is held against the plugin is kept.
            Phase::Restarting => self.launch(moment),
            _ => self.begin_anew(moment),
        }
    }

    fn package_replaced(&mut self, moment: Moment) {
        match self.phase {
            Phase::Restarting => self.launch_afresh(moment),
            _ => self.begin_anew(moment),
        }
    }

    fn begin_anew(&mut self, moment: Moment) {
        if !self.active.is_active() || self.mode == Mode::External {
            return;
        }
        match &mut self.phase {
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => self.stop(moment.now, Then::Restart),
            Phase::Stopping { then } | Phase::Error { survivors: Some(then) } => follow_with(then, Then::Restart),
            Phase::Inactive | Phase::Error { survivors: None } | Phase::Restarting => self.launch_afresh(moment),
        }
    }

    fn credential_replaced(&mut self, moment: Moment) {
        if self.mode == Mode::External {
            self.effects.push(Effect::CloseConnection(CloseReason::Closed));
            self.await_connection(moment);
        }
    }

    /// Stops for good: deletion or shutdown.
    fn leave(&mut self, now: Timestamp, why: Then) {
        if self.mode == Mode::External {
            return self.leave_external(now, &why);
        }
        match &mut self.phase {
            Phase::Inactive | Phase::Restarting | Phase::Error { survivors: None } => self.finish(now),
            // plugd does not outlive them; the next start finds and ends them by their run record.
            Phase::Error { survivors: Some(_) } if why == Then::Shutdown => self.effects.push(Effect::Finish),
            Phase::Error { survivors: Some(_) } => {}
            Phase::Stopping { then } => *then = why,
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => self.stop(now, why),
        }
    }

    fn leave_external(&mut self, now: Timestamp, why: &Then) {
        let reason = if *why == Then::Shutdown { CloseReason::GoingAway } else { CloseReason::Closed };
        self.effects.push(Effect::CloseConnection(reason));
        self.finish(now);
    }
}

/// Changes what follows a stop. A deletion or a shutdown under way is not taken back.
fn follow_with(then: &mut Then, new: Then) {
    if !matches!(then, Then::Delete | Then::Shutdown) {
        *then = new;
    }
}
