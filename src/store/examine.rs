//! Looking at the database of a plugd that may run, or that has never been started: nothing of it is changed, and nobody is
//! kept from it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait, Statement};

use super::{
    StoreError,
    address::{Address, Kind},
    entity::plugin,
    location::path_beside,
    migration, postgres, sqlite,
};

/// Where the kernel lists who holds which lock.
const LOCKS: &str = "/proc/locks";

/// What is known of a database that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// What keeps it, as `SQLite 3.50`.
    pub kind: String,
    /// The plugins that it holds.
    pub plugins: u64,
}

/// Looks into the database. A file of SQLite's is read as it lies on the disk, without its log and without locks: it must
/// be there, and no plugd may write to it.
///
/// # Errors
/// [`StoreError`]: it can't be reached or read, or a newer plugd wrote it.
pub async fn examine(address: &Address) -> Result<Examined, StoreError> {
    let (db, (name, question)) = match address.kind() {
        Kind::File(path) => (sqlite::still(path).await, ("SQLite", "SELECT sqlite_version()")),
        Kind::Server(url) => (postgres::readers(url).await, ("PostgreSQL", "SHOW server_version")),
    };
    let named = |error: StoreError| match address.path() {
        Some(path) => error.opening(path),
        None => error,
    };
    let db = db.map_err(named)?;
    let read = read(&db, name, question).await.map_err(named);
    db.close().await?;
    read
}

async fn read(db: &DatabaseConnection, name: &str, question: &str) -> Result<Examined, StoreError> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), question)).await?;
    let version: String = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    let plugins = if migration::is_begun(db).await? { plugin::Entity::find().count(db).await? } else { 0 };
    Ok(Examined { kind: format!("{name} {version}"), plugins })
}

/// The process that holds the lock beside this SQLite database: the plugd that uses it. None too where the kernel does not
/// show it, as to a container.
pub fn user_of(database: &Path) -> Option<u32> {
    let lock = fs::metadata(path_beside(database, ".lock")).ok()?;
    let (major, minor) = (rustix::fs::major(lock.dev()), rustix::fs::minor(lock.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", lock.ino());
    let locks = fs::read_to_string(LOCKS).ok()?;
    let mut fields = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let held = fields.find(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&place.as_str()))?;
    held.get(4)?.parse().ok()
}
