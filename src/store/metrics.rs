//! What is measured of the store.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::Registry,
};

use crate::telemetry::metrics::SECONDS;

/// Measures of the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// How long transactions took that ended well.
    commits: Histogram,
    /// How long syncs of what is desired took that ended well.
    syncs: Histogram,
    /// Transactions that failed.
    failures: Counter,
    /// Revisions that were committed.
    revisions: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let [commits, syncs] = [(); 2].map(|()| Histogram::new(SECONDS));
        Self { commits, syncs, failures: Counter::default(), revisions: Counter::default() }
    }
}

impl Metrics {
    /// Registers what is measured.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Transactions of changes that were committed, and how long each took";
        registry.register("store_commit_duration_seconds", help, self.commits.clone());
        let help = "Syncs of what is desired to the disk of a SQLite database, and how long each took";
        registry.register("store_sync_duration_seconds", help, self.syncs.clone());
        registry.register("store_commit_failures", "Transactions that failed", self.failures.clone());
        registry.register("store_revisions", "Changes that were committed", self.revisions.clone());
    }
}

impl Metrics {
    /// A transaction of so many revisions has ended well after this time.
    pub(super) fn committed(&self, revisions: usize, after: Duration) {
        self.commits.observe(after.as_secs_f64());
        self.revisions.inc_by(revisions as u64);
    }

    /// What is desired was synced in this time.
    pub(super) fn synced(&self, after: Duration) {
        self.syncs.observe(after.as_secs_f64());
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}
