//! The lease of the only writer: its connection, and what keeps every other plugd from writing.
//!
//! A lock keeps a second plugd from starting, which nodes of a cluster share: on the file beside a SQLite database, in the
//! session of the connection on a server ([`super::postgres`]). A lock on a server is lost with the connection, and the
//! plugd that lost it may learn of that late: its host slept, its network was cut. Another may have started since. So the
//! lock is a courtesy, and the proof is the *owner*: a name that each start of plugd makes up for itself and writes into
//! the only row of `store` ([`Lease::acquire`]) before it reads anything.
//!
//! - Every transaction that writes begins with that row, locks it, and ends unless it finds its own owner in it
//!   ([`Lease::begin_as_owner`], `commit::move_head`): nothing after that is carried out. Only where somebody has deleted the row
//!   itself, that is found after a commit.
//! - So when another plugd acquires the lease, each transaction of an earlier owner has either been committed, and the new
//!   owner reads what it wrote, or has not reached the row, and ends when it does. There is no third case, however long
//!   a packet or a process sleeps.
//! - An owner whose connection was replaced goes on only if the row still has its name: nobody has acquired it since, so
//!   what it knows is still true. Once somebody has, it never writes again, whether the other is there or gone: it ends,
//!   so that the plugins of this database do not run twice. The row says so even where the other keeps the lock from it
//!   ([`Lease::reconnect`]).
//!
//! Several plugd on one database are in [`term`].

mod lock;
mod term;

use std::{fs, sync::Arc, time::Duration};

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryResult, QuerySelect, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    sea_query::OnConflict,
};
use tokio::{join, time::timeout};

use self::lock::Lock;
pub(super) use self::term::{CHANNEL, Node, RENEWAL, Standing, Watch};
pub use self::term::{LEASE, Leadership, RunOut};
use super::{
    StoreError,
    address::{Address, Kind},
    entity::{self, store},
    location::Location,
    postgres::{self, Held},
    sqlite,
    statement::Statements,
};
use crate::boot_time::since_boot;

/// How long a connection to a server may take to end. One that does not end keeps nobody from anything but the lock,
/// which the next waits for.
const LET_GO: Duration = Duration::from_millis(500);
/// The same where nobody waits for that.
const CLOSING: Duration = Duration::from_secs(10);
/// Where Linux names the boot that a host is in.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The connection, the lock, and the name of this owner.
pub(super) struct Lease {
    address: Address,
    owner: String,
    /// The boot that this host is in; nothing where a server keeps the records.
    boot: String,
    /// Whether what an earlier plugd wrote last is there, if it did not close the database.
    has_log: bool,
    db: DatabaseConnection,
    statements: Statements,
    lock: Lock,
    location: Arc<Location>,
    /// None where this plugd is alone on its database.
    node: Option<Node>,
}

/// What a commit survives once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// A power cut, from when it takes effect.
    Synced,
    /// A power cut, from when it is answered: it is synced meanwhile ([`super::durable`]), and may take effect before.
    Syncing,
    /// The death of plugd; a power cut only once a later commit is synced. A server syncs it all the same: it may go down
    /// while plugd and its watchers go on, who have seen what it would have lost.
    Written,
}

impl Lease {
    /// Takes the lock and connects. Nothing is written before [`Self::acquire`].
    pub(super) async fn open(address: Address) -> Result<Self, StoreError> {
        Self::open_as(address, None).await
    }

    /// The same as a node of a cluster, if it is one.
    pub(super) async fn open_as(address: Address, node: Option<Node>) -> Result<Self, StoreError> {
        let (lock, location, boot) = match address.kind() {
            Kind::File(path) => (Lock::File(sqlite::lock(path)?), Location::file(path), present_boot()),
            Kind::Server(_) => (Lock::Session(Held::of_one(node.is_none())), Location::server(), String::new()),
        };
        let has_log = address.path().is_none_or(sqlite::has_log);
        let db = writer(&address, &lock).await?;
        if let Err(taken) = lock.check() {
            db.close().await?;
            return Err(taken);
        }
        let (owner, statements) = (xid::new().to_string(), Statements::new(db.get_database_backend()));
        Ok(Self { address, owner, boot, has_log, db, statements, lock, location: Arc::new(location), node })
    }

    /// The connection, for what is done before anybody writes.
    pub(super) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// The statements of its database.
    pub(super) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(super) fn location(&self) -> &Arc<Location> {
        &self.location
    }

