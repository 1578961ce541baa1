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
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn token(number: u8) -> TokenId {
        TokenId::from_bytes([number; 12])
    }

    /// So many places for this token, which are to be had at once.
    async fn take(places: &Places, number: u8, count: usize) -> Vec<Place> {
        let taken = join_all((0..count).map(|_| places.begin(token(number), PATIENCE))).now_or_never();
        taken.expect("they would wait").into_iter().map(Result::unwrap).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_has_its_share_waits_and_leaves_the_rest_to_others() {
        let places = Places::new("uploads");
        let mut first = take(&places, 1, SHARE).await;
        let mut waiting = Box::pin(places.begin(token(1), PATIENCE));
        assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
        let _others = take(&places, 2, AT_ONCE - SHARE).await;
        first.pop();
        assert!(waiting.await.is_ok(), "its turn has come");
    }

    #[tokio::test(start_paused = true)]
    async fn the_ninth_waits_its_turn_until_its_time_is_over() {
        let places = Places::new("uploads");
        let mut first = take(&places, 1, SHARE).await;
        let _second = take(&places, 2, AT_ONCE - SHARE).await;
        let refused = places.begin(token(3), PATIENCE).await.unwrap_err();
        assert_eq!(refused.reason, Reason::DeadlineExceeded);
        assert_eq!(refused.message, "it was not this call's turn in 60s: other uploads were running");
        let mut ninth = Box::pin(places.begin(token(3), PATIENCE));
        assert!(ninth.as_mut().now_or_never().is_none(), "it waits");
        first.pop();
        assert!(ninth.await.is_ok(), "its turn has come");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_calls_of_a_token_wait() {
        let places = Places::new("downloads");
        let _first = take(&places, 1, SHARE).await;
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(places.begin(token(1), PATIENCE))).collect();
        assert!(waiting.iter_mut().all(|call| call.now_or_never().is_none()));
        let refused = places.begin(token(1), PATIENCE).await.unwrap_err();
        assert!(refused.message.starts_with("32 downloads of this token wait"), "{}", refused.message);
        waiting.pop();
        assert!(
            places.begin(token(1), PATIENCE).now_or_never().is_none(),
            "who gives up leaves its place in the queue"
        );
    }

    #[tokio::test]
    async fn a_token_without_calls_is_forgotten() {
        let places = Places::new("uploads");
        drop(take(&places, 1, SHARE).await);
        let _place = take(&places, 2, 1).await;
        assert_eq!(places.shares.lock().unwrap().len(), 1);
    }
}
