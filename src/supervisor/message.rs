//! What an actor is told.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{settle::Want, waiting::Committed};
use crate::{
    domain::{
        Desired, Plugin, Result, RunId,
        lifecycle::{Event, Happening},
    },
    link::{Attached, Authenticated, Rejected, Session, SessionEvent},
};

pub(super) type Inbox = mpsc::UnboundedSender<Message>;
pub(super) type Reply<T> = oneshot::Sender<T>;

/// One message to an actor. Nothing here takes the actor any time.
pub(super) enum Message {
    Amend(Amend),
    /// It may be tried alone now, for as long as it holds this.
    Turn(OwnedSemaphorePermit),
    Delete {
        if_generation: Option<u64>,
        reply: Reply<Result<Arc<Plugin>>>,
    },
    ShutDown,
    Happened {
        run: RunId,
        what: Happening,
    },
    Authenticate {
        token: String,
        reply: Reply<bool>,
    },
    Attach(Attach),
    /// A record with this generation was committed, perhaps unknown to the actor.
    Committed {
        generation: u64,
    },
    /// `first` is the number of the session that was asked whether it lives.
    Probed {
        attach: Attach,
        first: u64,
        is_alive: bool,
    },
    /// Answered once everything before it is done.
    Barrier {
        reply: Reply<()>,
    },
    EventsLost {
        count: u64,
    },
    Linked {
        session: u64,
        event: SessionEvent,
    },
}

/// Decides, in view of the plugin as it is, how to change what is desired of it.
pub(super) type Decide = Box<dyn FnOnce(&Plugin) -> Result<Decision> + Send>;

/// Who changes what is desired of a plugin, and what they know of it.
#[derive(Debug, Clone, Default)]
pub struct ChangeOptions {
    /// The name of the token that asked.
    pub author: String,
    /// The generation that must be desired still, if the caller cares.
    pub if_generation: Option<u64>,
}

impl From<&str> for ChangeOptions {
    fn from(author: &str) -> Self {
        Self { author: author.to_owned(), if_generation: None }
    }
}

/// A change of what is desired, decided by the actor and committed before it acts on it.
pub(super) struct Amend {
    pub decide: Decide,
    /// What the caller will perhaps wait for, once the change is committed.
    pub wanted: Want,
    pub options: ChangeOptions,
    pub reply: Reply<Result<Committed>>,
}

/// What came of a look at the plugin.
pub enum Decision {
    /// Nothing to change: what is asked for is desired already.
    Join,
    /// Commit this, then tell the lifecycle.
    Commit(Box<Amendment>),
}

/// A change of what is desired.
pub struct Amendment {
    /// What is desired from now on. The actor sets the generation.
    pub desired: Desired,
    /// What the lifecycle is told, given the new generation.
    pub event: fn(generation: u64, desired: &Desired) -> Event,
}

/// A connection that wants to be this plugin's.
pub(super) struct Attach {
    pub authenticated: Authenticated,
    pub session: Session,
    pub reply: Reply<Result<Attached, Rejected>>,
}
