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

use super::Caller;
use crate::domain::{Error, Reason, TokenId};

/// Uploads at once, and downloads at once. Each holds a whole package, which may have 50 MiB.
const AT_ONCE: usize = 8;

/// Those of one token, so that no client keeps all others out.
const SHARE: usize = 4;

/// Calls of one token that may wait for their turn.
const MAX_WAITING: usize = 32;

/// Places for packages on their way.
pub(super) struct Transfers {
    uploads: Places,
    downloads: Places,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { uploads: Places::new("uploads"), downloads: Places::new("downloads") }
    }
}

impl Transfers {
    /// A place for a package on its way in, which is given back when the result is dropped. Waits so long for its turn.
    ///
    /// # Errors
    /// `TOO_BUSY`: too many calls of this token wait already, or it is not its turn in time.
    pub(super) async fn begin_upload(&self, caller: &Caller, patience: Duration) -> Result<Place, Error> {
        self.uploads.begin(caller.token().id, patience).await
    }

    /// The same for one on its way out.
    pub(super) async fn begin_download(&self, caller: &Caller, patience: Duration) -> Result<Place, Error> {
        self.downloads.begin(caller.token().id, patience).await
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Place {
    _free: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    /// For as long as it is held, the token's share is kept.
    _share: Arc<Share>,
}

struct Places {
    what: &'static str,
    free: Arc<Semaphore>,
    /// Of the tokens that have calls here.
    shares: Mutex<HashMap<TokenId, Arc<Share>>>,
}

/// What one token may have.
#[derive(Debug)]
struct Share {
    places: Arc<Semaphore>,
    queue: Semaphore,
}

impl Places {
    fn new(what: &'static str) -> Self {
        Self { what, free: Arc::new(Semaphore::new(AT_ONCE)), shares: Mutex::default() }
    }

    async fn begin(&self, token: TokenId, patience: Duration) -> Result<Place, Error> {
        let share = self.share(token);
        let waiting = format!("{MAX_WAITING} {} of this token wait for their turn already", self.what);
        let _waiting = share.queue.try_acquire().map_err(|_| Error::new(Reason::TooBusy, waiting))?;
        let turn = async {
            let own = Arc::clone(&share.places).acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>((own, Arc::clone(&self.free).acquire_owned().await?))
        };
        let late = || Error::new(Reason::TooBusy, format!("other {} were running for {patience:?}", self.what));
        // A semaphore that nobody closes gives its permits.
        let (own, free) = timeout(patience, turn).await.ok().and_then(Result::ok).ok_or_else(late)?;
        Ok(Place { _free: free, _own: own, _share: Arc::clone(&share) })
    }

    fn share(&self, token: TokenId) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        Arc::clone(shares.entry(token).or_default())
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(SHARE)), queue: Semaphore::new(MAX_WAITING) }
    }
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
    async fn the_ninth_waits_its_turn_and_is_refused_when_that_does_not_come() {
        let places = Places::new("uploads");
        let mut first = take(&places, 1, SHARE).await;
        let _second = take(&places, 2, AT_ONCE - SHARE).await;
        let refused = places.begin(token(3), PATIENCE).await.unwrap_err();
        assert_eq!((refused.reason, refused.message.as_str()), (Reason::TooBusy, "other uploads were running for 60s"));
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
