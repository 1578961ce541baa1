//! Connections to the database, and the lock that keeps a second plugd away from it.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, QueryResult, Statement, Values,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{StoreError, checkpoint::LONGEST, location::path_beside};
use crate::files;

/// How long a statement waits for somebody else's lock, and a caller for a connection.
const WAIT: Duration = Duration::from_secs(2);
/// Transactions that the writer's connection keeps prepared. Those of one change each are always the same few; those of many are
/// large, and seldom come twice.
const SCRIPTS: usize = 16;
/// Readers at a time; hot reads come from memory.
const READERS: u32 = 4;
/// Rows that SQLite's thread hands over before it waits for whoever reads them, who takes them all anyway: with a page of the
/// journal it never waits.
const ROWS_ON_THE_WAY: usize = 1024;
/// The same for whoever reads all there is.
const ROWS_AT_A_TIME: usize = 8;

/// Takes the lock beside the database, which is kept until the file is dropped, and makes the database's own file.
///
/// # Errors
/// [`StoreError::Locked`] when another process has it, [`StoreError::File`].
pub(super) fn lock(database: &Path) -> Result<File, StoreError> {
    let path = path_beside(database, ".lock");
    let file = open_private(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(path)),
        Err(TryLockError::Error(source)) => return Err(StoreError::File { path, source }),
    }
    // SQLite would make it readable for everybody, and the tokens of external plugins are in it.
    open_private(database)?;
    Ok(file)
}

fn open_private(path: &Path) -> Result<File, StoreError> {
    files::open_private(path).map_err(|source| StoreError::File { path: path.to_owned(), source })
}

/// The writer's only connection. [`lock`] has made the file; one that has gone since is not made again.
///
/// It syncs no commit by itself: [`super::wal::Wal::sync`] does that for those that need it.
pub(super) async fn writer(file: &Path) -> Result<DatabaseConnection, StoreError> {
    let mut options = pool(file, 1, |options| {
        let options = options.create_if_missing(false).busy_timeout(WAIT).statement_cache_capacity(SCRIPTS);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
        options.pragma("wal_autocheckpoint", LONGEST.to_string())
    });
    // Each test would be one more trip to SQLite's thread and back. After an error of which it is not known what it left behind
    // the connection is not used again (`Lease::reconnect`).
    options.test_before_acquire(false);
    Ok(Database::connect(options).await?)
}

/// Runs these statements as one transaction, and answers with the rows that they return.
///
/// SQLite runs on a thread of its own. All statements travel there as one, since each trip costs more than what SQLite does
/// for it.
pub(super) async fn transact(
    db: &DatabaseConnection,
    statements: impl IntoIterator<Item = Statement>,
) -> Result<Vec<QueryResult>, DbErr> {
    let (mut sql, mut values) = ("BEGIN IMMEDIATE".to_owned(), Vec::new());
    for statement in statements {
        sql.push_str("; ");
        sql.push_str(&statement.sql);
        values.extend(statement.values.into_iter().flatten());
    }
    sql.push_str("; COMMIT");
    let script = Statement { sql, values: Some(Values(values)), db_backend: db.get_database_backend() };
    let done = db.query_all_raw(script).await;
    if done.is_err() {
        // What began is not to go on in the next one. SQLite may have ended it already: then it refuses this.
        let _ = db.execute_unprepared("ROLLBACK").await;
    }
    done
}

/// Whether the log is there, and holds something: SQLite deletes it when the database is closed, and at no other time.
pub(super) fn has_log(database: &Path) -> bool {
    fs::metadata(path_beside(database, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Takes what the log holds into the database's own file, as far as nobody reads or writes what is in the way. Readers may do it too.
pub(super) async fn checkpoint(db: &DatabaseConnection) -> Result<(), DbErr> {
    db.execute_unprepared("PRAGMA wal_checkpoint").await.map(drop)
}

/// A few connections that can only read.
pub(super) async fn readers(file: &Path) -> Result<DatabaseConnection, StoreError> {
    let options = pool(file, READERS, |options| {
        options.busy_timeout(WAIT).pragma("query_only", "ON").row_buffer_size(ROWS_ON_THE_WAY)
    });
    Ok(Database::connect(options).await?)
}

/// A connection that only looks on, beside a plugd that may run. It takes few rows at a time, which may hold a MiB each.
///
/// SQLite's last connection takes the log into the database and deletes it, but not one that may only read. What a plugd that was
/// killed has left is the next one's, who would miss it; where there is nothing in it, nothing is to be left behind.
pub(super) async fn spectator(file: &Path) -> Result<DatabaseConnection, StoreError> {
    let has_log = has_log(file);
    let options = pool(file, 1, move |options| {
        let options = options.create_if_missing(false).read_only(has_log).pragma("query_only", "ON");
        options.busy_timeout(WAIT).row_buffer_size(ROWS_AT_A_TIME)
    });
    Ok(Database::connect(options).await?)
}

/// A connection that reads the file as it is now, as if nobody ever wrote to it: it takes no locks, and makes no files.
pub(super) async fn still(file: &Path) -> Result<DatabaseConnection, StoreError> {
    let options = pool(file, 1, |options| options.create_if_missing(false).read_only(true).immutable(true));
    Ok(Database::connect(options).await?)
}

fn pool(
    file: &Path,
    connections: u32,
    sqlite: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> ConnectOptions {
    // The driver asks for a URL; it is told the file below, where nothing in its path has a meaning.
    let (mut options, file) = (ConnectOptions::new("sqlite://"), file.to_owned());
    // All are opened at once: one that is opened after SQLite's log was deleted would make another.
    options.max_connections(connections).min_connections(connections).acquire_timeout(WAIT).sqlx_logging(false);
    // Neither age nor idleness is a reason to close a connection to a file.
    options
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .map_sqlx_sqlite_opts(move |options| sqlite(options.filename(&file)));
    options
}
