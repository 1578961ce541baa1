//! Supervision: one actor a plugin, the registry and the hub that follow the journal, the handle that callers hold.
//!
//! ```text
//! Handle ──Message──► Actor ──step──► Lifecycle        Actor ──report/desire──► Store ──commit───► Projection
//!                       ▲ │effects                                                                 (registry, hub)
//!              RunEvent │ ▼                                                                             │
//!                   Run, Session                                            Handle::get, wait, watch ◄──┘
//! ```

mod actor;
mod configuration;
mod connections;
mod handle;
mod packages;
mod registry;
mod settle;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{self, JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use actor::{ChangeOptions, jittered};
pub use configuration::NewConfiguration;
pub use handle::{Handle, ListQuery, MAX_WAIT, Wait};
pub use packages::Packages;
pub use registry::{Projection, Slot};
pub use settle::Committed;
pub use store::Store;
pub use watch::{Change, ChangeKind, Filter, Frame, Start, Watch, WatchQuery};

use self::{actor::Actor, registry::Arrival};
use crate::{
    domain::{Error, Failure, Mode, Plugin, PluginId, Reason, Reported, Stage, State, policy::Supervision},
    link::Host,
    runtime::{EarlierRun, Runtime},
};

pub struct Parts {
    /// Remembers.
    pub store: Arc<dyn Store>,
    /// Runs processes.
    pub runtime: Arc<dyn Runtime>,
    /// How long, how often.
    pub supervision: Supervision,
    /// Answers what plugins ask.
    pub host: Arc<dyn Host>,
    /// Held while a plugin is started alone, because plugd died twice while it was being started.
    pub start_alone: Arc<Semaphore>,
    /// Where plugins connect: `ws://127.0.0.1:8000/rpc`.
    pub rpc_url: String,
    /// Writes a line of plugd into a plugin's log. It must not block.
    pub note: Box<dyn Fn(PluginId, String) + Send + Sync>,
    /// Called once a plugin is deleted, for what else is kept of it. It must not wait.
    pub on_deleted: Box<dyn Fn(&Plugin) + Send + Sync>,
}

/// Starts an actor for every plugin, and stops them all.
pub struct Supervisor {
    projection: Arc<Projection>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    actors: JoinSet<()>,
    ids: HashMap<task::Id, PluginId>,
    /// Runs that an earlier plugd began, until their plugins' actors have them.
    earlier: HashMap<PluginId, EarlierRun>,
}

/// The projection of a journal at `head`, and the supervisor of its plugins, which does nothing yet.
pub fn start(plugins: Vec<Plugin>, head: u64) -> (Arc<Projection>, Supervisor) {
    let (projection, arrivals) = Projection::new(plugins, head);
    let actors = JoinSet::new();
    let (ids, earlier) = (HashMap::new(), HashMap::new());
    let supervisor = Supervisor { projection: projection.clone(), arrivals, actors, ids, earlier };
    (projection, supervisor)
}

impl Supervisor {
    /// Supervises until `shutdown`, then stops everything that runs, all at once, and returns when that is done or
    /// `patience` is over.
    pub async fn run(mut self, parts: Arc<Parts>, shutdown: CancellationToken, margin: Duration) {
        let (mut earlier, mut held) = (Some(parts.runtime.earlier()), Vec::new());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                found = known(&mut earlier) => {
                    earlier = None;
                    self.earlier = found.into_iter().map(|earlier| (earlier.plugin, earlier)).collect();
                    held.drain(..).for_each(|arrival| self.receive(&parts, arrival));
                    while let Ok(arrival) = self.arrivals.try_recv() {
                        self.receive(&parts, arrival);
                    }
                    // What is left is of no plugin.
                    self.earlier.clear();
                }
                Some(arrival) = self.arrivals.recv() => match arrival.plugin.desired.mode {
                    // It may run already, which is about to be known.
                    Mode::Supervised if earlier.is_some() => held.push(arrival),
                    _ => self.receive(&parts, arrival),
                },
                Some(ended) = self.actors.join_next_with_id() => self.ended(&parts, ended),
            }
        }
        self.stop(&parts, margin).await;
    }

    fn receive(&mut self, parts: &Arc<Parts>, arrival: Arrival) {
        let id = arrival.plugin.id;
        let task = self.actors.spawn(Actor::new(parts.clone(), arrival, self.earlier.remove(&id)).run());
        self.ids.insert(task.id(), id);
    }

    /// An actor that ended by a defect took its process with it; its plugin says so.
    fn ended(&mut self, parts: &Parts, ended: Result<(task::Id, ()), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, ())| *task);
        let (Some(id), Err(error)) = (self.ids.remove(&task), ended) else { return };
        tracing::error!(plugin = %id, %error, "a supervisor ended by a defect");
        if let Some(plugin) = self.projection.slot(id).ok().and_then(|slot| slot.plugin()) {
            parts.store.report(id, defective(&plugin.reported));
        }
    }

    async fn stop(mut self, parts: &Parts, margin: Duration) {
        let mut longest = Duration::ZERO;
        for slot in self.projection.slots() {
            slot.shut_down();
            longest = longest.max(slot.plugin().map_or(Duration::ZERO, |plugin| time_to_stop(&plugin, parts)));
        }
        let ended = timeout(longest + margin, async {
            while let Some(ended) = self.actors.join_next_with_id().await {
                self.ended(parts, ended);
            }
        });
        if ended.await.is_err() {
            tracing::error!(plugins = self.actors.len(), "some plugins did not stop in time; they are killed");
        }
    }
}

/// The runs that go on, once they are known; never, if that is over.
async fn known(earlier: &mut Option<BoxFuture<'_, Vec<EarlierRun>>>) -> Vec<EarlierRun> {
    match earlier {
        Some(earlier) => earlier.await,
        None => pending().await,
    }
}

fn time_to_stop(plugin: &Plugin, parts: &Parts) -> Duration {
    let supervision = plugin.desired.policy.supervision.over(&parts.supervision);
    supervision.grace + supervision.kill
}

fn defective(last: &Reported) -> Reported {
    let message = "its supervisor ended by a defect of plugd: restart plugd, and report what its log says";
    let failure = Some(Failure::new(Stage::Link, message).into());
    let (since, serial) = (Timestamp::now(), last.serial + 1);
    let nothing_runs = Reported { run: None, pid: None, confinement: None, placement: None, ..last.clone() };
    Reported { state: State::Error, since, failure, serial, ..nothing_runs }
}

/// The answer to calls, and the end of streams, while plugd stops.
pub fn draining() -> Error {
    Error::new(Reason::Draining, "the server shuts down")
}
