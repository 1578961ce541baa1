//! Where the database is: in files, which should still be those that were opened, or on a server.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::Mutex, task::spawn_blocking};

use super::{StoreError, error::unavailable, reserve::Reserve};
use crate::domain::{Error, Reason};

/// Where the database is.
#[derive(Debug)]
pub(super) enum Location {
    /// Files of SQLite.
    Files(Arc<Files>),
    /// A server, which looks after its files itself.
    Server,
}

/// The database's own file, and the two that SQLite keeps beside it while it is open: what was written last (`-wal`) and
/// its index (`-shm`). SQLite goes on with files that somebody has deleted, and all that it takes then is lost.
///
/// The database and the index are only ever looked at by their paths: to close a descriptor of one would give SQLite's
/// locks on it away. What was found last is kept, for those who can't wait for the disk.
#[derive(Debug)]
pub(super) struct Files {
    database: PathBuf,
    identity: Identity,
    beside: Arc<Mutex<Beside>>,
    is_full: AtomicBool,
    is_gone: AtomicBool,
}

/// The files beside the database.
#[derive(Debug)]
struct Beside {
    companions: Vec<(PathBuf, Identity)>,
    reserve: Reserve,
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
            beside: Arc::new(Mutex::new(Beside { companions: Vec::new(), reserve: Reserve::beside(&database) })),
            is_full: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            database,
        })
    }

    /// Works with the files on a thread that may wait for the disk. A disk that hangs keeps one such thread and no more:
    /// the next waits for its turn, and whoever waits has a deadline.
    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &mut Beside) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut beside = Arc::clone(&self.beside).lock_owned().await;
        let files = Arc::clone(self);
        spawn_blocking(move || work(&files, &mut beside)).await.map_err(|_| StoreError::TimedOut)
    }

    fn check(&self, beside: &Beside) -> Result<(), StoreError> {
        let companions = beside.companions.iter().map(|(path, known)| (path, *known));
        let mut all = std::iter::once((&self.database, self.identity)).chain(companions);
        let gone = all.find(|(path, known)| identity(path) != Some(*known));
        self.is_gone.store(gone.is_some(), Ordering::Release);
        gone.map_or(Ok(()), |(path, _)| Err(StoreError::Gone { path: path.clone() }))
    }

    fn note(&self, beside: &mut Beside) {
        let paths = ["-wal", "-shm"].map(|suffix| path_beside(&self.database, suffix));
        let found = paths.into_iter().filter_map(|path| identity(&path).map(|identity| (path, identity)));
        beside.companions = found.collect();
    }

    fn has_lost_log(&self, beside: &Beside) -> Result<bool, StoreError> {
        if self.check(beside).is_ok() {
            return Ok(false);
        }
        if identity(&self.database) != Some(self.identity) {
            return Err(StoreError::Gone { path: self.database.clone() });
        }
        let log = path_beside(&self.database, "-wal");
        let known = beside.companions.iter().find(|(path, _)| *path == log).map(|(_, known)| *known);
        match fs::metadata(&log) {
            Ok(found) if found.len() > 0 && Some((found.dev(), found.ino())) != known => {
                Err(StoreError::Foreign { path: log })
            }
            _ => Ok(true),
        }
    }

    fn keep_reserve(&self, beside: &mut Beside) -> Result<(), StoreError> {
        let kept = beside.reserve.keep();
        self.is_full.store(matches!(kept, Err(StoreError::Full { .. })), Ordering::Release);
        kept
    }
}

impl Location {
    /// Are the files still there? Asks no server.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Files(files) => files.work(|files, beside| files.check(beside)).await?,
            Self::Server => Ok(()),
        }
    }

    /// Remembers which files SQLite has open now.
    ///
    /// # Errors
    /// [`StoreError::TimedOut`] when plugd ends meanwhile.
    pub(super) async fn note(&self) -> Result<(), StoreError> {
        match self {
            Self::Files(files) => files.work(|files, beside| files.note(beside)).await,
            Self::Server => Ok(()),
        }
    }

    /// Takes it that SQLite has no log open: every connection is closed.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub(super) async fn forget_log(&self) -> Result<(), StoreError> {
        self.beside(|beside| {
            beside.companions.clear();
            beside.reserve.forget_log();
        })
        .await
    }

    /// Whether only the log or its index is gone: SQLite has it open still, and can take what it holds into the database.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when the database is, [`StoreError::Foreign`] when somebody else's log is in the place of
    /// ours: it would be taken for the database's when that is opened.
    pub(super) async fn has_lost_log(&self) -> Result<bool, StoreError> {
        match self {
            Self::Files(files) => files.work(|files, beside| files.has_lost_log(beside)).await?,
            Self::Server => Ok(false),
        }
    }

    /// Sees to it that the reserve is there, and notes whether it is.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    pub(super) async fn keep_reserve(&self) -> Result<(), StoreError> {
        match self {
            Self::Files(files) => files.work(|files, beside| files.keep_reserve(beside)).await?,
            Self::Server => Ok(()),
        }
    }

    /// Gives up, for a start, what is reserved while nobody has the database open.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub(super) async fn drop_ballast(&self) -> Result<(), StoreError> {
        self.beside(|beside| beside.reserve.drop_ballast()).await
    }

    /// Reserves room for the next start, once the database is closed.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub(super) async fn take_ballast(&self) -> Result<(), StoreError> {
        self.beside(|beside| beside.reserve.take_ballast()).await
    }

    async fn beside(&self, work: impl FnOnce(&mut Beside) + Send + 'static) -> Result<(), StoreError> {
        match self {
            Self::Files(files) => files.work(|_, beside| work(beside)).await,
            Self::Server => Ok(()),
        }
    }

    /// From now on as many bytes are to be reserved.
    #[cfg(test)]
    pub(super) async fn want(&self, bytes: u64) {
        self.beside(move |beside| beside.reserve.want(bytes)).await.unwrap();
    }

    /// Was there no room left but the reserve when it was looked at last?
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Files(files) if files.is_full.load(Ordering::Acquire))
    }

    /// What callers are told while the database is away, by what was found when it was looked at last. Does not wait.
    pub(super) fn refusal(&self) -> Error {
        if self.is_full() {
            return Error::new(
                Reason::StoreUnavailable,
                "the disk is full: nothing can be stored but that plugins are deactivated and deleted; make room",
            );
        }
        if self.is_gone() {
            return Error::new(
                Reason::StoreUnavailable,
                "a file of the database was deleted or replaced while plugd runs: nothing can be stored now; plugd's log \
                 says which file and what to do",
            );
        }
        unavailable()
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Files(files) if files.is_gone.load(Ordering::Acquire))
    }
}

/// The path of a file that SQLite or plugd keeps beside the database.
pub(super) fn path_beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}
