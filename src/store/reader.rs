//! Reads that the registry in memory can't answer, on connections of their own.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use jiff::Timestamp;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait};
use serde_json::{Map, Value};

use super::{
    StoreError, convert,
    documents::Documents,
    entity::configuration_history::{Column, Entity, Model},
    error::unavailable,
    journal,
    writer::{tokens, within},
};
use crate::domain::{Commit, PluginId, Result, TokenId, access::AccessToken};

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

    /// See [`super::Store::journal_after`].
    pub(super) async fn journal_after(&self, revision: u64, limit: usize) -> Result<Vec<Arc<Commit>>> {
        within(async { journal::after(&self.db()?, revision, limit).await }).await.map_err(|error| hide(&error))?
    }

    /// See [`super::Store::deleted`].
    pub(super) async fn deleted(&self, ids: &[PluginId]) -> Result<Vec<PluginId>> {
        within(async { journal::deleted(&self.db()?, ids).await }).await.map_err(|error| hide(&error))
    }

    /// See [`super::Store::tokens`].
    pub(super) async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<AccessToken>> {
        within(async { tokens::page(&self.db()?, after, limit).await }).await.map_err(|error| hide(&error))
    }

    /// See [`super::Store::configuration_revisions`].
    pub(super) async fn configuration_revisions(
        &self,
        id: PluginId,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<ConfigurationRevision>> {
        let limit = limit.min(LONGEST_PAGE);
        within(async { history(&self.db()?, id, before, limit).await }).await.map_err(|error| hide(&error))
    }

    /// Closes the connections, once nobody reads. Broken off, it has yet to be done to its end, by another call.
    pub(super) async fn close(&self) {
        let Some(db) = self.begin_to_close() else { return };
        if let Err(error) = db.close_by_ref().await {
            tracing::warn!(%error, "connections for reading could not be closed");
        }
        self.pools_mut().closing = None;
    }

    /// Was the closing broken off, so that there may be connections yet?
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

async fn history(
    db: &DatabaseConnection,
    id: PluginId,
    before: Option<u64>,
    limit: u64,
) -> Result<Vec<ConfigurationRevision>, StoreError> {
    // One transaction, so that a document can't be collected before it is read.
    let transaction = db.begin().await?;
    let mut query = Entity::find().filter(Column::PluginId.eq(id.to_string()));
    if let Some(before) = before {
        query = query.filter(Column::Revision.lt(convert::signed(before)));
    }
    let rows = query.order_by_desc(Column::Revision).limit(Some(limit)).all(&transaction).await?;
    let mut documents = Documents::load(&transaction, rows.iter().map(|row| &row.configuration)).await?;
    transaction.commit().await?;
    rows.into_iter().map(|row| revision(row, &mut documents)).collect()
}

fn revision(row: Model, documents: &mut Documents) -> Result<ConfigurationRevision, StoreError> {
    Ok(ConfigurationRevision {
        revision: convert::unsigned(row.revision)?,
        configuration: Map::clone(&*documents.configuration(convert::digest(&row.configuration)?)?),
        created: convert::parse(&row.created)?,
        author: row.author,
    })
}

/// The error for the log; only that the store does not answer for the caller.
fn hide(error: &StoreError) -> crate::domain::Error {
    tracing::error!(%error, "the store could not be read");
    unavailable()
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use futures_util::FutureExt;

    use super::*;
    use crate::store::connect;

    /// A connection that is left over would share the index of a deleted log with the next ones.
    #[tokio::test]
    async fn a_closing_that_was_broken_off_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugd.db");
        std::fs::write(&file, "").unwrap();
        let reader = Reader::new(connect::readers(&file).await.unwrap());
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
