//! Connections to a PostgreSQL server.
//!
//! The session of the writer's connection holds a lock on the database for as long as it lasts, so that a second plugd
//! is refused when it starts. Whether it got the lock is kept beside it: a pool may replace a connection that broke, and
//! what it gets then is a session that has yet to take the lock. What makes sure that two never write is not this lock
//! but the owner in each transaction: see [`super::lease`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{
        Executor, PgConnection,
        error::{DatabaseError, Error},
    },
};

use super::StoreError;

/// How long to wait for a connection; more than a session waits for the lock.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a connection is kept that is seldom needed: less than the server keeps its session.
const IDLE: Duration = Duration::from_secs(3);
/// Readers at a time; hot reads come from memory.
const READERS: u32 = 4;

/// A session that writes. A commit is answered when it is on disk, and on the disks of the standbys that the server
/// waits for. What was read under the row lock of `store` is the newest: so no snapshot from before the lock. Locks are
/// waited for 2 s. The server ends a session that has said nothing for a while, so that the lock of a host that is gone
/// is free again; the writer asks it often enough to keep it alive.
const WRITER: &str = "SET synchronous_commit = on; SET lock_timeout = '2s'; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
    SET idle_session_timeout = '15s'; SET idle_in_transaction_session_timeout = '10s'";
/// The same of a node of a cluster, which says something every second, and of what writes beside the writer. What these leave
/// behind when they are frozen or cut off must not keep the next leader waiting: the row of `store` above all, which a
/// transaction may have locked. Nor a leader itself whose connection broke in the middle of one: it has some three seconds to
/// renew its lease on another.
const NODE: &str = "SET idle_session_timeout = '5s'; SET idle_in_transaction_session_timeout = '1500ms'";
/// The same of the writer of a node: what it has given up the server must not go on with, as the session that follows would wait for
/// its locks, and the lease with it.
const IN_TURN: &str = "SET statement_timeout = '2s'";
/// One lock a schema; PostgreSQL keeps the databases apart. Waits as long as `lock_timeout` says.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('plugd ' || current_schema(), 0))";
/// Nodes of a cluster share it: it keeps them apart from a plugd that is alone, and the row of `store` from each other.
const SHARED_LOCK: &str = "SELECT pg_advisory_lock_shared(hashtextextended('plugd ' || current_schema(), 0))";
/// What PostgreSQL says when the lock did not become free: `lock_not_available`.
const BUSY: &str = "55P03";
/// A session that reads: a transaction sees one moment.
const READER: &str = "SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on";

/// Whether the session of the writer's connection holds the lock.
#[derive(Clone)]
pub(super) struct Held {
    is_held: Arc<AtomicBool>,
    /// It is held against everybody, not shared among the nodes of a cluster.
    is_of_one: bool,
}

impl Held {
    /// Not held yet.
    pub(super) fn of_one(is_of_one: bool) -> Self {
        Self { is_held: Arc::default(), is_of_one }
    }

    /// # Errors
    /// [`StoreError::Taken`] when it does not: another plugd has the lock.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.is_held.load(Ordering::Acquire) { Ok(()) } else { Err(StoreError::Taken) }
    }
}

#[cfg(test)]
impl Held {
    /// Of somebody who believes to hold it.
    pub(super) fn taken() -> Self {
        Self { is_held: Arc::new(AtomicBool::new(true)), is_of_one: true }
    }
}

/// The writer's only connection; whether it got the lock is in `held`.
pub(super) async fn writer(url: &str, held: &Held) -> Result<DatabaseConnection, StoreError> {
    let mut options = pool(url, 1);
    // A session that ends gives the lock away: neither age nor idleness is a reason for that.
    options.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
    held.is_held.store(false, Ordering::Release);
    let kept = held.clone();
    options.map_sqlx_postgres_pool_opts(move |pool| {
        let kept = kept.clone();
        pool.after_connect(move |session, _| Box::pin(begin(session, kept.clone())))
    });
    connect(options).await
}

/// Keeps the session of the only connection from being ended because nothing is said in it.
pub(super) async fn wait_for_long(db: &DatabaseConnection) -> Result<(), DbErr> {
    let timeouts = "SET idle_session_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    db.execute_unprepared(timeouts).await.map(drop)
}

/// A few connections that can only read.
pub(super) async fn readers(url: &str) -> Result<DatabaseConnection, StoreError> {
    let mut options = pool(url, READERS);
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|session, _| Box::pin(async { session.execute(READER).await.map(drop) }))
    });
    connect(options).await
}

/// As many connections that write what needs no lock, each for as long as it is needed.
pub(super) async fn workers(url: &str, connections: u32) -> Result<DatabaseConnection, StoreError> {
    let mut options = pool(url, connections);
    options.min_connections(0).idle_timeout(Some(IDLE));
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|session, _| {
            Box::pin(async {
                session.execute(WRITER).await?;
                session.execute(NODE).await.map(drop)
            })
        })
    });
    connect(options).await
}

fn pool(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).min_connections(1).acquire_timeout(CONNECT).sqlx_logging(false);
    options.set_application_name("plugd");
    options
}

/// A pool says only that it had no connection in time, whatever was in the way.
async fn connect(options: ConnectOptions) -> Result<DatabaseConnection, StoreError> {
    Database::connect(options).await.map_err(|error| match error {
        DbErr::Conn(RuntimeErr::SqlxError(source)) if matches!(*source, Error::PoolTimedOut) => StoreError::TimedOut,
        error => error.into(),
    })
}

async fn begin(session: &mut PgConnection, held: Held) -> Result<(), Error> {
    held.is_held.store(false, Ordering::Release);
    session.execute(WRITER).await?;
    if !held.is_of_one {
        session.execute(NODE).await?;
    }
    let lock = if held.is_of_one { LOCK } else { SHARED_LOCK };
    let is_held = match session.execute(lock).await {
        Ok(_) => true,
        Err(Error::Database(error)) if is_busy(&*error) => false,
        Err(error) => return Err(error),
    };
    if !held.is_of_one {
        // Not of the lock, which has a limit of its own.
        session.execute(IN_TURN).await?;
    }
    held.is_held.store(is_held, Ordering::Release);
    Ok(())
}

fn is_busy(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code == BUSY)
}
