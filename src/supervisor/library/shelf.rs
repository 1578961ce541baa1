//! The shelf: the bytes of packages, each kept from its arrival until no plugin needs it.
//!
//! A disk can hang. So nobody waits for bytes longer than [`PATIENCE`], and what hangs is in the way of nobody but those
//! who want the same package: each has a lock of its own. Nobody queues for one alone either, which would keep the next
//! who share it waiting: whoever would delete a package that is in use leaves that to its users, the last of whom looks
//! again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{OwnedRwLockReadGuard, RwLock},
    time::timeout,
};

use super::PackageBytes;
use crate::{
    domain::{Desired, Digest, Error, Reason, Result},
    supervisor::{Handle, registry::Page},
};

/// How long the largest package may take to be stored or read; a disk that takes longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of all packages.
pub(super) struct Shelf {
    handle: Handle,
    bytes: Arc<dyn PackageBytes>,
    /// Shared by those who need a package that no plugin refers to: not yet, or perhaps no longer. Alone for who deletes
    /// it.
    locks: Mutex<HashMap<Digest, Arc<RwLock<()>>>>,
    /// Packages that perhaps nobody needs.
    doubtful: Mutex<HashSet<Digest>>,
}

/// Keeps a package from being deleted.
type Claim = Arc<OwnedRwLockReadGuard<()>>;

impl Shelf {
    pub(super) fn new(handle: Handle, bytes: Arc<dyn PackageBytes>) -> Arc<Self> {
        Arc::new(Self { handle, bytes, locks: Mutex::default(), doubtful: Mutex::default() })
    }