    /// Whether the database can go away without any call noticing.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.lock, Lock::Session(_))
    }

    /// Keeps the server from ending the session while nothing is said in it for a while.
    pub(super) async fn wait_for_long(&self) -> Result<(), StoreError> {
        match self.address.kind() {
            Kind::File(_) => Ok(()),
            Kind::Server(_) => Ok(postgres::wait_for_long(&self.db).await?),
        }
    }

    /// Makes this plugd the owner, and answers with the row.
    ///
    /// # Errors
    /// [`StoreError::Led`] while the leader of a cluster has the lease; the database's own.
    pub(super) async fn acquire(&self) -> Result<store::Model, StoreError> {
        use store::Column::{Address, Boot, Closed, Epoch, Owner, Term, Until};
        let sent = since_boot();
        let transaction = self.begin().await?;
        let found = locked_row(&transaction).await?;
        self.check_free(&transaction).await?;
        let row = self.owning(found);
        let claim = [Epoch, Owner, Boot, Closed, Address, Term, Until];
        let claim = OnConflict::column(store::Column::Id).update_columns(claim).to_owned();
        let insert = store::Entity::insert(row.clone().into_active_model()).on_conflict(claim);
        insert.exec_without_returning(&transaction).await?;
        self.prolong(&transaction).await?;
        self.commit(transaction, Durability::Synced).await?;
        self.holds_since(sent);
        if !self.is_remote() {
            // Also without its log the database is to say that it was not closed.
            sqlite::checkpoint(&self.db).await?;
        }
        Ok(row)
    }

    /// The row with this owner. The history goes on, or another begins: in a new database, and in one that may have lost its
    /// newest revisions. Others take their numbers now.
    fn owning(&self, found: Option<store::Model>) -> store::Model {
        let fresh = || xid::new().to_string();
        let row = found.unwrap_or_else(|| store::Model {
            id: entity::ROW,
            database_id: fresh(),
            epoch: String::new(),
            head: 0,
            compacted: 0,
            owner: String::new(),
            boot: String::new(),
            closed: false,
            address: None,
            term: 0,
            until: None,
            token_changes: 0,
        });
        let epoch = if !row.epoch.is_empty() && self.is_whole(&row) { row.epoch } else { fresh() };
        let (owner, boot, term) = (self.owner.clone(), self.boot.clone(), row.term + 1);
        let address = self.node.as_ref().map(|node| node.address.clone());
        store::Model { epoch, owner, boot, closed: false, address, term, until: None, ..row }
    }

    /// Whether nothing can be lost of what was written under this row: of what was not closed, a host that went down may
    /// have taken the newest reports, and whoever took the log away the newest of everything.
    fn is_whole(&self, row: &store::Model) -> bool {
        if !row.closed && !self.has_log {
            tracing::error!(
                database = %self.address,
                "what was written last to the database may be lost: its log (the file with -wal behind the same name) was \
                 deleted or emptied since plugd was killed; look whether plugins are missing, and restore a backup if so"
            );
        }
        row.closed || (row.boot == self.boot && self.has_log)
    }

    /// Notes that nothing is written any more: what is in the database is all that there was.
    ///
    /// # Errors
    /// As [`Self::begin_as_owner`].
    pub(super) async fn mark_closed(&self) -> Result<(), StoreError> {
        let (transaction, _) = self.begin_as_owner().await?;
        let closed = store::ActiveModel { closed: Set(true), ..Default::default() };
        store::Entity::update_many().set(closed).exec(&transaction).await?;
        self.hand_over(&transaction).await?;
        self.commit(transaction, Durability::Synced).await
    }

    /// Runs these statements as one transaction, and answers with the rows that they return. The first is to make sure that
    /// this is the owner.
    ///
    /// # Errors
    /// As [`Self::begin`]; after one it is unknown whether it was written.
    pub(super) async fn transact(
        &self,
        statements: impl IntoIterator<Item = Statement>,
        durability: Durability,
    ) -> Result<Vec<QueryResult>, StoreError> {
        if !self.is_remote() {
            // Where nothing has to be synced afterwards, the files are looked at meanwhile.
            let (rows, settled) = match durability {
                Durability::Synced => {
                    (sqlite::transact(&self.db, statements).await, self.location.settle(durability).await)
                }
                Durability::Syncing | Durability::Written => {
                    join!(sqlite::transact(&self.db, statements), self.location.settle(durability))
                }
            };
            // What failed may have failed because a file is gone.
            return settled.and(rows.map_err(StoreError::from));
        }
        let (transaction, mut rows) = (self.begin().await?, Vec::new());
        for statement in statements {
            rows.extend(transaction.query_all_raw(statement).await?);
        }
        transaction.commit().await?;
        Ok(rows)
    }

    /// Begins a transaction that may read and then write. On SQLite it waits for the write lock now, not in the middle;
    /// on a server the row of `store` is that lock.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the connection was replaced and another plugd got the lock; the database's own.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        let transaction = self.db.begin_with_options(options).await?;
        self.lock.check()?;
        Ok(transaction)
    }

    /// Begins a transaction in which this plugd is the owner until it ends, and answers with the row too.
    ///
    /// # Errors
    /// As [`Self::begin`]; [`StoreError::Superseded`] when the row has another owner.
    pub(super) async fn begin_as_owner(&self) -> Result<(DatabaseTransaction, store::Model), StoreError> {
        let transaction = self.begin().await?;
        let row = self.owned_row(&transaction).await?;
        Ok((transaction, row))
    }

    /// Commits, and has what is committed survive what it is to survive.
    ///
    /// # Errors
    /// After one it is unknown whether it was written.
    pub(super) async fn commit(
        &self,
        transaction: DatabaseTransaction,
        durability: Durability,
    ) -> Result<(), StoreError> {
        transaction.commit().await?;
        self.location.settle(durability).await
    }

    /// Locks the row until the transaction ends, and answers with it.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] when it has another owner; the database's own.
    pub(super) async fn owned_row(&self, transaction: &DatabaseTransaction) -> Result<store::Model, StoreError> {
        self.owned(locked_row(transaction).await?)
    }

    /// Whether this is still the owner; writes nothing and locks nothing for longer than it takes.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let (transaction, _) = self.begin_as_owner().await?;
        Ok(transaction.rollback().await?)
    }

    fn owned(&self, row: Option<store::Model>) -> Result<store::Model, StoreError> {
        let row = row.ok_or_else(StoreError::no_row)?;
        if row.owner == self.owner { Ok(row) } else { Err(StoreError::Superseded) }
    }

    /// Connects again, with the lock. SQLite may have ended a failed transaction by itself. The connection's count of
    /// open transactions is wrong then: what it commits later may be part of a transaction that never ends, seen by
    /// this connection alone. So it is never used again. Where it does not let go, the new one is not used either: the old
    /// may hold the write lock.
    ///
    /// Whoever keeps the lock from it may be its successor, and may live for years: the row tells. Until that one has
    /// made itself the owner, it may still go away without a trace, or be nothing but a session of our own that the
    /// server has yet to miss.
    ///
    /// # Errors
    /// As [`Self::open`], [`StoreError::Superseded`] and [`StoreError::Gone`].
    pub(super) async fn reconnect(&mut self) -> Result<(), StoreError> {
        // Where SQLite's log is gone, a new connection would begin another.
        self.location.check().await?;
        if self.is_of_a_cluster() {
            // What holds the lock does not keep a node from it, and time is short: the old one may end meanwhile.
            let old = std::mem::replace(&mut self.db, writer(&self.address, &self.lock).await?);
            tokio::spawn(timeout(CLOSING, old.close()));
        } else if self.is_remote() {
            // A server that does not answer must not keep a connection to its successor from being made.
            let _ = timeout(LET_GO, self.db.close_by_ref()).await;
            self.db = writer(&self.address, &self.lock).await?;
        } else {
            // SQLite deletes its log with its last connection: the new one comes first.
            let db = writer(&self.address, &self.lock).await?;
            self.db.close_by_ref().await?;
            self.db = db;
        }
        let Err(taken) = self.lock.check() else { return Ok(()) };
        self.owned(store::Entity::find_by_id(entity::ROW).one(&self.db).await?)?;
        Err(taken)
    }

    /// Closes the connection, then lets go of the lock.
    pub(super) async fn release(self) -> Result<(), StoreError> {
        let closed = self.db.close().await;
        drop(self.lock);
        Ok(closed?)
    }
}

