//! Packages in the tables of a server, where every plugd that uses the database finds them: a row a package, and its bytes in
//! rows of 1 MiB each, so that neither side ever has more than one of these rows in its hands.
//!
//! What is written here needs no owner of the lease: nobody refers to it yet, and it is the same whoever writes it. What is
//! deleted does: one that is no longer the owner does not know what plugins refer to.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, TransactionTrait, Value,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Address, StoreError, address::Kind, entity::ROW, postgres, writer::within};
use crate::domain::{Digest, package::MAX_ARCHIVE};

/// Bytes of a row.
const PIECE: usize = 1 << 20;

/// Packages that are written and read at once, each on a connection of its own; no connection is kept for long that has
/// nothing to do.
const AT_ONCE: u32 = 2;

/// Makes the tables. The bytes are compressed already.
pub(super) const TABLES: &str = "
    CREATE TABLE package (digest text PRIMARY KEY, bytes bigint NOT NULL, stored timestamptz NOT NULL);
    CREATE TABLE package_piece (
        digest text NOT NULL REFERENCES package ON DELETE CASCADE,
        number integer NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (digest, number)
    );
    ALTER TABLE package_piece ALTER COLUMN data SET STORAGE EXTERNAL";

/// Answers whether there was none of this digest.
const STORE: &str = "INSERT INTO package (digest, bytes, stored) VALUES ($1, $2, now())
    ON CONFLICT (digest) DO UPDATE SET stored = now() RETURNING xmax = 0 AS is_new";
const STORE_PIECE: &str = "INSERT INTO package_piece (digest, number, data) VALUES ($1, $2, $3)";
const LENGTH: &str = "SELECT bytes FROM package WHERE digest = $1";
const READ_PIECE: &str = "SELECT data FROM package_piece WHERE digest = $1 AND number = $2";
const OLD: &str = "SELECT digest FROM package WHERE stored <= now() - make_interval(secs => $1)";
/// Until the transaction ends nobody else becomes the owner.
const OWN: &str = "SELECT id FROM store WHERE id = $1 AND owner = $2 FOR SHARE";
/// One that was stored again since it was looked at is young.
const DELETE: &str = "DELETE FROM package WHERE digest = $1 AND stored <= now() - make_interval(secs => $2)";

/// The packages in a database.
pub(super) struct PackageRows {
    db: DatabaseConnection,
    turns: Semaphore,
    /// How often a package was read.
    #[cfg(test)]
    pub(super) reads: std::sync::atomic::AtomicUsize,
}

impl PackageRows {
    /// Those in the database at this address; none where it is a file, beside which the packages are files too.
    ///
    /// # Errors
    /// The server can't be reached.
    pub(super) async fn open(address: &Address) -> Result<Option<Self>, StoreError> {
        let Kind::Server(url) = address.kind() else { return Ok(None) };
        Ok(Some(Self {
            db: postgres::workers(url, AT_ONCE).await?,
            turns: Semaphore::new(AT_ONCE as usize),
            #[cfg(test)]
            reads: std::sync::atomic::AtomicUsize::new(0),
        }))
    }

    /// Stores a package, wholly or not at all.
    pub(super) async fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        let transaction = self.db.begin().await?;
        insert(&transaction, digest, bytes).await?;
        Ok(transaction.commit().await?)
    }

    /// The bytes of a package, as they are; none if it is not here.
    pub(super) async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let _turn = self.turn().await;
        #[cfg(test)]
        self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Some(row) = self.db.query_one_raw(statement(LENGTH, [digest.into()])).await? else { return Ok(None) };
        let length = usize::try_from(row.try_get::<i64>("", "bytes")?).unwrap_or(usize::MAX);
        if length as u64 > MAX_ARCHIVE {
            return Err(StoreError::Corrupt(format!("package {digest} has {length} bytes")));
        }
        let mut bytes = Vec::with_capacity(length);
        for number in 0..length.div_ceil(PIECE) {
            let piece = statement(READ_PIECE, [digest.into(), numbered(number)?]);
            // One that is deleted meanwhile is not here.
            let Some(row) = self.db.query_one_raw(piece).await? else { return Ok(None) };
            bytes.extend(row.try_get::<Vec<u8>>("", "data")?);
        }
        Ok(Some(bytes))
    }

    /// The packages that were stored at least as long ago as this.
    pub(super) async fn old(&self, age: Duration) -> Result<Vec<Digest>, StoreError> {
        let looking = async { Ok(self.db.query_all_raw(statement(OLD, [age.as_secs_f64().into()])).await?) };
        let rows = within(looking).await?;
        rows.iter().map(|row| Ok(row.try_get("", "digest")?)).collect()
    }

    /// Deletes these packages, if they are still at least as old as this, on behalf of this owner of the lease.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] when it is the owner no more; then it deletes nothing more.
    pub(super) async fn delete(&self, digests: &[Digest], age: Duration, owner: &str) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        for digest in digests {
            // One at a time: commits wait for it.
            within(self.delete_one(*digest, age, owner)).await?;
        }
        Ok(())
    }

    async fn delete_one(&self, digest: Digest, age: Duration, owner: &str) -> Result<(), StoreError> {
        let transaction = self.db.begin().await?;
        let owned = transaction.query_one_raw(statement(OWN, [ROW.into(), owner.into()])).await?;
        owned.ok_or(StoreError::Superseded)?;
        transaction.execute_raw(statement(DELETE, [digest.into(), age.as_secs_f64().into()])).await?;
        Ok(transaction.commit().await?)
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }
}

/// Stores a package in a transaction. Where it is stored already, it is young again.
pub(super) async fn insert(transaction: &DatabaseTransaction, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
    let length = i64::try_from(bytes.len()).map_err(|_| StoreError::Corrupt("a package is too long".into()))?;
    let row = transaction.query_one_raw(statement(STORE, [digest.into(), length.into()])).await?;
    if !row.ok_or_else(StoreError::no_row)?.try_get("", "is_new")? {
        return Ok(());
    }
    for (number, piece) in bytes.chunks(PIECE).enumerate() {
        let piece = statement(STORE_PIECE, [digest.into(), numbered(number)?, piece.to_vec().into()]);
        transaction.execute_raw(piece).await?;
    }
    Ok(())
}

fn numbered(piece: usize) -> Result<Value, StoreError> {
    let number = i32::try_from(piece).map_err(|_| StoreError::Corrupt("a package has too many pieces".into()))?;
    Ok(number.into())
}

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}
