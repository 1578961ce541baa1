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
mod filter;
mod gate;
mod handle;
mod hub;
mod ledger;
mod message;
mod registry;
mod settle;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

pub use arrivals::{Supervisor, start};
pub use filter::{ChangeKind, Filter};
pub use handle::{Handle, ListQuery, Wait};
pub use ledger::Ledger;
pub use message::{Amendment, Decision};
pub use registry::{Projection, Slot};
pub use watch::{Change, Frame, Start, Watch, WatchQuery};

use crate::{
    domain::{PluginId, lifecycle::Policy},
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
    /// Where plugins connect: `ws://127.0.0.1:8000/rpc`.
    pub rpc_url: String,
    /// Called once a plugin is deleted, for what else is kept of it.
    pub on_deleted: Box<dyn Fn(PluginId) + Send + Sync>,
}
