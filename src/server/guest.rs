//! Whose connections stay when every place is taken.
//!
//! Places are for whoever has a credential, but a connection is accepted before anybody knows whether it has one. So
//! everybody may come in while there is room, and once there is none, the connection that has waited longest to be let in
//! gives its place to the next. Who holds a thousand connections without a credential thus keeps nobody out, and there is
//! no time limit to choose. A connection is let in for good by its first request with a good credential, or by becoming a
//! WebSocket, which also takes one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// Connections that nobody has let in yet, by their number: the lowest came first.
#[derive(Default)]
pub(super) struct Strangers(Mutex<BTreeMap<u64, CancellationToken>>);

impl Strangers {
    /// A new connection is a stranger until it is let in, or its [`Stay`] ends.
    pub(super) fn enter(self: &Arc<Self>, number: u64) -> Stay {
        let evicted = CancellationToken::new();
        self.lock().insert(number, evicted.clone());
        let inner = Inner { number, strangers: Arc::clone(self), is_in: AtomicBool::new(false), evicted };
        Stay(Guest(Arc::new(inner)))
    }

    /// Ends the connection that has been a stranger for longest, if there is one.
    pub(super) fn evict_oldest(&self) {
        let oldest = self.lock().pop_first();
        if let Some((_, evicted)) = oldest {
            evicted.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection that a request came on, in the extensions of every request. Whoever finds the request's credential good
/// lets it in.
#[derive(Clone)]
pub struct Guest(Arc<Inner>);

struct Inner {
    number: u64,
    strangers: Arc<Strangers>,
    is_in: AtomicBool,
    evicted: CancellationToken,
}

impl Guest {
    /// From now on the connection keeps its place. It costs nothing to say so again.
    pub fn let_in(&self) {
        if !self.0.is_in.swap(true, Ordering::Relaxed) {
            self.0.strangers.lock().remove(&self.0.number);
        }
    }

    /// Waits until the connection has to give its place up.
    pub(super) async fn evicted(&self) {
        self.0.evicted.cancelled().await;
    }
}

/// For as long as HTTP is spoken on a connection it may be a stranger.
pub(super) struct Stay(Guest);

impl Stay {
    pub(super) fn guest(&self) -> &Guest {
        &self.0
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.let_in();
    }
}
