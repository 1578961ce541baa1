//! Starts an actor for every plugin that comes, and ends them all.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Parts, Projection, actor::Actor, message::Message, registry::Arrival};
use crate::domain::Plugin;

/// Where plugins come from and actors go to.
pub struct Supervisor {
    projection: Arc<Projection>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    actors: JoinSet<()>,
}

/// The projection of a journal at `head`, and the supervisor of its plugins, which does nothing yet.
#[must_use]
pub fn start(plugins: Vec<Plugin>, head: u64) -> (Arc<Projection>, Supervisor) {
    let (projection, arrivals) = Projection::new(plugins, head);
    let supervisor = Supervisor { projection: projection.clone(), arrivals, actors: JoinSet::new() };
    (projection, supervisor)
}

impl Supervisor {
    /// Supervises until `shutdown`, then stops everything that runs, all at once, and returns when that is done or
    /// `patience` is over.
    pub async fn run(mut self, parts: Arc<Parts>, shutdown: CancellationToken, patience: Duration) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(arrival) = self.arrivals.recv() => self.receive(&parts, arrival),
                Some(ended) = self.actors.join_next() => note(ended),
            }
        }
        self.stop(patience).await;
    }

    fn receive(&mut self, parts: &Arc<Parts>, arrival: Arrival) {
        self.actors.spawn(Actor::new(parts.clone(), arrival).run());
    }

    async fn stop(mut self, patience: Duration) {
        for slot in self.projection.slots() {
            // An actor that is gone has nothing to stop.
            slot.inbox().send(Message::ShutDown).unwrap_or_default();
        }
        let ended = timeout(patience, async {
            while let Some(ended) = self.actors.join_next().await {
                note(ended);
            }
        });
        if ended.await.is_err() {
            tracing::error!(plugins = self.actors.len(), "some plugins did not stop in time; they are killed");
        }
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a supervisor ended by a defect; its plugin was killed and rests until plugd restarts");
    }
}
