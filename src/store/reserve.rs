//! Room on the disk that belongs to the database already.
//!
//! On a disk that is full, the plugin that fills it has to be stopped or deleted, and that has to be stored first. So
//! blocks are reserved behind the end of SQLite's log, where only SQLite can write: a file of ballast that is given up when
//! it is needed would be filled by the plugin at once. Nothing but deactivations, deletions, and what is reported of such
//! plugins, is stored without the reserve being whole. SQLite deletes its log when the database is closed; until the next
//! start, when no plugin runs, ballast holds the room for it.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::{StoreError, location::path_beside};

/// Bytes behind the end of the log. A deactivation with what is reported of it takes less than 200 KiB of it.
const RESERVE: u64 = 4 << 20;
/// Bytes of the ballast: the reserve, the log before it, its index, and what a start writes.
const BALLAST: u64 = 2 * RESERVE;
/// Bytes of a block, as `st_blocks` counts them.
const BLOCK: u64 = 512;

/// The room of one database. All of it is blocking.
#[derive(Debug)]
pub(super) struct Reserve {
    log: PathBuf,
    /// The log, which is opened once: there may be no free descriptor when a plugin has to be stopped. SQLite holds no lock
    /// on it, so opening and closing it harms none.
    open: Option<File>,
    ballast: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// That of this database.
    pub(super) fn beside(database: &Path) -> Self {
        let (log, ballast) = (path_beside(database, "-wal"), path_beside(database, ".reserve"));
        Self { log, open: None, ballast, bytes: RESERVE }
    }

    /// Reserves what is not reserved yet.
    pub(super) fn keep(&mut self) -> Result<(), StoreError> {
        match self.is_kept() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Full(self.log.clone())),
            // Whether it should be there is not decided here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget_log();
                Ok(())
            }
            Err(source) => Err(StoreError::File { path: self.log.clone(), source }),
        }
    }

    fn is_kept(&mut self) -> io::Result<bool> {
        let found = fs::metadata(&self.log)?;
        let (wanted, allocated) = (found.len() + self.bytes, found.blocks() * BLOCK);
        Ok(allocated >= wanted || has_room(self.opened(&found)?, wanted, allocated)?)
    }

    /// The log that was found.
    fn opened(&mut self, found: &Metadata) -> io::Result<&File> {
        let open = self.open.take().map(|file| file.metadata().map(|known| (file, known))).transpose()?;
        let same = open.filter(|(_, known)| (known.dev(), known.ino()) == (found.dev(), found.ino()));
        let file = match same {
            Some((file, _)) => file,
            None => OpenOptions::new().write(true).open(&self.log)?,
        };
        Ok(self.open.insert(file))
    }

    /// Lets go of the log.
    pub(super) fn forget_log(&mut self) {
        self.open = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How often this process has the file open.
    fn descriptors(file: &Path) -> usize {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|link| link.as_os_str().to_string_lossy().contains(&*file.to_string_lossy())).count()
    }

    #[test]
    fn the_log_is_opened_once_until_another_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::beside(&folder.path().join("plugd.db"));
        let log = reserve.log.clone();
        reserve.keep().unwrap();
        fs::write(&log, "x").unwrap();
        reserve.keep().unwrap();
        assert_eq!(descriptors(&log), 1, "for when there is no other");
        fs::remove_file(&log).unwrap();
        fs::write(&log, "another").unwrap();
        reserve.keep().unwrap();
        assert!(fs::metadata(&log).unwrap().blocks() * BLOCK >= RESERVE);
        assert_eq!(descriptors(&log), 1, "the deleted one takes no room any more");
        fs::remove_file(&log).unwrap();
        reserve.keep().unwrap();
        assert_eq!(descriptors(&log), 0);
    }
}
