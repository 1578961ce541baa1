//! Room on the disk that belongs to the database already.
//!
//! On a disk that is full, the plugin that fills it has to be stopped or deleted, and that has to be stored first. So
//! blocks are reserved behind the end of SQLite's log, where only SQLite can write: a file that is given up when it is
//! needed would be filled by the plugin at once. Nothing but deactivations, deletions, and what is reported of such
//! plugins, is stored without the reserve being whole.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::{StoreError, location::path_beside};

/// Bytes behind the end of the log. A deactivation with what is reported of it takes less than 200 KiB of it.
const RESERVE: u64 = 4 << 20;
/// Bytes of a block, as `st_blocks` counts them.
const BLOCK: u64 = 512;

/// The room of one database. All of it is blocking.
#[derive(Debug)]
pub(super) struct Reserve {
    log: PathBuf,
    /// The log, which is opened once: there may be no free descriptor when a plugin has to be stopped. SQLite holds no lock
    /// on it, so opening and closing it harms none.
    open: Option<File>,
    bytes: u64,
}

impl Reserve {
    /// That of this database.
    pub(super) fn of(database: &Path) -> Self {
        Self { log: path_beside(database, "-wal"), open: None, bytes: RESERVE }
    }

    /// Reserves what is not reserved yet.
    pub(super) fn keep(&mut self) -> Result<(), StoreError> {
        match self.is_kept() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Full(self.log.clone())),
            // Whether it should be there is not decided here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StoreError::File { path: self.log.clone(), source }),
        }
    }

    fn is_kept(&mut self) -> io::Result<bool> {
        let log = match self.open.take() {
            Some(log) => log,
            None => OpenOptions::new().write(true).open(&self.log)?,
        };
        let log = self.open.insert(log);
        let found = log.metadata()?;
        let (wanted, allocated) = (found.len() + self.bytes, found.blocks() * BLOCK);
        Ok(allocated >= wanted || has_room(log, wanted, allocated)?)
    }

    #[cfg(test)]
    pub(super) fn want(&mut self, bytes: u64) {
        self.bytes = bytes;
    }
}

/// Reserves as many bytes for this file, or where a file system can't do that, looks whether those are free that it does not
/// have.
fn has_room(file: &File, bytes: u64, allocated: u64) -> io::Result<bool> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) => Ok(true),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(false),
        Err(_) => {
            let disk = fstatvfs(file)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes.saturating_sub(allocated))
        }
    }
}
