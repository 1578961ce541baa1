//! How many packages may be in memory for clients, and whose turn it is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::domain::{Error, Reason, TokenId};

/// Uploads at once, and downloads at once. Each holds a whole package, which may have 50 MiB.
const AT_ONCE: usize = 8;

/// Uploads, or downloads, of one token at once, so that no client keeps all others out.
const SHARE: usize = 4;

/// Calls of one token that may wait for their turn.
const MAX_WAITING: usize = 32;

/// Places for packages on their way in one direction.
pub(super) struct Places {
    /// What is on its way, for messages.
    what: &'static str,
    free: Arc<Semaphore>,
    /// The shares of the tokens that have calls here.
    shares: Mutex<HashMap<TokenId, Share>>,
}

/// What one token may have.
#[derive(Clone)]
struct Share {
    places: Arc<Semaphore>,
    /// For calls that have a place and calls that wait for one.
    calls: Arc<Semaphore>,
}

/// A place that is taken. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _free: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _call: OwnedSemaphorePermit,
}

impl Places {
    /// Places for uploads or downloads.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, free: Arc::new(Semaphore::new(AT_ONCE)), shares: Mutex::default() }
    }

    /// Places that are taken.
    pub(super) fn taken(&self) -> usize {
        AT_ONCE.saturating_sub(self.free.available_permits())
    }

    /// A place for a package of this token, in its turn, which is waited for so long.
    ///
    /// # Errors
    /// `TOO_BUSY`: too many calls of the token wait already; `DEADLINE_EXCEEDED`.
    pub(super) async fn begin(&self, token: TokenId, patience: Duration) -> Result<Place, Error> {
        let (share, what) = (self.share(token), self.what);
        let too_many = || format!("{MAX_WAITING} {what} of this token wait for their turn already");
        let call = share.calls.try_acquire_owned().map_err(|_| Error::new(Reason::TooBusy, too_many()))?;
        let turn = async { Some((permit(share.places).await?, permit(Arc::clone(&self.free)).await?)) };
        let late = || format!("it was not this call's turn in {patience:?}: other {what} were running");
        let turn = timeout(patience, turn).await.ok().flatten();
        let (own, free) = turn.ok_or_else(|| Error::new(Reason::DeadlineExceeded, late()))?;
        Ok(Place { _free: free, _own: own, _call: call })
    }

    fn share(&self, token: TokenId) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(&share.calls) > 1);
        shares.entry(token).or_default().clone()
    }
}

impl Default for Share {
    fn default() -> Self {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Self { places: of(SHARE), calls: of(SHARE + MAX_WAITING) }
    }
}

/// A permit, in its turn; none of a semaphore that is closed, which nobody does here.
async fn permit(semaphore: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.acquire_owned().await.ok()
}

#[cfg(test)]
mod tests;
