//! Room on the disk that belongs to the database already.
//!
//! On a disk that is full, the plugin that fills it has to be stopped or deleted, and that has to be stored first. So
//! blocks are reserved behind the end of SQLite's log, where only SQLite can write: a file of ballast that is given up when
//! it is needed would be filled by the plugin at once. Nothing but deactivations, deletions, and what is reported of such
//! plugins, is stored without the reserve being whole. SQLite deletes its log when the database is closed; until the next
//! start, when no plugin runs, ballast holds the room for it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::{StoreError, location::beside};

/// Bytes behind the end of the log. A deactivation with what is reported of it takes less than 200 KiB of it.
const RESERVE: u64 = 4 << 20;
/// Bytes of the ballast: the reserve, the log before it, its index, and what a start writes.
const BALLAST: u64 = 2 * RESERVE;
/// Bytes of a block, as `st_blocks` counts them.
const BLOCK: u64 = 512;

/// The room of one database.
#[derive(Debug)]
pub(super) struct Reserve {
    log: PathBuf,
    ballast: PathBuf,
    bytes: AtomicU64,
}

impl Reserve {
    /// That of this database.
    pub(super) fn beside(database: &Path) -> Self {
        let (log, ballast) = (beside(database, "-wal"), beside(database, ".reserve"));
        Self { log, ballast, bytes: AtomicU64::new(RESERVE) }
    }

    /// Reserves what is not reserved yet. SQLite holds no lock on its log, so opening and closing it harms none.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::File`].
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        let file = |source| StoreError::File { path: self.log.clone(), source };
        let log = match OpenOptions::new().write(true).open(&self.log) {
            Ok(log) => log,
            // Whether it should be there is not decided here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(file(error)),
        };
        let metadata = log.metadata().map_err(file)?;
        let wanted = metadata.len() + self.bytes.load(Ordering::Relaxed);
        if metadata.blocks() * BLOCK >= wanted || has_room(&log, wanted).map_err(file)? {
            return Ok(());
        }
        Err(StoreError::Full { path: self.log.clone() })
    }

    /// Gives the ballast up, for a start.
    pub(super) fn drop_ballast(&self) {
        match fs::remove_file(&self.ballast) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.ballast.display(), "the reserve could not be given up");
            }
            _ => {}
        }
    }

    /// Takes ballast in, once the database is closed.
    pub(super) fn take_ballast(&self) {
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.ballast);
        let taken = made.and_then(|file| Ok(fallocate(&file, FallocateFlags::empty(), 0, BALLAST)?));
        if let Err(error) = taken {
            tracing::warn!(%error, path = %self.ballast.display(), "no room is reserved for the next start");
        }
    }

    #[cfg(test)]
    pub(super) fn want(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Reserves as many bytes for this file, or where a file system can't do that, looks whether they are free.
fn has_room(file: &File, bytes: u64) -> io::Result<bool> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) => Ok(true),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(false),
        Err(_) => {
            let disk = fstatvfs(file)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes)
        }
    }
}
