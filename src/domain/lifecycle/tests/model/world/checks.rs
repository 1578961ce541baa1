//! What must hold in every state and over every step.

use super::{super::super::*, Checked, EARLIER, Group, MAX_RESTARTS, NEXT, World, from_outside, require, supervision};
use crate::domain::{Confinement, Exit, RunEvent, Stage};

impl World {
    /// What is reported is so.
    pub(super) fn check_state(&self) -> Checked {
        let Self { lifecycle, group, is_connected, deadline, .. } = self;
        let Lifecycle { phase, reported, mode, .. } = lifecycle;
        let (lives, is_external) = (*group != Group::Nothing, *mode == Mode::External);
        let is_right = match phase {
            Phase::Inactive => !lives && !*is_connected && deadline.is_none(),
            Phase::Restarting => !lives && !*is_connected && *deadline == Some(Timer::Backoff),
            Phase::Starting => *group == Group::Created && deadline.is_none(),
            Phase::Connecting { .. } if is_external => !*is_connected && deadline.is_none(),
            Phase::Connecting { .. } => {
                lives && !*is_connected && matches!(deadline, Some(Timer::Connect | Timer::Reconnect))
            }
            Phase::Active { is_stable, .. } => {
                let waits = if *is_stable { None } else { Some(Timer::Stable) };
                (lives || is_external) && *is_connected && *deadline == waits
            }
            Phase::Stopping { .. } => lives && matches!(deadline, Some(Timer::Grace | Timer::Kill)),
            Phase::Error { survivors: Some(_) } => {
                lives && !*is_connected && deadline.is_none() && reported.failure.is_some()
            }
            Phase::Error { survivors: None } => {
                !lives && !*is_connected && matches!(deadline, None | Some(Timer::GoBack)) && reported.failure.is_some()
            }
        };
        require(is_right, "what is reported is not so")?;
        let runs = !matches!(phase, Phase::Inactive | Phase::Restarting | Phase::Error { survivors: None });
        let has_run = runs && !(is_external && matches!(phase, Phase::Connecting { .. }));
        require(
            reported.run == has_run.then_some(lifecycle.run),
            "the run that is reported is not the one that lives",
        )?;
        require(reported.state == phase.state(), "state and phase differ")?;
        require(reported.is_degraded == matches!(phase, Phase::Active { has_missed_pong: true, .. }), "degraded")?;
        let desired = lifecycle.desired.as_ref().ok_or("it has heard nothing")?;
        require(reported.observed_generation == desired.generation, "a change is not answered")?;
        let is_up = !matches!(phase, Phase::Inactive | Phase::Stopping { .. } | Phase::Error { .. });
        require(desired.active.is_active() || !is_up, "it runs although inactive is desired")
    }

    /// A stop takes the grace and the kill at the most, whatever else happens and is asked meanwhile.
    pub(super) fn check_stop(&self, before: &Lifecycle, effects: &[Effect]) -> Checked {
        let begins = |timer| effects.iter().any(|effect| matches!(effect, Effect::Arm(armed, _) if *armed == timer));
        let Phase::Stopping { then } = &before.phase else {
            let is_stopping = self.state() == State::Stopping;
            return require(begins(Timer::Grace) == is_stopping, "a stop begins with its grace");
        };
        require(!begins(Timer::Grace), "a stop is prolonged")?;
        let is_final = matches!(then, Then::Delete | Then::Shutdown);
        let is_taken_back = match &self.lifecycle.phase {
            Phase::Stopping { then } => !matches!(then, Then::Delete | Then::Shutdown),
            Phase::Inactive | Phase::Error { .. } => false,
            _ => true,
        };
        require(!(is_final && is_taken_back), "a deletion or a shutdown under way is taken back")
    }

    /// Restarts are counted, waited for, and end.
    pub(super) fn check_restarts(&self, before: &Lifecycle, effects: &[Effect]) -> Checked {
        let (then, now) = (before.reported.restarts, self.lifecycle.reported.restarts);
        let waits = effects.iter().find_map(|effect| match effect {
            Effect::Arm(Timer::Backoff, wait) => Some(*wait),
            _ => None,
        });
        let Some(wait) = waits else { return self.check_end(before, now == then || now == 0) };
        let supervision = supervision();
        let failure = self.lifecycle.reported.failure.as_ref().ok_or("another try after nothing failed")?;
        let counted = then + u32::from(!failure.is_from_outside);
        require(now == counted && now <= MAX_RESTARTS, "restarts are miscounted, or beyond the budget")?;
        let is_right =
            wait == supervision.stable_backoff || (!failure.is_from_outside && wait == supervision.backoff_after(then));
        require(is_right, "a wait that nobody asked for")?;
        require(!failure.is_permanent, "another try of what can't succeed")
    }

    /// It is given up when the restarts are used up, or when another try can't help, and not before.
    fn check_end(&self, before: &Lifecycle, is_counted: bool) -> Checked {
        require(is_counted, "a restart that is not waited for")?;
        let is_given_up = self.lifecycle.phase == Phase::Error { survivors: None };
        let was_given_up = matches!(before.phase, Phase::Error { .. });
        let Reported { restarts, failure, .. } = &self.lifecycle.reported;
        let is_permanent = failure.as_ref().is_some_and(|failure| failure.is_permanent);
        let is_its_own = failure.as_ref().is_none_or(|failure| !failure.is_from_outside);
        require(!is_given_up || is_its_own || is_permanent, "it is given up for what it did not do")?;
        let is_due = *restarts == MAX_RESTARTS || is_permanent;
        require(!is_given_up || was_given_up || is_due, "it is given up with restarts left")
    }

    /// What comes of an earlier run changes nothing.
    pub(in super::super) fn check_stale(&self) -> Checked {
        if self.lifecycle.run() == EARLIER {
            return Ok(());
        }
        let mut lifecycle = self.lifecycle.clone();
        let moment = Moment { now: Timestamp::UNIX_EPOCH, fresh: NEXT };
        let effects: Vec<Effect> =
            events_of(EARLIER).into_iter().flat_map(|event| lifecycle.step(moment, event)).collect();
        let is_same = lifecycle.phase == self.lifecycle.phase && lifecycle.reported == self.lifecycle.reported;
        require(effects.is_empty() && is_same, "an event of an earlier run is heeded")
    }
}

fn events_of(run: RunId) -> Vec<Event> {
    let did = |event| Event::Run { run, event };
    let fired = |timer| Event::TimerFired { run, timer };
    let failure = Failure::new(Stage::Start, "no such file");
    vec![
        did(RunEvent::Spawned { pid: Some(7), confinement: Some(Confinement::Off), placement: None }),
        did(RunEvent::SpawnFailed(failure)),
        did(RunEvent::Exited(Exit { code: None, signal: None, out_of_memory: false })),
        did(RunEvent::TakenAway(from_outside())),
        did(RunEvent::GroupEmptied),
        did(RunEvent::Connected),
        did(RunEvent::Disconnected { reason: String::new(), is_fault: true }),
        did(RunEvent::PongMissed),
        did(RunEvent::Survived { pids: vec![7] }),
        fired(Timer::Connect),
        fired(Timer::Reconnect),
        fired(Timer::Stable),
        fired(Timer::Grace),
        fired(Timer::Backoff),
        fired(Timer::GoBack),
    ]
}
