//! Reads that the registry in memory can't answer, on connections of their own.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use jiff::Timestamp;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait};
use serde_json::{Map, Value};

use super::{
    StoreError, commit,
    entity::{configuration, journal, unlisted},
    error::unavailable,
    rows::{self, from_column, signed, unsigned},
    writer::within,
};
use crate::domain::{Commit, Error, PluginId, Reason, Result};

/// The longest page; bounds what one call can take of memory.
const LONGEST_PAGE: u64 = 1024;

/// One configuration that a plugin has or had.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigurationRevision {
    /// Its number: the `configuration_revision` that it had.
    pub revision: u64,
    /// The configuration.
    pub configuration: Map<String, Value>,
    /// When it was set.
    pub created: Timestamp,
    /// Who set it, in the words of the caller of [`super::Store::desire`].
    pub author: String,
}

/// The pool of connections that can only read, shared by all who do. There is none while the database is opened anew.
#[derive(Clone)]
pub(super) struct Reader {
    pools: Arc<RwLock<Pools>>,
}

#[derive(Default)]
struct Pools {
    open: Option<DatabaseConnection>,
    /// One that somebody may read from yet.
    closing: Option<DatabaseConnection>,
}

impl Reader {
    /// A reader on these connections.
    pub(super) fn new(db: DatabaseConnection) -> Self {
        Self { pools: Arc::new(RwLock::new(Pools { open: Some(db), closing: None })) }
    }

    /// Reads on other connections from now on.
    pub(super) fn replace(&self, db: DatabaseConnection) {
        self.pools_mut().open = Some(db);
    }

    /// The connections.
    ///
    /// # Errors
    /// [`StoreError::TimedOut`] while there are none.
    pub(super) fn db(&self) -> Result<DatabaseConnection, StoreError> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).open.clone().ok_or(StoreError::TimedOut)
    }

    /// Reads something, in bounded time.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the log says why.
    pub(super) async fn read<T, F>(&self, work: impl FnOnce(DatabaseConnection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        within(async { work(self.db()?).await }).await.map_err(|error| {
            tracing::error!(%error, "the store could not be read");
            unavailable()
        })
    }

    /// Closes the connections, once nobody reads. Broken off, it has yet to be done to its end, by another call.
    pub(super) async fn close(&self) {
        let Some(db) = self.begin_to_close() else { return };
        if let Err(error) = db.close_by_ref().await {
            tracing::warn!(%error, "connections for reading could not be closed");
        }
        self.pools_mut().closing = None;
    }

    /// Whether the closing was broken off, so that there may be connections yet.
    pub(super) fn is_closing(&self) -> bool {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).closing.is_some()
    }

    fn begin_to_close(&self) -> Option<DatabaseConnection> {
        let mut pools = self.pools_mut();
        if pools.closing.is_none() {
            pools.closing = pools.open.take();
        }
        pools.closing.clone()
    }

    fn pools_mut(&self) -> RwLockWriteGuard<'_, Pools> {
        self.pools.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`super::Store::journal_after`]. What the domain refuses is the inner error.
pub(super) async fn journal_after(
    db: DatabaseConnection,
    revision: u64,
    limit: u64,
) -> Result<Result<Vec<Arc<Commit>>>, StoreError> {
    // One transaction, so that a compaction meanwhile can't open a gap between the check and the rows.
    let transaction = db.begin().await?;
    let (head, compacted) = commit::standing(&transaction).await?;
    if let Err(refusal) = check(revision, head, compacted) {
        return Ok(Err(refusal));
    }
    let rows = journal::Entity::find()
        .filter(journal::Column::Revision.gt(signed(revision)))
        .order_by_asc(journal::Column::Revision)
        .limit(limit.min(LONGEST_PAGE))
        .all(&transaction)
        .await?;
    let commits = rows::commits(&transaction, rows).await?;
    transaction.commit().await?;
    Ok(Ok(commits))
}

fn check(revision: u64, head: u64, compacted: u64) -> Result<()> {
    let refuse = |reason, what: &str| {
        let error = Error::new(reason, format!("revision {revision} {what}"));
        Err(error.with("compact_revision", compacted).with("head_revision", head))
    };
    match revision {
        _ if revision < compacted => refuse(Reason::RevisionCompacted, "is no longer kept"),
        _ if revision > head => refuse(Reason::RevisionUnknown, "does not exist yet"),
        _ => Ok(()),
    }
}

/// Those of these plugins whose deletion is still in the journal.
pub(super) async fn deleted(db: DatabaseConnection, ids: &[PluginId]) -> Result<Vec<PluginId>, StoreError> {
    let removals = journal::Entity::find().select_only().column(journal::Column::PluginId);
    let removals = removals.filter(journal::Column::Removal.eq(true));
    let ids = journal::Column::PluginId.is_in(ids.iter().copied());
    Ok(removals.filter(ids).into_tuple().all(&db).await?)
}

/// See [`super::Store::configuration_revisions`].
pub(super) async fn configurations(
    db: DatabaseConnection,
    id: PluginId,
    before: Option<u64>,
    limit: u64,
) -> Result<Vec<ConfigurationRevision>, StoreError> {
    use configuration::{Column, Entity};
    let unlisted = unlisted::Entity::find().filter(unlisted::Column::PluginId.eq(id));
    let unlisted = unlisted.order_by_desc(unlisted::Column::Newest).one(&db).await?.map_or(0, |row| row.newest);
    let mut query = Entity::find().filter(Column::PluginId.eq(id)).filter(Column::Revision.gt(unlisted));
    if let Some(before) = before {
        query = query.filter(Column::Revision.lt(signed(before)));
    }
    let rows = query.order_by_desc(Column::Revision).limit(limit.min(LONGEST_PAGE)).all(&db).await?;
    rows.into_iter().map(revision).collect()
}

fn revision(row: configuration::Model) -> Result<ConfigurationRevision, StoreError> {
    let not_understood =
        |error: serde_json::Error| StoreError::Corrupt(format!("configuration {}: {error}", row.revision));
    Ok(ConfigurationRevision {
        revision: unsigned(row.revision)?,
        configuration: serde_json::from_str(&row.body).map_err(not_understood)?,
        created: from_column(row.created)?,
        author: row.author,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use futures_util::FutureExt;

    use super::*;
    use crate::store::sqlite;

    /// A connection that is left over would share the index of a deleted log with the next ones.
    #[tokio::test]
    async fn a_closing_that_was_broken_off_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugd.db");
        std::fs::write(&file, "").unwrap();
        let reader = Reader::new(sqlite::readers(&file).await.unwrap());
        let reading = reader.db().unwrap().begin().await.unwrap();
        assert!(reader.close().now_or_never().is_none(), "somebody reads");
        assert!(reader.db().is_err() && reader.is_closing());
        {
            let mut again = pin!(reader.close());
            let polled = again.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "somebody reads still");
            reading.commit().await.unwrap();
            again.await;
        }
        assert!(!reader.is_closing());
        reader.close().await;
    }
}
