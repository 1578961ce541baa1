//! What the writer is asked to do.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::domain::{Desired, Plugin, PluginId, Reported, Result, TokenId, access::AccessToken};

/// Where an answer goes. A caller that went away is no reason to stop.
pub(in crate::store) type Reply<T> = oneshot::Sender<Result<T>>;

/// One thing to do.
pub(in crate::store) enum Op {
    /// Change a plugin.
    Change(Change),
    /// Change a token.
    Token(TokenOp),
    /// Say when everything before this is durable.
    Flush(Reply<()>),
    /// Finish; say when the database is closed.
    Close(oneshot::Sender<()>),
}

/// A change of one plugin, and who waits for it.
pub(in crate::store) struct Change {
    pub(in crate::store) what: What,
    /// Nobody waits for a report.
    pub(in crate::store) reply: Option<Reply<Arc<Plugin>>>,
}

/// How a plugin changes.
pub(in crate::store) enum What {
    Install(Box<Plugin>),
    Desire { id: PluginId, desired: Box<Desired>, author: String },
    Report { id: PluginId, reported: Box<Reported> },
    Remove { id: PluginId },
}

/// A change of the access tokens.
pub(in crate::store) enum TokenOp {
    Create { token: AccessToken, reply: Reply<()> },
    Revoke { id: TokenId, reply: Reply<AccessToken> },
    Purge { now: Timestamp, reply: Reply<usize> },
}
