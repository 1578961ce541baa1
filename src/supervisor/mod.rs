//! Supervision: one actor a plugin, the registry and the hub that follow the journal, the handle that callers hold.
//!
//! ```text
//! Handle ──Message──► Actor ──step──► Lifecycle        Actor ──report/desire──► Ledger ──commit──► Projection
//!                       ▲ │effects                                                                 (registry, hub)
//!              Happened │ ▼                                                                             │
//!                   Run, Session                                            Handle::get, wait, watch ◄──┘
//! ```

mod actor;
mod arrivals;
mod authenticate;
mod call;
mod configure;
mod external;
mod filter;
mod handle;
mod hub;
mod ledger;
mod library;
mod message;
mod registry;
mod settle;
#[cfg(test)]
pub(crate) mod tests;
mod waiting;
mod watch;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use arrivals::{Supervisor, start};
pub use configure::NewConfiguration;
pub use filter::{ChangeKind, Filter};
pub use handle::{Handle, ListQuery, MAX_WAIT, Wait};
pub use ledger::Ledger;
pub use library::{Library, PackageBytes};
pub use message::{Amendment, ChangeOptions, Decision};
pub use registry::{Projection, Slot};
pub use waiting::Committed;
pub use watch::{Change, Frame, Start, Watch, WatchQuery};

use crate::{
    domain::{Digest, Plugin, PluginId, lifecycle::Policy},
    link::Host,
    runtime::Runtime,
};

/// What the supervisor is made of.
pub struct Parts {
    /// Remembers.
    pub ledger: Arc<dyn Ledger>,
    /// Runs processes.
    pub runtime: Arc<dyn Runtime>,
    /// How long, how often.
    pub policy: Policy,
    /// Answers what plugins ask.
    pub host: Arc<dyn Host>,
    /// Held while a plugin is tried alone, because plugd died twice while it was being started.
    pub trial: Arc<Semaphore>,
    /// Where plugins connect: `ws://127.0.0.1:8000/rpc`.
    pub rpc_url: String,
    /// Called when an update failed before it was ever stable and there is a package to go back to.
    pub on_update_failed: Box<dyn Fn(PluginId, Digest) + Send + Sync>,
    /// Writes a line of plugd into a plugin's log. It must not block.
    pub note: Box<dyn Fn(PluginId, String) + Send + Sync>,
    /// Called once a plugin is deleted, for what else is kept of it. It must not wait.
    pub on_deleted: Box<dyn Fn(&Plugin) + Send + Sync>,
}
