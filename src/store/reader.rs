//! Reads that the registry in memory can't answer, on connections of their own.

use std::sync::{Arc, PoisonError, RwLock};

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
    db: Arc<RwLock<Option<DatabaseConnection>>>,
}

impl Reader {
    /// A reader on these connections.
    pub(super) fn new(db: DatabaseConnection) -> Self {
        Self { db: Arc::new(RwLock::new(Some(db))) }
    }

    /// Reads on other connections from now on.
    pub(super) fn replace(&self, db: DatabaseConnection) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(db);
    }

    /// The connections.
    ///
    /// # Errors
    /// [`StoreError::TimedOut`] while there are none.
    pub(super) fn db(&self) -> Result<DatabaseConnection, StoreError> {
        self.db.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::TimedOut)
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

    /// Closes the connections, once nobody reads.
    pub(super) async fn close(&self) {
        let db = self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(db) = db
            && let Err(error) = db.close().await
        {
            tracing::warn!(%error, "connections for reading could not be closed");
        }
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
