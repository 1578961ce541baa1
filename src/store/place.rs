//! The database's file, and whether what is at its path is still the one that was opened.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use super::{StoreError, error::unavailable};
use crate::domain::{Error, Reason};

/// Where the database is. SQLite goes on with a file that somebody has deleted, and all that it takes then is lost.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// The place of this open file.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub(super) fn of(path: PathBuf, file: &File) -> Result<Self, StoreError> {
        match file.metadata() {
            Ok(metadata) => Ok(Self { path, device: metadata.dev(), inode: metadata.ino() }),
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    /// Is it still there?
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_same = |found: &fs::Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        match fs::metadata(&self.path) {
            Ok(found) if is_same(&found) => Ok(()),
            _ => Err(StoreError::Gone { path: self.path.clone() }),
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
