//! A database as it is at one moment, beside the plugd that goes on writing to it.

use std::{collections::BTreeSet, fs::File, pin::Pin};

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, EntityTrait, Iterable, PrimaryKeyToColumn, QueryOrder, QuerySelect,
    TransactionTrait,
};
use serde::Serialize;

use super::{Standing, Table};
use crate::{
    domain::Digest,
    store::{
        Address, StoreError,
        address::Kind,
        entity::{
            ROW, access_token, audit_event, configuration, hook, journal, manifest, plugin, store, unlisted, unused,
        },
        lease::Lease,
        migration, postgres,
        rows::unsigned,
        sqlite,
    },
};

/// The rows of a table, a line each, in the order of their keys.
pub type Rows<'a> = Pin<Box<dyn Stream<Item = Result<String, StoreError>> + Send + 'a>>;

/// What one transaction sees, which only reads and keeps nobody from writing.
pub struct Snapshot {
    db: DatabaseConnection,
    transaction: DatabaseTransaction,
    /// Where the history stands.
    pub standing: Standing,
    /// The id of the database.
    pub database_id: String,
}

impl Snapshot {
    /// Looks at a database, whether a plugd uses it or not; nothing of it is changed.
    ///
    /// # Errors
    /// [`StoreError`]: it can't be read, a newer plugd wrote it, or no plugd has used it yet.
    pub async fn of(address: &Address) -> Result<Self, StoreError> {
        Self::open(address).await.map_err(|error| error.opening(address))
    }

    async fn open(address: &Address) -> Result<Self, StoreError> {
        let db = match address.kind() {
            Kind::File(path) => sqlite::spectator(path).await?,
            Kind::Server(url) => postgres::readers(url).await?,
        };
        let schema = migration::applied(&db).await?;
        let transaction = db.begin().await?;
        let row = match schema.is_empty() {
            true => None,
            false => store::Entity::find_by_id(ROW).one(&transaction).await?,
        };
        let row = row.ok_or(StoreError::Unused)?;
        let standing = Standing { revision: unsigned(row.head)?, compacted: unsigned(row.compacted)?, schema };
        Ok(Self { db, transaction, standing, database_id: row.database_id })
    }

    /// The rows of a table. They are read as they are taken: few of them are in memory at a time.
    pub fn rows(&self, table: Table) -> Rows<'_> {
        of_table!(table, rows(&self.transaction))
    }

    /// The packages that plugins refer to.
    ///
    /// # Errors
    /// The database's own.
    pub async fn packages(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let columns = [plugin::Column::PackageDigest, plugin::Column::PreviousPackageDigest];
        let query = plugin::Entity::find().select_only().columns(columns);
        let found: Vec<(Option<Digest>, Option<Digest>)> = query.into_tuple().all(&self.transaction).await?;
        Ok(found.into_iter().flat_map(|(present, previous)| [present, previous]).flatten().collect())
    }

    /// Ends the transaction and closes the connections.
    ///
    /// # Errors
    /// The database's own.
    pub async fn close(self) -> Result<(), StoreError> {
        self.transaction.rollback().await?;
        Ok(self.db.close().await?)
    }
}

fn rows<E: EntityTrait<Model: Serialize + Send>>(transaction: &DatabaseTransaction) -> Rows<'_> {
    let query = E::PrimaryKey::iter().fold(E::find(), |query, key| query.order_by_asc(key.into_column()));
    let opened = async { Ok::<_, StoreError>(query.stream(transaction).await?.map_err(StoreError::from)) };
    let read = stream::once(opened).try_flatten();
    Box::pin(read.map(|row| serde_json::to_string(&row?).map_err(|error| StoreError::Corrupt(error.to_string()))))
}

/// Keeps every plugd away from a database; nothing of it is changed.
pub struct Hold(Lock);

enum Lock {
    /// On the file beside the database.
    File(File),
    /// Of a session.
    Session(Box<Lease>),
}

impl Hold {
    /// Takes the lock of a database that is there.
    ///
    /// # Errors
    /// [`StoreError`]: a plugd uses it, or it can't be reached.
    pub async fn on(address: &Address) -> Result<Self, StoreError> {
        if let Kind::File(path) = address.kind() {
            return Ok(Self(Lock::File(sqlite::lock(path)?)));
        }
        let lease = Lease::open(address.clone()).await?;
        lease.wait_for_long().await?;
        Ok(Self(Lock::Session(Box::new(lease))))
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn release(self) -> Result<(), StoreError> {
        match self.0 {
            Lock::File(file) => {
                drop(file);
                Ok(())
            }
            Lock::Session(lease) => lease.release().await,
        }
    }
}
