//! Reads that the registry in memory can't answer, on connections of their own.

use std::sync::Arc;

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    TransactionTrait,
};
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

/// The connections that can only read, shared by all who do.
#[derive(Clone)]
pub(super) struct Reader(pub(super) DatabaseConnection);

impl Reader {
    /// A reader on these connections.
    pub(super) fn new(db: DatabaseConnection) -> Self {
        Self(db)
    }

    /// Reads something, in bounded time.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the log says why.
    pub(super) async fn read<T, F>(&self, work: impl FnOnce(DatabaseConnection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        within(work(self.0.clone())).await.map_err(|error| {
            tracing::error!(%error, "the store could not be read");
            unavailable()
        })
    }

    /// Closes the connections, once nobody reads.
    pub(super) async fn close(&self) {
        if let Err(error) = self.0.close_by_ref().await {
            tracing::warn!(%error, "connections for reading could not be closed");
        }
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
    let commits = page_after(&transaction, revision, limit.min(LONGEST_PAGE)).await?;
    transaction.commit().await?;
    Ok(Ok(commits))
}

/// The commits after this revision, oldest first, in a transaction in which none is missing.
pub(super) async fn page_after(
    transaction: &DatabaseTransaction,
    revision: u64,
    limit: u64,
) -> Result<Vec<Arc<Commit>>, StoreError> {
    let rows = journal::Entity::find()
        .filter(journal::Column::Revision.gt(signed(revision)))
        .order_by_asc(journal::Column::Revision)
        .limit(limit)
        .all(transaction)
        .await?;
    rows::commits(transaction, rows).await
}

/// See [`super::Store::plugin_events`].
pub(super) async fn plugin_events(
    db: DatabaseConnection,
    id: Option<PluginId>,
    before: Option<u64>,
    limit: u64,
) -> Result<Vec<Commit>, StoreError> {
    let mut query = journal::Entity::find().order_by_desc(journal::Column::Revision);
    if let Some(id) = id {
        query = query.filter(journal::Column::PluginId.eq(id));
    }
    if let Some(before) = before {
        query = query.filter(journal::Column::Revision.lt(signed(before)));
    }
    let rows = query.limit(limit.min(LONGEST_PAGE)).all(&db).await?;
    rows.iter().map(rows::commit_alone).collect()
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
