//! Where the database is: in a file, which should still be the one that was opened, or on a server.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use super::{StoreError, error::unavailable};
use crate::domain::{Error, Reason};

/// Where the database is. SQLite goes on with a file that somebody has deleted, and all that it takes then is lost.
#[derive(Debug)]
pub(super) enum Location {
    /// A file, and what it was when it was opened.
    File { path: PathBuf, device: u64, inode: u64 },
    /// A server, which looks after its files itself.
    Server,
}

impl Location {
    /// The location of this open file.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub(super) fn of(path: PathBuf, file: &File) -> Result<Self, StoreError> {
        match file.metadata() {
            Ok(metadata) => Ok(Self::File { path, device: metadata.dev(), inode: metadata.ino() }),
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    /// Is it still there? Asks no server.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let Self::File { path, device, inode } = self else { return Ok(()) };
        match fs::metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == (*device, *inode) => Ok(()),
            _ => Err(StoreError::Gone { path: path.clone() }),
        }
    }

    /// What callers are told while the database is away.
    pub(super) fn refusal(&self) -> Error {
        match self.check() {
            Ok(()) => unavailable(),
            Err(_) => Error::new(
                Reason::StoreUnavailable,
                "the database's file was deleted or replaced while plugd runs: nothing can be stored until it is put back",
            ),
        }
    }
}
