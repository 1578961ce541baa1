//! Connections to the database, and the lock that keeps a second plugd away from it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, SqlxSqliteConnector,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{StoreError, address, location::Location};

/// How long a statement waits for somebody else's lock, and a caller for a connection.
const WAIT: Duration = Duration::from_secs(2);
/// Readers at a time; hot reads come from memory.
const READERS: u32 = 4;
/// Only plugd may read its files: they hold the tokens of external plugins.
const OWNER_ONLY: u32 = 0o600;

/// Takes the lock beside the database, which is kept until the file is dropped, and finds the database's own file.
///
/// # Errors
/// [`StoreError::Locked`] when another process has it, [`StoreError::Url`], [`StoreError::File`].
pub(super) fn lock(url: &str) -> Result<(File, Location), StoreError> {
    let database = file_of(url)?;
    let mut path = database.clone().into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = open_private(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path }),
        Err(TryLockError::Error(source)) => return Err(StoreError::File { path, source }),
    }
    // SQLite would make it readable for everybody.
    let opened = open_private(&database)?;
    Ok((file, Location::of(database, &opened)?))
}

fn open_private(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().create(true).append(true).mode(OWNER_ONLY).open(path);
    opened.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

/// The database's file. A database in memory is refused: each connection would have one of its own.
fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let refused = || address::refused("it is not that of a SQLite file");
    if !SqlxSqliteConnector::accepts(url) || url.contains(":memory:") || url.contains("mode=memory") {
        return Err(refused());
    }
    let options: SqliteConnectOptions = url.parse().map_err(|_| refused())?;
    let file = options.get_filename();
    if file.file_name().is_some() { Ok(file.to_owned()) } else { Err(refused()) }
}

/// The writer's only connection. What it has committed survives a power cut. [`lock`] has made the file; one that has
/// gone since is not made again.
///
/// # Errors
/// The database's own.
pub(super) async fn writer(url: &str) -> Result<DatabaseConnection, StoreError> {
    let options = pool(url, 1, |options| {
        let options = options.create_if_missing(false).busy_timeout(WAIT);
        options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
    });
    Ok(Database::connect(options).await?)
}

/// A few connections that can only read.
///
/// # Errors
/// The database's own.
pub(super) async fn readers(url: &str) -> Result<DatabaseConnection, StoreError> {
    let options = pool(url, READERS, |options| options.busy_timeout(WAIT).pragma("query_only", "ON"));
    Ok(Database::connect(options).await?)
}

fn pool(
    url: &str,
    connections: u32,
    sqlite: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).min_connections(1).acquire_timeout(WAIT).sqlx_logging(false);
    // Neither age nor idleness is a reason to close a connection to a file.
    options.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>).map_sqlx_sqlite_opts(sqlite);
    options
}
