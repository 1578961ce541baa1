//! Reading the journal: what a watcher that fell behind the hub's ring is fed from.

use std::sync::Arc;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    TransactionTrait,
};

use super::{
    StoreError, convert,
    documents::Documents,
    entity::journal,
    record::{self, Rest},
    writer::commit::standing,
};
use crate::domain::{Commit, Error, PluginId, Reason, Result};

/// The longest page; bounds what one call can take of memory.
const LONGEST_PAGE: usize = 1024;

/// The commits after this revision, oldest first, at most `limit` and at most 1024. What the domain refuses is the
/// inner error.
///
/// # Errors
/// Inside: `REVISION_COMPACTED`, `REVISION_UNKNOWN`. Outside: the database's own.
pub(super) async fn after(
    db: &DatabaseConnection,
    revision: u64,
    limit: usize,
) -> Result<Result<Vec<Arc<Commit>>>, StoreError> {
    // One transaction, so that a compaction meanwhile can't open a gap between the check and the rows.
    let transaction = db.begin().await?;
    let (head, compacted) = standing(&transaction).await?;
    if let Err(refusal) = check(revision, head, compacted) {
        return Ok(Err(refusal));
    }
    let rows = journal::Entity::find()
        .filter(journal::Column::Revision.gt(convert::signed(revision)))
        .order_by_asc(journal::Column::Revision)
        .limit(Some(limit.min(LONGEST_PAGE) as u64))
        .all(&transaction)
        .await?;
    let commits = commits(&transaction, rows).await?;
    transaction.commit().await?;
    Ok(Ok(commits))
}

/// Those of these plugins whose deletion is still in the journal.
///
/// # Errors
/// The database's own.
pub(super) async fn deleted(db: &DatabaseConnection, ids: &[PluginId]) -> Result<Vec<PluginId>, StoreError> {
    let rows: Vec<String> = journal::Entity::find()
        .select_only()
        .column(journal::Column::PluginId)
        .filter(journal::Column::IsRemoval.eq(true))
        .filter(journal::Column::PluginId.is_in(ids.iter().map(PluginId::to_string)))
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.iter().filter_map(|id| id.parse().ok()).collect())
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

async fn commits(db: &impl ConnectionTrait, rows: Vec<journal::Model>) -> Result<Vec<Arc<Commit>>, StoreError> {
    let digests = rows.iter().flat_map(|row| [&row.manifest, &row.configuration]);
    let mut documents = Documents::load(db, digests).await?;
    rows.into_iter().map(|row| commit(row, &mut documents).map(Arc::new)).collect()
}

fn commit(row: journal::Model, documents: &mut Documents) -> Result<Commit, StoreError> {
    let revision = convert::unsigned(row.revision)?;
    let rest = Rest {
        id: convert::parse(&row.plugin_id)?,
        revision,
        manifest: documents.manifest(convert::digest(&row.manifest)?)?,
        configuration: documents.configuration(convert::digest(&row.configuration)?)?,
    };
    Ok(Commit {
        revision,
        time: convert::parse(&row.time)?,
        before: row.state_before.map(convert::from_word).transpose()?,
        is_removal: row.is_removal,
        plugin: Arc::new(record::decode(&row.record, rest)?),
    })
}
