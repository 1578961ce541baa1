//! SQLite's log (`-wal`), to which each commit is appended: its sync, and room behind its end.
//!
//! **Sync.** SQLite would sync every commit of a connection or none, so plugd does it: a sync writes the whole log, and takes
//! the commits before it along. In a log that was not synced, SQLite finds the end of what has reached the disk by the
//! frames' checksums. And it syncs the log by itself before it takes anything out of it into the database. So a power cut
//! takes the newest commits, and none that was synced or that is older than one that is left.
//!
//! **Room.** On a disk that is full, the plugin that fills it has to be stopped or deleted, and that has to be stored first.
//! So blocks are reserved behind the end of the log, where only SQLite can write: a file that is given up when it is
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
/// Bytes that are reserved beside it where there is room.
const MORE: u64 = 1 << 20;
/// Bytes of a block, as `st_blocks` counts them.
const BLOCK: u64 = 512;

/// The log of one database. All of it is blocking.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    /// Opened once: there may be no free descriptor when a plugin has to be stopped. SQLite holds no lock on it, so opening
    /// and closing it harms none.
    open: Option<File>,
    /// Bytes to be reserved.
    reserve: u64,
    #[cfg(test)]
    pub(super) syncs: usize,
}

impl Wal {
    /// That of this database.
    pub(super) fn of(database: &Path) -> Self {
        Self {
            path: path_beside(database, "-wal"),
            open: None,
            reserve: RESERVE,
            #[cfg(test)]
            syncs: 0,
        }
    }

    /// Has everything that is committed survive a power cut.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        #[cfg(test)]
        {
            self.syncs += 1;
        }
        self.file().and_then(|log| log.sync_data()).map_err(|source| self.failed(source))
    }

    /// Reserves what is not reserved yet.
    pub(super) fn keep_reserve(&mut self) -> Result<(), StoreError> {
        match self.is_reserve_kept() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Full(self.path.clone())),
            // Whether it should be there is not decided here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// More is reserved than is needed, so that most commits need nothing of the kind.
    fn is_reserve_kept(&mut self) -> io::Result<bool> {
        let reserve = self.reserve;
        let log = self.file()?;
        let found = log.metadata()?;
        let (wanted, allocated) = (found.len() + reserve, found.blocks() * BLOCK);
        Ok(allocated >= wanted || has_room(log, wanted + MORE, allocated)? || has_room(log, wanted, allocated)?)
    }

    fn file(&mut self) -> io::Result<&File> {
        let log = match self.open.take() {
            Some(log) => log,
            None => OpenOptions::new().write(true).open(&self.path)?,
        };
        Ok(self.open.insert(log))
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), source }
    }

    #[cfg(test)]
    pub(super) fn want(&mut self, bytes: u64) {
        self.reserve = bytes;
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