    /// Stores a package and commits what refers to it; without the commit nothing is kept. It goes on to its end when
    /// nobody waits for it any longer.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `TOO_BUSY`, and what `commit` answers.
    pub(super) async fn take_in<T: Send + 'static>(
        self: &Arc<Self>,
        (digest, bytes): (Digest, Bytes),
        commit: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.handle.check_ledger()?;
        let claim = self.claim(digest).await?;
        let shelf = Arc::clone(self);
        let taking_in = async move {
            let stored = shelf.put(digest, bytes, Arc::clone(&claim)).await;
            let committed = match stored {
                Ok(()) => commit.await,
                Err(error) => Err(error),
            };
            drop(claim);
            shelf.settle(digest, committed.as_ref().err());
            committed
        };
        let broke_off = |_| Err(Error::new(Reason::Internal, "the package could not be taken in"));
        tokio::spawn(taking_in).await.unwrap_or_else(broke_off)
    }

    /// Does something with a package that must not be deleted meanwhile.
    ///
    /// # Errors
    /// `TOO_BUSY`, and what `work` answers.
    pub(super) async fn hold<T>(self: &Arc<Self>, digest: Digest, work: impl Future<Output = Result<T>>) -> Result<T> {
        let claim = self.claim(digest).await?;
        let done = work.await;
        drop(claim);
        self.discard(None);
        done
    }

    /// The bytes of a package.
    ///
    /// # Errors
    /// `PACKAGE_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(super) async fn get(&self, digest: Digest) -> Result<Bytes> {
        timeout(PATIENCE, self.bytes.get(digest)).await.unwrap_or_else(|_| Err(hangs()))
    }

    /// Deletes those of these packages that nobody needs, without anybody waiting for that.
    pub(super) fn discard(self: &Arc<Self>, candidates: impl IntoIterator<Item = Digest>) {
        let doubtful = self.doubt(candidates);
        if !doubtful.is_empty() {
            let shelf = Arc::clone(self);
            tokio::spawn(async move { shelf.look_through(doubtful).await });
        }
    }

    /// Deletes what nobody needs, of all that was stored at a time that is due, and of what was doubtful before.
    pub(super) async fn sweep(self: &Arc<Self>, is_due: impl Fn(SystemTime) -> bool) {
        match timeout(PATIENCE, self.bytes.list()).await.unwrap_or_else(|_| Err(hangs())) {
            Ok(stored) => {
                let needed = self.needed();
                let due = stored.into_iter().filter(|(_, time)| is_due(*time)).map(|(digest, _)| digest);
                let doubtful = self.doubt(due.filter(|digest| !needed.contains(digest)));
                self.look_through(doubtful).await;
            }
            Err(error) => tracing::warn!(%error, "packages that nobody needs can't be looked for"),
        }
    }

    async fn claim(&self, digest: Digest) -> Result<Claim> {
        let claimed = timeout(PATIENCE, self.lock_of(digest).read_owned()).await;
        let busy = || Error::new(Reason::TooBusy, "the same package is being deleted, which takes long");
        claimed.map(Arc::new).map_err(|_| busy().with("package_digest", digest))
    }

    /// What becomes of a package that was taken in.
    fn settle(self: &Arc<Self>, digest: Digest, error: Option<&Error>) {
        match error.map(|error| error.reason) {
            // The commit may still be under way, and nobody can tell any more.
            Some(Reason::Draining) => {}
            // It may be so too, but comes before the deletion, which has all that is doubtful looked at when it is done.
            Some(Reason::BeingDeleted) => drop(self.doubt([digest])),
            Some(_) => self.discard([digest]),
            None => self.discard(None),
        }
    }

    /// What is not written in time may be written yet: it is claimed until then, and looked at after that.
    async fn put(self: &Arc<Self>, digest: Digest, bytes: Bytes, claim: Claim) -> Result<()> {
        let shelf = Arc::clone(self);
        let putting = tokio::spawn(async move {
            let put = shelf.bytes.put(digest, bytes).await;
            drop(claim);
            if shelf.doubtful().contains(&digest) {
                shelf.discard(None);
            }
            put
        });
        let broke_off = |_| Err(Error::new(Reason::Internal, "the package could not be stored"));
        timeout(PATIENCE, putting).await.map_or_else(|_| Err(hangs()), |put| put.unwrap_or_else(broke_off))
    }

    /// Those that perhaps nobody needs, with these.
    fn doubt(&self, candidates: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
        let mut doubtful = self.doubtful();
        doubtful.extend(candidates);
        doubtful.iter().copied().collect()
    }

    fn doubtful(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A deletion goes on, alone with its package, when nobody waits for it any longer.
    async fn look_through(self: &Arc<Self>, digests: Vec<Digest>) {
        let looks = digests.into_iter().map(|digest| {
            let shelf = Arc::clone(self);
            tokio::spawn(async move { shelf.look_at(digest).await })
        });
        join_all(looks).await;
    }

    async fn look_at(&self, digest: Digest) {
        let Ok(_alone) = self.lock_of(digest).try_write_owned() else { return };
        if !self.handle.is_settled() {
            // A plugin whose commit is not certain yet may refer to it. It stays doubtful.
            return;
        }
        self.doubtful().remove(&digest);
        if self.is_needed(digest) {
            return;
        }
        tracing::debug!(%digest, "a package that nobody needs is deleted");
        if let Err(error) = self.bytes.delete(digest).await {
            tracing::warn!(%digest, %error, "a package that nobody needs is left behind");
        }
    }

    fn is_needed(&self, digest: Digest) -> bool {
        let mut is_needed = false;
        self.handle.projection().page(None, |plugin| {
            is_needed = packages_of(&plugin.desired).any(|needed| needed == digest);
            if is_needed { Page::End } else { Page::Skip }
        });
        is_needed
    }

    /// All packages that plugins refer to: one look for a whole sweep.
    fn needed(&self) -> HashSet<Digest> {
        let (_, plugins) = self.handle.projection().snapshot();
        plugins.iter().flat_map(|plugin| packages_of(&plugin.desired)).collect()
    }

    fn lock_of(&self, digest: Digest) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(digest).or_default())
    }
}

pub(super) fn packages_of(desired: &Desired) -> impl Iterator<Item = Digest> + use<> {
    desired.package.into_iter().chain(desired.previous_digest())
}

fn hangs() -> Error {
    Error::new(Reason::StoreUnavailable, "the store of packages does not answer")
}
