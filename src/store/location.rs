//! Where the database is: in files, which should still be those that were opened, or on a server.

use std::{
    fs::{self, File, Metadata},
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

/// Where the database is: in files of SQLite, or on a server, which looks after its files itself.
#[derive(Debug)]
pub(super) struct Location(Option<Arc<Files>>);

/// The database's own file, and the two that SQLite keeps beside it while it is open: what was written last (`-wal`) and
/// its index (`-shm`). SQLite goes on with files that somebody has deleted, and all that it takes then is lost.
///
/// The database and the index are only ever looked at by their paths: to close a descriptor of one would give SQLite's
/// locks on it away. What was found last is kept, for those who can't wait for the disk.
#[derive(Debug)]
pub(super) struct Files {
    database: PathBuf,
    found: Arc<Mutex<Found>>,
    is_full: AtomicBool,
    is_gone: AtomicBool,
}

/// The files as they were found last.
#[derive(Debug)]
struct Found {
    database: Identity,
    companions: Vec<(PathBuf, Identity)>,
    reserve: Reserve,
}

/// Which file it is, and how long it was: SQLite makes none of its files shorter while plugd has them open.
#[derive(Debug, Clone, Copy)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino(), length: found.len() }
    }

    fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Self::of(&found))
    }

    fn is_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether the file at this path is still the one, and no shorter. Remembers how long it is.
    fn is_still_at(&mut self, path: &Path) -> bool {
        let Some(found) = Self::at(path).filter(|found| found.is_file(*self) && found.length >= self.length) else {
            return false;
        };
        self.length = found.length;
        true
    }
}

impl Files {
    /// Those of this open file.
    pub(super) fn of(database: PathBuf, file: &File) -> Result<Self, StoreError> {
        let metadata = file.metadata().map_err(|source| StoreError::File { path: database.clone(), source })?;
        let found =
            Found { database: Identity::of(&metadata), companions: Vec::new(), reserve: Reserve::beside(&database) };
        let (is_full, is_gone) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { database, found: Arc::new(Mutex::new(found)), is_full, is_gone })
    }

    fn check(&self, found: &mut Found) -> Result<(), StoreError> {
        let companions = found.companions.iter_mut().map(|(path, known)| (&*path, known));
        let mut all = std::iter::once((&self.database, &mut found.database)).chain(companions);
        let gone = all.find_map(|(path, known)| (!known.is_still_at(path)).then(|| path.clone()));
        self.is_gone.store(gone.is_some(), Ordering::Release);
        gone.map_or(Ok(()), |path| Err(StoreError::Gone(path)))
    }

    fn note(&self, found: &mut Found) {
        let paths = ["-wal", "-shm"].map(|suffix| path_beside(&self.database, suffix));
        let companions = paths.into_iter().filter_map(|path| Identity::at(&path).map(|identity| (path, identity)));
        found.companions = companions.collect();
    }

    fn has_lost_log(&self, found: &mut Found) -> Result<bool, StoreError> {
        if self.check(found).is_ok() {
            return Ok(false);
        }
        if !found.database.is_still_at(&self.database) {
            return Err(StoreError::Gone(self.database.clone()));
        }
        let path = path_beside(&self.database, "-wal");
        let known = found.companions.iter().find(|(companion, _)| *companion == path).map(|(_, known)| *known);
        let Some(log) = Identity::at(&path) else { return Ok(true) };
        match known.filter(|known| known.is_file(log)) {
            Some(known) if log.length < known.length => Err(StoreError::Gone(path)),
            None if log.length > 0 => Err(StoreError::Foreign(path)),
            _ => Ok(true),
        }
    }

    fn keep_reserve(&self, found: &mut Found) -> Result<(), StoreError> {
        let kept = found.reserve.keep();
        self.is_full.store(matches!(kept, Err(StoreError::Full(_))), Ordering::Release);
        kept
    }
}

impl Location {
    pub(super) fn of_files(files: Files) -> Self {
        Self(Some(Arc::new(files)))
    }

    pub(super) fn server() -> Self {
        Self(None)
    }

    /// Works with the files, if there are any, on a thread that may wait for the disk. A disk that hangs keeps one such
    /// thread and no more: the next waits for its turn, and whoever waits has a deadline.
    async fn work<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&Files, &mut Found) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(files) = self.0.clone() else { return Ok(T::default()) };
        let mut found = Arc::clone(&files.found).lock_owned().await;
        spawn_blocking(move || work(&files, &mut found)).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Whether the files are still there. Asks no server.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.work(|files, found| files.check(found)).await
    }

    /// The same, and sees to it that the reserve is there: before what may take room.
    pub(super) async fn check_with_reserve(&self) -> Result<(), StoreError> {
        self.work(|files, found| files.check(found).and_then(|()| files.keep_reserve(found))).await
    }

    /// Sees to it that the reserve is there, and notes whether it is.
    pub(super) async fn keep_reserve(&self) -> Result<(), StoreError> {
        self.work(|files, found| files.keep_reserve(found)).await
    }

    /// Remembers which files SQLite has open now.
    pub(super) async fn note(&self) -> Result<(), StoreError> {
        self.with_found(|files, found| files.note(found)).await
    }

    /// Takes it that SQLite has no log open: every connection is closed.
    pub(super) async fn forget_log(&self) -> Result<(), StoreError> {
        let forget = |_: &Files, found: &mut Found| {
            found.companions.clear();
            found.reserve.forget_log();
        };
        self.with_found(forget).await
    }

    /// Whether only the log or its index is gone: SQLite has it open still, and can take what it holds into the database.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when the database is, or the log was made shorter; [`StoreError::Foreign`] when somebody else's
    /// log is in the place of ours: it would be taken for the database's when that is opened.
    pub(super) async fn has_lost_log(&self) -> Result<bool, StoreError> {
        self.work(|files, found| files.has_lost_log(found)).await
    }

    /// Gives up, for a start, what is reserved while nobody has the database open.
    pub(super) async fn drop_ballast(&self) -> Result<(), StoreError> {
        self.with_found(|_, found| found.reserve.drop_ballast()).await
    }

    /// Reserves room for the next start, once the database is closed.
    pub(super) async fn take_ballast(&self) -> Result<(), StoreError> {
        self.with_found(|_, found| found.reserve.take_ballast()).await
    }

    async fn with_found(&self, work: impl FnOnce(&Files, &mut Found) + Send + 'static) -> Result<(), StoreError> {
        let done = |files: &Files, found: &mut Found| {
            work(files, found);
            Ok(())
        };
        self.work(done).await
    }

    /// From now on as many bytes are to be reserved.
    #[cfg(test)]
    pub(super) async fn want(&self, bytes: u64) {
        self.with_found(move |_, found| found.reserve.want(bytes)).await.unwrap();
    }

    /// Whether there was no room left but the reserve when it was looked at last.
    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|files| files.is_full.load(Ordering::Acquire))
    }

    /// What callers are told while the database is away, by what was found when it was looked at last. Does not wait.
    pub(super) fn refusal(&self) -> Error {
        if self.is_full() {
            return Error::new(
                Reason::StoreUnavailable,
                "the disk is full: nothing can be stored but that plugins are deactivated and deleted; make room",
            );
        }
        if self.0.as_ref().is_some_and(|files| files.is_gone.load(Ordering::Acquire)) {
            return Error::new(
                Reason::StoreUnavailable,
                "a file of the database was deleted or replaced, or made shorter, while plugd runs: nothing can be stored now; \
                 plugd's log says which file and what to do",
            );
        }
        unavailable()
    }
}

/// The path of a file that SQLite or plugd keeps beside the database.
pub(super) fn path_beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}
