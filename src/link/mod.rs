//! The link to a plugin: a WebSocket at `/rpc` that carries JSON-RPC both ways (CONTRACT 10, 11).
//!
//! ```text
//! GET /rpc ──handshake──► Acceptor::authenticate ──upgrade──► driver ──► Acceptor::attach(Session)
//!                                                          │ reads: answers ──► pending ──► Session::call
//!                                                          │        calls ────► serving ──► Host::call
//!                                                          └ writer ◄── queue ◄── Session::call, answers, pings
//! ```

mod acceptor;
mod driver;
mod envelope;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod faults;
mod handshake;
mod liveness;
mod outbound;
mod pending;
mod serving;
mod session;
#[cfg(test)]
mod tests;
pub mod token;
mod writer;

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

pub use acceptor::{
    Acceptor, Attached, Authenticated, Caller, Credential, Handshake, Host, Refusal, Rejected, SessionEvent,
    SessionEvents,
};
pub use error::{CallError, RpcError};
pub use faults::Faults;
pub use session::{CloseReason, Session, check_size};

/// Times of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// In which a ping must be answered.
    pub ping_timeout: Duration,
    /// In which a plugin must take what is written to it, else the connection is closed.
    pub write_timeout: Duration,
    /// In which the closing handshake must be over, else the connection is dropped.
    pub close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
        }
    }
}

/// What the route needs.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) acceptor: Arc<dyn Acceptor>,
    pub(super) options: Options,
    pub(super) connections: TaskTracker,
}

/// Serves `/rpc`, and nothing else. The tracker has a task for each connection until its closing handshake is over.
pub fn router(acceptor: Arc<dyn Acceptor>, options: Options, connections: TaskTracker) -> axum::Router {
    handshake::router(Route { acceptor, options, connections })
}
