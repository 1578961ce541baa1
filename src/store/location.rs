//! Where the database is: in files, which should still be those that were opened, or on a server.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{StoreError, error::unavailable, reserve::Reserve};
use crate::domain::{Error, Reason};

/// Where the database is.
#[derive(Debug)]
pub(super) enum Location {
    /// Files of SQLite.
    Files(Files),
    /// A server, which looks after its files itself.
    Server,
}

/// The database's own file, and the two that SQLite keeps beside it while it is open: what was written last (`-wal`) and
/// its index (`-shm`). SQLite goes on with files that somebody has deleted, and all that it takes then is lost.
///
/// They are only ever looked at by their paths: to close a descriptor of one would give SQLite's locks on it away.
#[derive(Debug)]
pub(super) struct Files {
    database: PathBuf,
    identity: Identity,
    companions: Mutex<Vec<(PathBuf, Identity)>>,
    reserve: Reserve,
    is_full: AtomicBool,
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Files {
    /// Those of this open file.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub(super) fn of(database: PathBuf, file: &File) -> Result<Self, StoreError> {
        let metadata = file.metadata().map_err(|source| StoreError::File { path: database.clone(), source })?;
        Ok(Self {
            identity: (metadata.dev(), metadata.ino()),
            companions: Mutex::default(),
            reserve: Reserve::beside(&database),
            is_full: AtomicBool::new(false),
            database,
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        let gone = |path: &Path| Err(StoreError::Gone { path: path.to_owned() });
        if identity(&self.database) != Some(self.identity) {
            return gone(&self.database);
        }
        let companions = self.companions.lock().unwrap_or_else(PoisonError::into_inner);
        match companions.iter().find(|(path, known)| identity(path) != Some(*known)) {
            Some((path, _)) => gone(path),
            None => Ok(()),
        }
    }

    fn note(&self) {
        let paths = ["-wal", "-shm"].map(|suffix| beside(&self.database, suffix));
        let found = paths.into_iter().filter_map(|path| identity(&path).map(|identity| (path, identity)));
        *self.companions.lock().unwrap_or_else(PoisonError::into_inner) = found.collect();
    }
}

impl Location {
    /// Are the files still there? Asks no server.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Files(files) => files.check(),
            Self::Server => Ok(()),
        }
    }

    /// Remembers which files SQLite has open now.
    pub(super) fn note(&self) {
        if let Self::Files(files) = self {
            files.note();
        }
    }

    /// Takes it that SQLite has no log open: every connection is closed.
    pub(super) fn forget_log(&self) {
        if let Self::Files(files) = self {
            files.companions.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Whether only the log or its index is gone: SQLite has it open still, and can take what it holds into the database.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when the database is, [`StoreError::Foreign`] when somebody else's log is in the place of
    /// ours: it would be taken for the database's when that is opened.
    pub(super) fn has_lost_log(&self) -> Result<bool, StoreError> {
        let Self::Files(files) = self else { return Ok(false) };
        if files.check().is_ok() {
            return Ok(false);
        }
        if identity(&files.database) != Some(files.identity) {
            return Err(StoreError::Gone { path: files.database.clone() });
        }
        let log = beside(&files.database, "-wal");
        let companions = files.companions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = companions.iter().find(|(path, _)| *path == log).map(|(_, known)| *known);
        match fs::metadata(&log) {
            Ok(found) if found.len() > 0 && Some((found.dev(), found.ino())) != known => {
                Err(StoreError::Foreign { path: log })
            }
            _ => Ok(true),
        }
    }

    /// Sees to it that the reserve is there, and notes whether it is.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    pub(super) fn keep_reserve(&self) -> Result<(), StoreError> {
        let Self::Files(files) = self else { return Ok(()) };
        let kept = files.reserve.keep();
        files.is_full.store(matches!(kept, Err(StoreError::Full { .. })), Ordering::Release);
        kept
    }

    /// What is reserved while nobody has the database open, before it is opened.
    pub(super) fn reserve(&self) -> Option<&Reserve> {
        match self {
            Self::Files(files) => Some(&files.reserve),
            Self::Server => None,
        }
    }

    /// Was there no room left but the reserve when it was looked at last?
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Files(files) if files.is_full.load(Ordering::Acquire))
    }

    /// What callers are told while the database is away.
    pub(super) fn refusal(&self) -> Error {
        if self.is_full() {
            return Error::new(
                Reason::StoreUnavailable,
                "the disk is full: nothing can be stored but that plugins are deactivated and deleted; make room",
            );
        }
        match self.check() {
            Ok(()) => unavailable(),
            Err(_) => Error::new(
                Reason::StoreUnavailable,
                "a file of the database was deleted or replaced while plugd runs: nothing can be stored now; plugd's log \
                 says which file and what to do",
            ),
        }
    }
}

/// The path of a file that SQLite or plugd keeps beside the database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}
