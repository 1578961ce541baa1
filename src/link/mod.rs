//! The link to a plugin: a WebSocket at `/rpc` that carries JSON-RPC both ways (CONTRACT 10, 11).
//!
//! ```text
//! GET /rpc ──handshake──► Acceptor::authenticate ──upgrade──► connection ──► Acceptor::attach(Session)
//!                                                          │ reads: answers ──► pending ──► Session::call
//!                                                          │        calls ────► serving ──► Host::call
//!                                                          └ writer ◄── queue ◄── Session::call, answers, pings
//! ```

mod bounded;
mod connection;
mod envelope;
#[cfg(test)]
#[path = "tests/fake.rs"]
pub(crate) mod fake;
mod handshake;
mod metrics;
mod observe;
mod package;
mod pending;
mod queue;
mod serving;
mod session;
#[cfg(test)]
mod tests;
pub mod token;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::Value;

pub use bounded::{Bounded, NotQueued, Queued};
pub use connection::CloseReason;
#[cfg(fuzzing)]
pub(crate) use envelope::answer_to;
pub use handshake::{DIALLED, router};
pub use metrics::Metrics;
pub use package::{PACKAGE, PackageOf, package_router};
pub use session::{Session, check_size};

use crate::{
    domain::{PluginId, RunEvent, RunId, Secret},
    telemetry::trace::{Parent, Recent},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// In which a plugin must take what is written to it, else the connection is closed.
    pub write_timeout: Duration,
    /// In which the closing handshake must be over, else the connection is dropped.
    pub close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { write_timeout: Duration::from_secs(30), close_timeout: Duration::from_secs(2) }
    }
}

/// Decides who may connect.
pub trait Acceptor: Send + Sync + 'static {
    /// Checks who dials in, before the upgrade. It consumes nothing: a request that turns out to be no upgrade must not
    /// spend a token (CONTRACT 19, row 19).
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>>;

    /// Takes a new connection, after the upgrade; checks the credential again and spends the token. It may take a while
    /// (an older connection is asked whether it lives). The session works already; the plugin's calls wait until this
    /// has answered. It is always awaited to its end, even if the connection ends meanwhile.
    fn attach(&self, authenticated: Authenticated, session: Session) -> BoxFuture<'_, Result<Attached, Rejected>>;
}

/// What a plugin shows when it dials in (CONTRACT 10.1).
pub struct Handshake {
    /// The id that it claims. Always there unless the token is an external one.
    pub plugin_id: Option<PluginId>,
    pub token: String,
    /// Its `User-Agent`, or nothing.
    pub user_agent: String,
}

/// Why a request is not upgraded to a connection (CONTRACT 10.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400 in these words.
    BadRequest(&'static str),
    /// 401: the token is not good.
    Unauthorised,
    /// 403: a page of another site asks.
    Foreign,
    /// 405: it is no GET.
    Method,
    /// 426: it asks for no upgrade.
    NotAnUpgrade,
    /// 400: it asks for another version of WebSocket than 13.
    WebSocketVersion,
    /// 500: plugd can't tell.
    Internal,
}

/// What proved who a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The token of this run.
    Run(RunId),
    /// The external token of this epoch.
    Epoch(u64),
}

#[derive(Debug)]
pub struct Authenticated {
    pub plugin: PluginId,
    pub credential: Credential,
    /// The token itself, to be spent.
    pub token: Secret,
}

/// How often a plugin is asked for proof of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pings {
    /// From one ping to the next.
    pub interval: Duration,
    /// In which a ping must be answered.
    pub timeout: Duration,
}

pub struct Attached {
    pub pings: Pings,
    /// Where to report what happens on it.
    pub events: SessionEvents,
    /// Answers the plugin's calls.
    pub host: Arc<dyn Host>,
    /// Whose calls they are.
    pub caller: PluginId,
    /// The run that they are of; of an external plugin, its connection.
    pub run: RunId,
    /// The start of the run, of which its first calls are parts; none of an external plugin, which nobody starts.
    pub start: Option<Recent>,
}

/// The connection is not wanted: it is closed with 1008 `connection rejected` (CONTRACT 10.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected;

/// Takes what happens on a connection. It must not block.
pub type SessionEvents = Box<dyn Fn(RunEvent) + Send + Sync>;

/// Answers a plugin's calls.
pub trait Host: Send + Sync + 'static {
    /// Answers one call. The result is an object; the link adds `method` where it is absent. Calls run side by side; one
    /// whose connection ends is dropped.
    fn call(&self, caller: Caller, method: String, params: Value) -> BoxFuture<'static, Result<Value, RpcError>>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub plugin: PluginId,
    /// Its run; of an external plugin, its connection.
    pub run: RunId,
    /// Its `User-Agent`: answers differ by SDK (CONTRACT 13).
    pub user_agent: String,
    /// Its connection; unique while plugd runs.
    pub session: u64,
    /// Its own id for this call.
    pub request_id: String,
    /// What is done for the call is a part of this.
    pub parent: Option<Parent>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    pub code: i64,
    /// For a person.
    pub message: String,
}

impl RpcError {
    /// The call failed (CONTRACT 11.4).
    pub const FAILED: i64 = -32_000;
    /// The frame is not a request.
    pub const INVALID_REQUEST: i64 = -32_600;
    /// Nobody serves this method.
    pub const METHOD_NOT_FOUND: i64 = -32_601;
    /// The parameters are wrong.
    pub const INVALID_PARAMS: i64 = -32_602;

    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Self::FAILED, message)
    }
}

/// Why a call of a plugin came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the plugin is not connected")]
    NotConnected,
    #[error("the plugin went away before it answered: {0}")]
    Lost(String),
    /// No answer within this time. The plugin may still be at it.
    #[error("the plugin did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the plugin refused: {0}")]
    Refused(RpcError),
    #[error("the plugin's answer can't be read: {0}")]
    Undecodable(String),
    #[error("too many messages are waiting for the plugin")]
    QueueFull,
    /// The message is longer than what every SDK accepts (CONTRACT 10.4); in bytes.
    #[error("the message has {bytes} bytes, a plugin accepts {limit}")]
    TooLarge { bytes: usize, limit: usize },
}

impl From<NotQueued> for CallError {
    fn from(error: NotQueued) -> Self {
        match error {
            NotQueued::Full => Self::QueueFull,
            NotQueued::Closed => Self::NotConnected,
        }
    }
}
