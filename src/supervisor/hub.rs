//! The hub: the newest commits in a shared ring, and a signal that there are more.
//!
//! Watchers pull with a cursor of their own. Publishing never waits for one, and one that falls behind the ring reads
//! the journal instead.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;

use crate::domain::Commit;

const RING: usize = 4_096;

/// Commits that one read returns at the most.
pub(super) const BATCH: usize = 256;

pub(super) struct Hub {
    ring: RwLock<VecDeque<Arc<Commit>>>,
    head: watch::Sender<u64>,
}

impl Hub {
    pub(super) fn new(head: u64) -> Self {
        Self { ring: RwLock::default(), head: watch::Sender::new(head) }
    }

    pub(super) fn publish(&self, commits: &[Arc<Commit>]) {
        let Some(last) = commits.last() else { return };
        {
            let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
            ring.extend(commits.iter().cloned());
            let excess = ring.len().saturating_sub(RING);
            ring.drain(..excess);
        }
        self.head.send_replace(last.revision);
    }

    /// The newest revision, and a signal when there is a newer one.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// The next commits after a revision, at most [`BATCH`], and none at the head. `None` when the ring no longer has the
    /// next one: the journal may.
    pub(super) fn read_after(&self, revision: u64) -> Option<Vec<Arc<Commit>>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let head = *self.head.borrow();
        if revision >= head {
            return Some(Vec::new());
        }
        // Revisions have no gaps: the place of one in the ring can be reckoned.
        let oldest = ring.front().filter(|oldest| oldest.revision <= revision + 1)?;
        let skip = usize::try_from(revision + 1 - oldest.revision).unwrap_or(usize::MAX);
        Some(ring.iter().skip(skip).take(BATCH).cloned().collect())
    }
}
