//! What the lifecycle asks for, done.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{sync::mpsc, time::Instant};

use super::{Actor, Deadline};
use crate::{
    domain::{
        Failure, RunEvent, Stage,
        lifecycle::{Effect, Timer},
    },
    link::token,
    runtime::StartSpec,
    supervisor::configuration,
};

/// By how much a backoff varies, so that plugins that failed together are not restarted together.
const JITTER: f64 = 0.1;

/// Events of a run that may wait for the actor. No run has more than three: spawned, exited, emptied.
const RUN_EVENTS: usize = 4;

impl Actor {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SpawnProcess => self.spawn_process(),
            Effect::TakeOverRun => self.take_over_run(),
            Effect::SignalGroup => self.run.iter().for_each(|run| run.stop()),
            Effect::KillGroup => self.run.iter().for_each(|run| run.kill()),
            Effect::Arm(timer, after) => self.arm(timer, after),
            Effect::Disarm => self.disarm(),
            Effect::CloseConnection => self.close_connection(),
            Effect::Configure => self.configure(),
            Effect::GoBack { from, to } => self.going_back = Some((from, to)),
            Effect::Finish => self.finish(),
        }
    }

    fn arm(&mut self, timer: Timer, after: Duration) {
        let after = if timer == Timer::Backoff { jittered(after) } else { after };
        self.slot.set_restart_time((timer == Timer::Backoff).then(|| Timestamp::now() + after));
        self.deadline = Some(Deadline { run: self.lifecycle.run(), timer, at: Instant::now() + after });
    }

    fn disarm(&mut self) {
        self.slot.set_restart_time(None);
        self.deadline = None;
    }

    fn spawn_process(&mut self) {
        let run = self.lifecycle.run();
        let tell = self.hear_run();
        let Some(package) = self.plugin.desired.package else {
            let failure = Failure::new(Stage::Start, "the plugin has no package");
            return tell(RunEvent::SpawnFailed(failure.permanent()));
        };
        // A plugin that dials with the other kind does not come back when plugd does.
        let token = if self.parts.runtime.outlives_plugd() { token::mint_external() } else { token::mint(run) };
        let manifest = &self.plugin.desired.manifest;
        let spec = StartSpec {
            plugin: self.id,
            run,
            policy: self.plugin.desired.policy.clone(),
            prepare_timeout: self.lifecycle.supervision().prepare,
            grace: self.lifecycle.supervision().grace,
            command: manifest.command.clone(),
            args: manifest.args.clone(),
            package,
            url: format!("{}?plugin_id={}&token={token}", self.parts.rpc_url, self.id).into(),
            traceparent: self.spans.starts(self.id, run).map(|parent| parent.to_string()),
        };
        self.token = Some(token);
        self.run = Some(self.parts.runtime.start(spec, Box::new(tell)));
    }

    fn take_over_run(&mut self) {
        let Some(earlier) = self.earlier.take() else { return };
        tracing::info!(run = %earlier.run, "going on with a run that an earlier plugd began");
        let tell = self.hear_run();
        self.token = Some(earlier.token.expose().to_owned());
        self.run = Some((earlier.take_over)(Box::new(tell), self.lifecycle.supervision().prepare));
    }

    /// Hears from now on what the present run does, which is told by what is returned.
    fn hear_run(&mut self) -> impl Fn(RunEvent) + Send + Sync + use<> {
        let (events, received) = mpsc::channel(RUN_EVENTS);
        self.run_events = Some(received);
        move |event| {
            if let Err(error) = events.try_send(Box::new(event)) {
                tracing::debug!(%error, "an event of a run that is over");
            }
        }
    }

    /// Gives a connected plugin what is stored, unless it is what it has accepted just now.
    pub(super) fn configure(&self) {
        let Some(session) = self.session.clone().filter(|session| Some(session.id()) != self.configured) else {
            return;
        };
        tokio::spawn(configuration::give_stored(self.slot.clone(), session));
    }
}

/// A backoff, somewhat shorter or longer.
pub fn jittered(after: Duration) -> Duration {
    after.mul_f64(rand::random_range(1.0 - JITTER..=1.0 + JITTER))
}
