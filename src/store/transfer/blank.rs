//! A database without records, into which those of another are written: all of them, or none.

use std::pin::Pin;

use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel};
use serde::de::DeserializeOwned;

use super::{Standing, Table, row};
use crate::{
    domain::Digest,
    store::{
        Address, StoreError,
        commit::ROWS,
        entity::{
            ROW, access_token, audit_event, configuration, hook, journal, manifest, plugin, store, unlisted, unused,
        },
        lease::{Durability, Lease},
        migration, package_rows,
        rows::signed,
    },
};

/// Bytes of rows that are written at once, or one row that has more.
const BYTES: usize = 1 << 20;

/// One transaction in a database that had no records when it began, and that no plugd uses.
pub struct Blank {
    lease: Lease,
    transaction: DatabaseTransaction,
    /// What the store will say of the database.
    row: store::Model,
    waiting: Vec<String>,
    of: Option<Table>,
}

impl Blank {
    /// Makes the tables, where there are none, for records that stand so.
    ///
    /// # Errors
    /// [`StoreError`]: the records are of another version, the database has records, a plugd uses it, or it can't be opened.
    pub async fn open(address: Address, standing: &Standing) -> Result<Self, StoreError> {
        standing.check()?;
        let opened = Self::begin(address.clone(), standing).await;
        opened.map_err(|error| error.opening(&address))
    }

    async fn begin(address: Address, standing: &Standing) -> Result<Self, StoreError> {
        let lease = Lease::open(address).await?;
        migration::migrate(lease.db()).await?;
        lease.wait_for_long().await?;
        let transaction = lease.begin().await?;
        if store::Entity::find_by_id(ROW).one(&transaction).await?.is_some() {
            return Err(StoreError::NotBlank);
        }
        let row = row_of_store(standing);
        Ok(Self { lease, transaction, row, waiting: Vec::new(), of: None })
    }

    /// The id that the database gets.
    pub fn database_id(&self) -> &str {
        &self.row.database_id
    }

    /// Adds a row. Those of a table come one after the other.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub async fn add(&mut self, table: Table, line: String) -> Result<(), StoreError> {
        let bytes: usize = self.waiting.iter().map(String::len).sum();
        if self.of != Some(table) || self.waiting.len() >= ROWS || bytes + line.len() > BYTES {
            self.write().await?;
        }
        self.of = Some(table);
        self.waiting.push(line);
        Ok(())
    }

    /// Adds a package, if packages are in the database: on a server. Where they are not, it does nothing and says so.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub async fn add_package(&mut self, digest: Digest, bytes: &[u8]) -> Result<bool, StoreError> {
        let is_server = self.lease.is_remote();
        if is_server {
            package_rows::insert(&self.transaction, digest, bytes).await?;
        }
        Ok(is_server)
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        let lines = std::mem::take(&mut self.waiting);
        match self.of {
            Some(table) if !lines.is_empty() => insert_into(table, &self.transaction, &lines).await,
            _ => Ok(()),
        }
    }

    /// Commits. From here on it is a database as a plugd leaves it that was stopped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn finish(mut self) -> Result<(), StoreError> {
        self.write().await?;
        store::Entity::insert(self.row.into_active_model()).exec_without_returning(&self.transaction).await?;
        self.lease.commit(self.transaction, Durability::Synced).await?;
        self.lease.release().await
    }
}

/// What the store says of a database that nobody has used yet.
fn row_of_store(standing: &Standing) -> store::Model {
    let fresh = || xid::new().to_string();
    store::Model {
        id: ROW,
        database_id: fresh(),
        epoch: fresh(),
        head: signed(standing.revision),
        compacted: signed(standing.compacted),
        owner: String::new(),
        boot: String::new(),
        closed: true,
        address: None,
        term: 0,
        until: None,
        token_changes: 0,
    }
}

async fn insert_into(table: Table, transaction: &DatabaseTransaction, lines: &[String]) -> Result<(), StoreError> {
    of_table!(table, insert(transaction, lines)).await
}

/// In a box, as the futures of different tables are of different types.
fn insert<'a, E>(
    transaction: &'a DatabaseTransaction,
    lines: &'a [String],
) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>
where
    E: EntityTrait<Model: DeserializeOwned + IntoActiveModel<E::ActiveModel>>,
    E::ActiveModel: Send,
{
    Box::pin(async move {
        let rows =
            lines.iter().map(|line| Ok(row::<E>(line)?.into_active_model())).collect::<Result<Vec<_>, StoreError>>()?;
        E::insert_many(rows).exec_without_returning(transaction).await?;
        Ok(())
    })
}
