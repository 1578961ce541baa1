//! What the link asks of the rest of plugd: who may connect, and who answers a plugin's calls.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Faults, RpcError, Session};
use crate::domain::{PluginId, RunId};

/// Decides who may connect.
pub trait Acceptor: Send + Sync + 'static {
    /// Checks who dials in, before the upgrade. It consumes nothing: a request that turns out to be no upgrade must not
    /// spend a token (CONTRACT 19, row 19).
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>>;

    /// Takes a new connection, after the upgrade; checks the credential again and spends the token. It may take a while (an older
    /// connection is asked whether it lives). The session works already; the plugin's calls wait until this has
    /// answered. It is always awaited to its end, even if the connection ends meanwhile.
    fn attach(&self, authenticated: Authenticated, session: Session) -> BoxFuture<'_, Result<Attached, Rejected>>;
}

/// What a plugin shows when it dials in (CONTRACT 10.1).
pub struct Handshake {
    /// The id that it claims, 20 canonical characters. Always there unless the token is an external one.
    pub plugin_id: Option<String>,
    /// Its token; not empty.
    pub token: String,
    /// Its `User-Agent`, or nothing.
    pub user_agent: String,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin_id, user_agent, .. } = self;
        f.debug_struct("Handshake")
            .field("plugin_id", plugin_id)
            .field("user_agent", user_agent)
            .finish_non_exhaustive()
    }
}

/// Why somebody is turned away (CONTRACT 10.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400 in these words.
    BadRequest(&'static str),
    /// 401.
    Unauthorised,
    /// 500.
    Internal,
}

/// What a plugin was let in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The token of this run.
    Run(RunId),
    /// The external token of this epoch.
    Epoch(u64),
}

/// A plugin that may connect.
pub struct Authenticated {
    /// Who.
    pub plugin: PluginId,
    /// On what.
    pub credential: Credential,
    /// The token itself, to be spent.
    pub token: String,
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, credential, .. } = self;
        f.debug_struct("Authenticated").field("plugin", plugin).field("credential", credential).finish_non_exhaustive()
    }
}

/// A connection that was taken.
pub struct Attached {
    /// Where to report what happens on it.
    pub events: SessionEvents,
    /// Who answers the plugin's calls.
    pub host: Arc<dyn Host>,
    /// Whose calls they are.
    pub caller: PluginId,
    /// The run that they are of; of an external plugin, its connection.
    pub run: RunId,
}

/// The connection is not wanted: it is closed with 1008 `connection rejected` (CONTRACT 10.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected;

/// Takes what happens on a connection. It must not block.
pub type SessionEvents = Box<dyn Fn(SessionEvent) + Send + Sync>;

/// What happens on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// A ping was not answered in time. While the plugin is busy with a call this comes once only.
    PongMissed,
    /// A ping was answered, or the plugin spoke again after a miss.
    PongReceived,
    /// The plugin did something against the protocol. Comes seldom, whatever the plugin does.
    Faulty(Faults),
    /// The connection has ended. Comes exactly once after a successful attach, and last.
    Closed {
        /// For a person.
        reason: String,
        /// plugd ended it for what the plugin did.
        is_fault: bool,
    },
}

/// Answers a plugin's calls.
pub trait Host: Send + Sync + 'static {
    /// Answers one call. The result is an object; the link adds `method` where it is absent. Calls run side by side; one
    /// whose connection ends is dropped.
    fn call(&self, caller: Caller, method: String, params: Value) -> BoxFuture<'static, Result<Value, RpcError>>;
}

/// Who calls the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The plugin.
    pub plugin: PluginId,
    /// Its run; of an external plugin, its connection.
    pub run: RunId,
    /// Its `User-Agent`: answers differ by SDK (CONTRACT 13).
    pub user_agent: String,
    /// Its connection; unique while plugd runs.
    pub session: u64,
    /// Its own id for this call.
    pub request_id: String,
}
