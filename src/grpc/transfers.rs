//! Packages on their way: how many may be in memory for clients, whose turn it is, and how fast one has to travel. A client that
//! is slow keeps its place from others: the largest package takes ten minutes at 86 KB/s, a small one half a minute at any rate.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::domain::{Error, Reason, TokenId};

/// Uploads at once, and downloads at once. Each holds a whole package, which may have 50 MiB.
const AT_ONCE: usize = 8;

/// Uploads, or downloads, of one token at once, so that no client keeps all others out.
const SHARE: usize = 4;

/// Calls of one token that may wait for their turn.
const MAX_WAITING: usize = 32;

/// How long a package may take from one message to the next.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// Bytes a second that have to travel, on the whole.
const MIN_RATE: u64 = 32 * 1024;
/// How far a transfer may be behind that rate, at its beginning too.
const GRACE: Duration = Duration::from_secs(30);
/// How long all of it may take, however fast it is.
const TOTAL: Duration = Duration::from_secs(600);

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

/// A package on its way, in or out.
#[derive(Debug)]
pub(super) struct Transfer {
    begun: Instant,
    bytes: u64,
}

impl Transfer {
    /// A transfer that begins now.
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), bytes: 0 }
    }

    /// So many bytes more have travelled.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// What the step comes to that moves the next bytes.
    ///
    /// # Errors
    /// `TOO_SLOW`: it takes longer than the transfer has.
    pub(super) async fn step<T>(&self, step: impl Future<Output = T>) -> Result<T, Error> {
        let earned = Duration::from_secs(self.bytes / MIN_RATE);
        let whole = self.begun + GRACE.saturating_add(earned).min(TOTAL);
        let deadline = whole.min(Instant::now() + IDLE);
        timeout_at(deadline, step).await.map_err(|_| self.too_slow())
    }

    fn too_slow(&self) -> Error {
        let (bytes, seconds) = (self.bytes, self.begun.elapsed().as_secs());
        let message = format!(
            "the transfer is too slow: {bytes} bytes in {seconds} s; at least {MIN_RATE} a second and an end within \
             {TOTAL:?} are needed"
        );
        Error::new(Reason::TooSlow, message).with("bytes", bytes)
    }
}

#[cfg(test)]
mod tests;
