//! What follows from what is desired, and the end of a plugin.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Effect, Lifecycle, MAX_DEATHS_AT_START, Moment, Phase, Then};
use crate::domain::{Desired, Failure, Mode, Stage};

impl Lifecycle {
    /// Compares what is desired with what was acted upon last, so that also changes take effect that no lifecycle saw.
    pub(super) fn desired_changed(&mut self, moment: Moment, new: Arc<Desired>) {
        let is_observed = self.reported.observed_generation == new.generation;
        self.reported.observed_generation = new.generation;
        let old = self.desired.replace(new.clone());
        if old.is_none() {
            self.take_over(moment.now);
        }
        match (self.mode, old) {
            (Mode::External, old) => self.follow_external(moment, old.as_deref(), &new),
            (Mode::Supervised, _) if !new.active.is_active() => self.deactivate(moment.now),
            // A change that the run of an earlier plugd has not seen makes way for another run.
            (Mode::Supervised, None) if self.phase == Phase::Starting && is_observed => {}
            (Mode::Supervised, None) if self.phase == Phase::Starting => self.begin_anew(moment),
            (Mode::Supervised, None) if is_observed => self.launch_unless_deadly(moment),
            (Mode::Supervised, None) => self.launch_afresh(moment),
            (Mode::Supervised, Some(old)) => self.follow(moment, &old, &new),
        }
    }

    /// A supervised plugin that should run.
    fn follow(&mut self, moment: Moment, old: &Desired, new: &Desired) {
        if old.package != new.package {
            self.begin_anew(moment);
        } else if old.restart_generation != new.restart_generation {
            self.restart(moment);
        } else if old.active_generation != new.active_generation || self.phase == Phase::Inactive {
            self.activate(moment);
        }
        self.configure(old, new);
    }

    /// An external plugin connects again where its manifest or its token changed, where a restart was asked for, and where its
    /// deletion could not be stored.
    fn follow_external(&mut self, moment: Moment, old: Option<&Desired>, new: &Desired) {
        let has_same_access = |old: &Desired| {
            old.token_epoch == new.token_epoch
                && old.restart_generation == new.restart_generation
                && old.manifest == new.manifest
        };
        let Some(old) = old.filter(|old| has_same_access(old) && self.phase != Phase::Inactive) else {
            self.effects.push(Effect::CloseConnection);
            return self.await_connection(moment);
        };
        self.configure(old, new);
    }

    /// Only an active plugin is given its configuration: a plugin that connects asks for it.
    fn configure(&mut self, old: &Desired, new: &Desired) {
        if old.configuration_revision != new.configuration_revision && matches!(self.phase, Phase::Active { .. }) {
            self.effects.push(Effect::Configure);
        }
    }

    /// Starts the plugin after a restart of plugd, unless plugd died too often while it was started.
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
            "plugd ended {deaths} times while this plugin was being started, so it is not started again by itself: fix it, \
             then activate it"
        );
        let failure = Failure::new(Stage::Start, message).permanent();
        self.fail(moment.now, failure, false);
    }

    fn activate(&mut self, moment: Moment) {
        match &mut self.phase {
            Phase::Inactive | Phase::Error { survivors: None } => self.launch_afresh(moment),
            Phase::Stopping { then } | Phase::Error { survivors: Some(then) } => follow_with(then, Then::Restart),
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } | Phase::Restarting => {}
        }
    }

    fn deactivate(&mut self, now: Timestamp) {
        match &mut self.phase {
            // Also an inactive plugin: its record says that it is starting where it waits for its turn after a start of plugd.
            Phase::Inactive | Phase::Restarting | Phase::Error { survivors: None } => self.rest(now),
            Phase::Stopping { then } | Phase::Error { survivors: Some(then) } => follow_with(then, Then::Disable),
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => self.stop(now, Then::Disable),
        }
    }

    fn restart(&mut self, moment: Moment) {
        match self.phase {
            // The delay is skipped, and the failures are still counted.
            Phase::Restarting => self.launch(moment),
            _ => self.begin_anew(moment),
        }
    }

    fn begin_anew(&mut self, moment: Moment) {
        match &mut self.phase {
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => self.stop(moment.now, Then::Restart),
            Phase::Stopping { then } | Phase::Error { survivors: Some(then) } => follow_with(then, Then::Restart),
            Phase::Inactive | Phase::Error { survivors: None } | Phase::Restarting => self.launch_afresh(moment),
        }
    }

    /// Stops for good: deletion or shutdown.
    pub(super) fn leave(&mut self, now: Timestamp, why: Then) {
        if self.mode == Mode::External {
            self.effects.push(Effect::CloseConnection);
            return self.finish(now);
        }
        match &mut self.phase {
            Phase::Inactive | Phase::Restarting | Phase::Error { survivors: None } => self.finish(now),
            // plugd does not outlive them; the keeper ends them, and the next start waits for that.
            Phase::Error { survivors: Some(_) } if why == Then::Shutdown => self.effects.push(Effect::Finish),
            Phase::Error { survivors: Some(_) } => {}
            Phase::Stopping { then } => *then = why,
            Phase::Starting | Phase::Connecting { .. } | Phase::Active { .. } => self.stop(now, why),
        }
    }
}

/// Changes what follows a stop. A deletion or a shutdown under way is not taken back.
fn follow_with(then: &mut Then, new: Then) {
    if !matches!(then, Then::Delete | Then::Shutdown) {
        *then = new;
    }
}
