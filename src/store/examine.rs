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
/// be there without a log ([`has_log`]), and no plugd may write to it.
///
/// # Errors
/// [`StoreError`]: it can't be reached or read, or a newer plugd wrote it.
pub async fn examine(address: &Address) -> Result<Examined, StoreError> {
    let (db, (name, question)) = match address.kind() {
        Kind::File(path) => (sqlite::still(path).await, ("SQLite", "SELECT sqlite_version()")),
        Kind::Server(url) => (postgres::readers(url).await, ("PostgreSQL", "SHOW server_version")),
    };
    let named = |error: StoreError| error.opening(address);
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
    holder(&fs::read_to_string(LOCKS).ok()?, lock.dev(), lock.ino())
}

/// Whether something is written in SQLite's log that may not be in the file yet: a plugd writes to it, or one was killed.
pub fn has_log(database: &Path) -> bool {
    path_beside(database, "-wal").exists()
}

/// Who holds the lock of this file. On btrfs, and others without a disk of their own, the kernel lists another device than a
/// file says that it is on: there the file's number must do.
fn holder(locks: &str, device: u64, file: u64) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let place = format!("{major:02x}:{minor:02x}:{file}");
    let held = |is_it: &dyn Fn(&str) -> bool| {
        let mut locks = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let found =
            locks.find(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5).is_some_and(|at| is_it(at)))?;
        found.get(4)?.parse().ok()
    };
    let (no_disk, number) = ("00:", format!(":{file}"));
    held(&|at| at == place).or_else(|| held(&|at| major == 0 && at.starts_with(no_disk) && at.ends_with(&number)))
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;

    #[test]
    fn a_lock_is_known_by_its_file_where_the_kernel_lists_another_device() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1b:99 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 00:1b:99 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 9 fe:00:12 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 10 fe:00:199 0 EOF\n";
        assert_eq!(holder(locks, makedev(0, 0x1b), 99), Some(8));
        assert_eq!(holder(locks, makedev(0, 0x2f), 99), Some(8), "btrfs");
        assert_eq!(holder(locks, makedev(0xfe, 0), 199), Some(10));
        assert_eq!(holder(locks, makedev(0xfe, 1), 199), None, "another disk's");
        assert_eq!(holder(locks, makedev(0, 0x2f), 199), None, "a disk's");
        assert_eq!(holder(locks, makedev(0, 0x2f), 9), None, "another file");
    }
}
