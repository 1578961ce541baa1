//! Which changes survive a power cut by now: what is desired is synced beside the writer, which goes on meanwhile.
//!
//! A change of what is desired takes effect once it is written: no plugin that was started or stopped for it outlives a power cut
//! either. Only whoever asked for it waits until it is synced. One sync has all changes that came while the one before it was
//! under way. What has files taken away is synced before it takes effect ([`Batch::durability`]).

use std::{sync::Arc, time::Instant};

use tokio::sync::{mpsc, watch};

use super::{
    StoreError, batch::Batch, error::unavailable, lease::Durability, location::Location, metrics::Metrics,
    writer::within,
};
use crate::domain::Result;

/// How far syncs have come, in revisions.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The newest change that has to be synced.
    wanted: u64,
    /// All changes up to this one are.
    synced: u64,
    /// Of changes up to this one a sync has failed.
    failed: u64,
}

impl Progress {
    /// Whether all changes up to this revision survive a power cut; None while a sync is under way.
    fn outcome(self, revision: u64) -> Option<bool> {
        let wanted = revision.min(self.wanted);
        if wanted <= self.synced { Some(true) } else { (wanted <= self.failed).then_some(false) }
    }

    fn has_work(self) -> bool {
        self.wanted > self.synced.max(self.failed)
    }
}

/// What the writer tells of its commits.
pub(super) struct Syncer {
    progress: watch::Sender<Progress>,
    failures: mpsc::Receiver<StoreError>,
}

impl Syncer {
    /// Syncs what is at this location until it is dropped.
    pub(super) fn start(location: Arc<Location>, metrics: Metrics) -> Self {
        let progress = watch::Sender::new(Progress::default());
        let (failed, failures) = mpsc::channel(1);
        tokio::spawn(sync_all(progress.clone(), location, metrics, failed));
        Self { progress, failures }
    }

    /// This is written, and survives so much by now.
    pub(super) fn note(&self, batch: &Batch, durability: Durability) {
        match durability {
            Durability::Synced => self.note_synced(batch.head()),
            Durability::Syncing => self.progress.send_modify(|progress| {
                if progress.synced >= progress.wanted {
                    progress.synced = batch.base;
                }
                progress.wanted = batch.head();
            }),
            Durability::Written => {}
        }
    }

    /// All changes so far are synced, up to this revision.
    pub(super) fn note_synced(&self, revision: u64) {
        self.progress.send_modify(|progress| progress.synced = revision);
    }

    /// Why the last sync failed, once one has.
    pub(super) async fn failed(&mut self) -> StoreError {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// What failed before is no news once it is looked into.
    pub(super) fn forget_failures(&mut self) {
        while self.failures.try_recv().is_ok() {}
    }

    /// For those who wait for it.
    pub(super) fn durable(&self, location: Arc<Location>) -> Durable {
        Durable { progress: self.progress.subscribe(), location }
    }
}

/// What those hear who wait for a change to be durable. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    progress: watch::Receiver<Progress>,
    location: Arc<Location>,
}

impl Durable {
    /// Where a server syncs whatever is committed, or another plugd does.
    pub(super) fn at_once(location: Arc<Location>) -> Self {
        Self { progress: watch::channel(Progress::default()).1, location }
    }

    /// The newest change so far that has to be synced.
    pub(super) fn wanted(&self) -> u64 {
        self.progress.borrow().wanted
    }

    /// Whether all changes up to this revision survive a power cut.
    pub(super) fn has(&self, revision: u64) -> bool {
        self.progress.borrow().outcome(revision) == Some(true)
    }

    /// Waits until all changes up to this revision survive a power cut: for two syncs at the most, as one may be under way that
    /// began before.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` where that is not known.
    pub(super) async fn reach(mut self, revision: u64) -> Result<()> {
        let reached = self.progress.wait_for(|progress| progress.outcome(revision).is_some()).await;
        match reached.map(|progress| progress.outcome(revision)) {
            Ok(Some(true)) => Ok(()),
            Ok(_) => Err(self.location.refusal()),
            Err(_) => Err(unavailable()),
        }
    }
}

async fn sync_all(
    progress: watch::Sender<Progress>,
    location: Arc<Location>,
    metrics: Metrics,
    failed: mpsc::Sender<StoreError>,
) {
    let mut work = progress.subscribe();
    loop {
        let wanted = tokio::select! {
            () = failed.closed() => return,
            wanted = work.wait_for(|progress| progress.has_work()) => match wanted {
                Ok(progress) => progress.wanted,
                Err(_) => return,
            },
        };
        let begun = Instant::now();
        match within(location.sync()).await {
            Ok(()) => {
                metrics.synced(begun.elapsed());
                progress.send_modify(|progress| progress.synced = progress.synced.max(wanted));
            }
            Err(error) => {
                // The writer hears of the first of several.
                failed.try_send(error).unwrap_or_default();
                progress.send_modify(|progress| progress.failed = wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn outcome(progress: Progress, revision: u64) -> Option<bool> {
        let (sender, receiver) = watch::channel(progress);
        let durable = Durable { progress: receiver, location: Arc::new(Location::server()) };
        let outcome = durable.reach(revision).now_or_never().map(|reached| reached.is_ok());
        drop(sender);
        outcome
    }

    #[test]
    fn a_revision_is_durable_once_what_was_desired_up_to_it_is_whatever_came_after_it() {
        let progress = Progress { wanted: 9, synced: 3, failed: 0 };
        assert_eq!([1, 3, 4, 9].map(|revision| outcome(progress, revision)), [Some(true), Some(true), None, None]);
        // Nothing after the ninth has to be synced.
        let progress = Progress { wanted: 9, synced: 9, failed: 0 };
        assert_eq!([9, 10, u64::MAX].map(|revision| outcome(progress, revision)), [Some(true); 3]);
    }

    #[test]
    fn a_sync_that_failed_is_told_until_a_later_one_is_good() {
        let progress = Progress { wanted: 9, synced: 3, failed: 5 };
        assert_eq!([3, 5, 9].map(|revision| outcome(progress, revision)), [Some(true), Some(false), None]);
        assert_eq!(outcome(Progress { synced: 9, ..progress }, 5), Some(true));
    }
}
