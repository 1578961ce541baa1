//! What the lifecycle asks for, done.

use std::time::Duration;

use tokio::time::Instant;

use super::{Actor, Deadline};
use crate::{
    domain::{
        RunId,
        lifecycle::{self, Effect, Happening, Timer},
    },
    link::{self, token},
    runtime::{RunEvent, StartSpec},
    supervisor::{configure::CONFIGURE, message::Message},
};

/// How far a backoff strays, so that plugins that fell together do not rise together.
const JITTER: f64 = 0.1;

impl Actor {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SpawnProcess => self.spawn_process(),
            Effect::SignalGroup => self.run.iter().for_each(|run| run.stop()),
            Effect::KillGroup => self.run.iter().for_each(|run| run.kill()),
            Effect::Arm(timer, after) => self.arm(timer, after),
            Effect::Disarm => self.deadline = None,
            Effect::CloseConnection(reason) => self.close_connection(reason),
            Effect::Finish => self.finish(),
        }
    }

    fn arm(&mut self, timer: Timer, after: Duration) {
        let after = if timer == Timer::Backoff { jittered(after) } else { after };
        self.deadline = Some(Deadline { run: self.lifecycle.run(), timer, at: Instant::now() + after });
    }

    fn spawn_process(&mut self) {
        let run = self.lifecycle.run();
        let Some(package) = self.plugin.desired.package else {
            let failure = crate::domain::Failure::new(crate::domain::Stage::Start, "the plugin has no package");
            self.tell(run, Happening::SpawnFailed(failure.permanent()));
            return;
        };
        let token = token::mint(run);
        let manifest = &self.plugin.desired.manifest;
        let spec = StartSpec {
            plugin: self.id,
            run,
            command: manifest.command.clone(),
            args: manifest.args.clone(),
            package,
            url: format!("{}?plugin_id={}&token={token}", self.parts.rpc_url, self.id),
        };
        self.token = Some(token);
        let inbox = self.slot.inbox().clone();
        let events = move |event| {
            // No one listens once the actor is done, and then there is nobody to tell.
            inbox.send(Message::Happened { run, what: happening(event) }).unwrap_or_default();
        };
        self.run = Some(self.parts.runtime.start(spec, Box::new(events)));
    }

    fn tell(&self, run: RunId, what: Happening) {
        self.slot.inbox().send(Message::Happened { run, what }).unwrap_or_default();
    }

    /// Gives a connected plugin a configuration that was stored unknown to it. One that connects asks with `get_config`.
    pub(super) fn push_configuration(&self) {
        let Some(session) = self.session.clone() else { return };
        let (id, slot) = (self.id, self.slot.clone());
        tokio::spawn(async move {
            // Not beside a new one that the plugin is being asked to accept; and the one that is stored then.
            let _turn = slot.configuring.lock().await;
            let Some(plugin) = slot.plugin() else { return };
            let configuration = serde_json::Value::Object(plugin.desired.configuration.as_ref().clone());
            match session.call("configure", Some(configuration), CONFIGURE).await {
                Ok(result) if result.get("ok") == Some(&serde_json::Value::Bool(true)) => {}
                Ok(_) => tracing::warn!(plugin = %id, "the plugin did not accept its stored configuration"),
                Err(error) => tracing::warn!(plugin = %id, %error, "the stored configuration did not get through"),
            }
        });
    }

    pub(super) fn close_connection(&mut self, reason: lifecycle::CloseReason) {
        self.slot.set_session(None);
        if let Some(session) = self.session.take() {
            session.close(match reason {
                lifecycle::CloseReason::Closed => link::CloseReason::Closed,
                lifecycle::CloseReason::GoingAway => link::CloseReason::GoingAway,
            });
        }
    }
}

fn jittered(after: Duration) -> Duration {
    after.mul_f64(rand::random_range(1.0 - JITTER..=1.0 + JITTER))
}

fn happening(event: RunEvent) -> Happening {
    match event {
        RunEvent::Spawned { pid } => Happening::Spawned { pid },
        RunEvent::SpawnFailed(failure) => Happening::SpawnFailed(failure),
        RunEvent::Exited(exit) => Happening::Exited(exit),
        RunEvent::GroupEmptied => Happening::GroupEmptied,
    }
}
