//! What the supervisor needs remembered.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::{
    domain::{Commit, Desired, Plugin, PluginId, Reported, Result},
    store,
};

/// Commits changes, in order, each with the next revision.
pub trait Store: Send + Sync + 'static {
    fn install(&self, plugin: Plugin) -> BoxFuture<'static, Result<Arc<Plugin>>>;

    /// Changes what is desired of a plugin, from now on. `author` is the name of the token that asked, which is answered once the
    /// change is durable.
    fn desire(&self, id: PluginId, desired: Desired, author: String) -> BoxFuture<'static, Result<Arc<Plugin>>>;

    /// Waits until what was desired up to a revision survives a power cut: seconds at the most.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when nobody knows whether it does.
    fn durable(&self, revision: u64) -> BoxFuture<'static, Result<()>>;

    /// Changes what is reported of a plugin. Never waits, never fails: while the store is away the newest is kept.
    fn report(&self, id: PluginId, reported: Reported);

    fn remove(&self, id: PluginId) -> BoxFuture<'static, Result<Arc<Plugin>>>;

    /// Up to `limit` commits after a revision, oldest first, for watchers behind what is held in memory.
    fn journal_after(&self, revision: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Arc<Commit>>>>;

    /// Commits up to and including this revision are no longer kept.
    fn compacted(&self) -> u64;

    /// Whether it is known of every change that it was made or not, and of every plugin what it needs: not while the store
    /// is away, nor while it has a record that can't be read.
    fn is_certain(&self) -> bool;

    /// Answers as every change does while the store is known to be away.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    fn check(&self) -> Result<()>;
}

impl Store for store::Store {
    fn install(&self, plugin: Plugin) -> BoxFuture<'static, Result<Arc<Plugin>>> {
        let store = self.clone();
        Box::pin(async move { Self::install(&store, plugin).await })
    }

    fn desire(&self, id: PluginId, desired: Desired, author: String) -> BoxFuture<'static, Result<Arc<Plugin>>> {
        let store = self.clone();
        Box::pin(async move { Self::desire(&store, id, desired, &author).await })
    }

    fn durable(&self, revision: u64) -> BoxFuture<'static, Result<()>> {
        Self::durable(self, revision)
    }

    fn report(&self, id: PluginId, reported: Reported) {
        Self::report(self, id, reported);
    }

    fn remove(&self, id: PluginId) -> BoxFuture<'static, Result<Arc<Plugin>>> {
        let store = self.clone();
        Box::pin(async move { Self::remove(&store, id).await })
    }

    fn journal_after(&self, revision: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Arc<Commit>>>> {
        let store = self.clone();
        Box::pin(async move { Self::journal_after(&store, revision, limit).await })
    }

    fn compacted(&self) -> u64 {
        Self::compacted(self)
    }

    fn is_certain(&self) -> bool {
        self.is_whole() && *self.healthy().borrow()
    }

    fn check(&self) -> Result<()> {
        Self::check(self)
    }
}