#[cfg(test)]
impl Lease {
    /// Another owner of the same database, who takes no notice of locks.
    pub(super) async fn rival(&self) -> Self {
        let db = match self.address.kind() {
            Kind::File(path) => sqlite::writer(path).await.unwrap(),
            Kind::Server(url) => sea_orm::Database::connect(url).await.unwrap(),
        };
        let (owner, lock) = (xid::new().to_string(), Lock::Session(Held::taken()));
        let (address, boot, location) = (self.address.clone(), self.boot.clone(), Arc::clone(&self.location));
        let statements = Statements::new(db.get_database_backend());
        Self { address, owner, boot, has_log: true, db, statements, lock, location, node: None }
    }
}

/// What Linux calls the time since it was started. A host that does not say is taken to be in another each time.
fn present_boot() -> String {
    fs::read_to_string(BOOT_ID).map_or_else(|_| xid::new().to_string(), |id| id.trim().to_owned())
}

async fn writer(address: &Address, lock: &Lock) -> Result<DatabaseConnection, StoreError> {
    match (address.kind(), lock) {
        (Kind::Server(url), Lock::Session(held)) => Box::pin(postgres::writer(url, held)).await,
        (Kind::File(path), _) => Box::pin(sqlite::writer(path)).await,
        (Kind::Server(_), Lock::File(_)) => Err(StoreError::Taken),
    }
}

/// A few connections that can only read.
pub(super) async fn readers(address: &Address) -> Result<DatabaseConnection, StoreError> {
    match address.kind() {
        Kind::File(path) => sqlite::readers(path).await,
        Kind::Server(url) => postgres::readers(url).await,
    }
}

/// SQLite has no row locks and needs none: its transaction has the write lock from the start.
async fn locked_row(transaction: &DatabaseTransaction) -> Result<Option<store::Model>, StoreError> {
    Ok(store::Entity::find_by_id(entity::ROW).lock_exclusive().one(transaction).await?)
}
