//! Where the database is: in files, which should still be those that were opened, or on a server.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

use super::{StoreError, error::unavailable, lease::Durability, wal::Wal};
use crate::domain::{Error, Reason};

/// For how long after they were found to be there the files need not be looked at because of a report. Too short for so many reports
/// that they take the reserve.
const LATELY: Duration = Duration::from_millis(50);

/// Where the database is: in files of SQLite, or on a server, which looks after its files itself.
#[derive(Debug)]
pub(super) struct Location(Option<Arc<Files>>);

/// The database's own file, and the two that SQLite keeps beside it while it is open: what was written last (`-wal`) and
/// its index (`-shm`). SQLite goes on with files that somebody has deleted. What it writes then is nowhere until it is
/// closed well, which takes the log into the database.
///
/// What was found last is kept, for those who can't wait for the disk.
#[derive(Debug)]
struct Files {
    disk: Arc<Mutex<OnDisk>>,
    /// SQLite's log once more, to be synced while the rest is looked at.
    log: Arc<Mutex<Wal>>,
    is_reserve_whole: AtomicBool,
    is_full: AtomicBool,
    is_gone: AtomicBool,
    /// When all of them were found to be there.
    found: std::sync::Mutex<Option<Instant>>,
}

/// What is looked at on the disk.
#[derive(Debug)]
struct OnDisk {
    database: PathBuf,
    /// The files that SQLite has open.
    open: Vec<OpenFile>,
    wal: Wal,
}

/// Which file it is, and how long it was: SQLite makes none of its files shorter while plugd has them open. It is only ever
/// looked at by its path: to close a descriptor of one would give SQLite's locks on it away.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    length: u64,
}

impl OpenFile {
    fn at(path: PathBuf) -> Option<Self> {
        let found = fs::metadata(&path).ok()?;
        Some(Self { path, device: found.dev(), inode: found.ino(), length: found.len() })
    }

    /// Whether it is still at its path, and no shorter. Remembers how long it is.
    fn is_still_there(&mut self) -> bool {
        let found = Self::at(self.path.clone())
            .filter(|found| (found.device, found.inode) == (self.device, self.inode) && found.length >= self.length);
        found.is_some_and(|found| {
            self.length = found.length;
            true
        })
    }
}

impl Files {
    fn check(&self, disk: &mut OnDisk) -> Result<(), StoreError> {
        let gone = disk.open.iter_mut().find_map(|file| (!file.is_still_there()).then(|| file.path.clone()));
        self.is_gone.store(gone.is_some(), Ordering::Release);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = gone.is_none().then(Instant::now);
        gone.map_or(Ok(()), |path| Err(StoreError::Gone(path)))
    }

    fn were_just_found(&self) -> bool {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|found| found.elapsed() < LATELY)
    }

    /// Whether the files are still there. Whether the reserve is too is noted for the next.
    fn look(&self, disk: &mut OnDisk) -> Result<(), StoreError> {
        let there = self.check(disk);
        let _ = self.keep_reserve(disk);
        there
    }

    fn keep_reserve(&self, disk: &mut OnDisk) -> Result<(), StoreError> {
        let kept = disk.wal.keep_reserve();
        self.is_reserve_whole.store(kept.is_ok(), Ordering::Release);
        self.is_full.store(matches!(kept, Err(StoreError::Full(_))), Ordering::Release);
        kept
    }
}

impl Location {
    /// In this file and those beside it.
    pub(super) fn file(database: &Path) -> Self {
        let disk = OnDisk { database: database.to_owned(), open: Vec::new(), wal: Wal::of(database) };
        let [is_reserve_whole, is_full, is_gone] = [const { AtomicBool::new(false) }; 3];
        let (disk, log) = (Arc::new(Mutex::new(disk)), Arc::new(Mutex::new(Wal::of(database))));
        let found = std::sync::Mutex::default();
        Self(Some(Arc::new(Files { disk, log, is_reserve_whole, is_full, is_gone, found })))
    }

    pub(super) fn server() -> Self {
        Self(None)
    }

    /// Works with the files, if there are any, on a thread that may wait for the disk. A disk that hangs keeps one such
    /// thread and no more: the next waits for its turn, and whoever waits has a deadline.
    async fn work(
        &self,
        work: impl FnOnce(&Files, &mut OnDisk) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let Some(files) = self.0.clone() else { return Ok(()) };
        let mut disk = Arc::clone(&files.disk).lock_owned().await;
        spawn_blocking(move || work(&files, &mut disk)).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Remembers which files SQLite has open: once, with all its connections open. As long as one is, they stay.
    pub(super) async fn remember(&self) -> Result<(), StoreError> {
        let remember = |_: &Files, disk: &mut OnDisk| {
            let paths = ["", "-wal", "-shm"].map(|suffix| path_beside(&disk.database, suffix));
            disk.open = paths.into_iter().filter_map(OpenFile::at).collect();
            Ok(())
        };
        self.work(remember).await
    }

    /// Whether the files are still there. Asks no server.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.work(Files::check).await
    }

    /// The same, and sees to it that the reserve is there: before what may take room.
    pub(super) async fn check_with_reserve(&self) -> Result<(), StoreError> {
        self.work(|files, disk| files.check(disk).and_then(|()| files.keep_reserve(disk))).await
    }

    /// Before a commit: whether the files are still there, with the reserve. What is refused since a file is gone is not to be in what
    /// SQLite still holds of it. For a report it is enough that the reserve was whole when that was looked at last.
    pub(super) async fn prepare(&self, durability: Durability) -> Result<(), StoreError> {
        match &self.0 {
            Some(files) if durability == Durability::Written && files.is_reserve_whole.load(Ordering::Acquire) => {
                Ok(())
            }
            _ => self.check_with_reserve().await,
        }
    }

    /// Has what is committed survive what it is to survive, and looks whether the files are still there. Of reports that come one
    /// after the other only one in a while has the files looked at: that takes another thread each time.
    pub(super) async fn settle(&self, durability: Durability) -> Result<(), StoreError> {
        match durability {
            Durability::Synced => {
                self.work(|files, disk| {
                    let synced = disk.wal.sync();
                    files.look(disk).and(synced)
                })
                .await
            }
            Durability::Syncing => Ok(()),
            Durability::Written if self.0.as_ref().is_some_and(|files| files.were_just_found()) => Ok(()),
            Durability::Written => self.work(Files::look).await,
        }
    }

    /// Has everything that is committed survive a power cut, and looks whether the files are still there: beside the writer, which does
    /// not wait for that. Here too a disk that hangs keeps one thread.
    pub(super) async fn sync(&self) -> Result<(), StoreError> {
        let Some(files) = self.0.clone() else { return Ok(()) };
        let mut log = Arc::clone(&files.log).lock_owned().await;
        let sync = move || {
            let synced = log.sync();
            files.look(&mut files.disk.blocking_lock()).and(synced)
        };
        spawn_blocking(sync).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Sees to it that the reserve is there, and notes whether it is.
    pub(super) async fn keep_reserve(&self) -> Result<(), StoreError> {
        self.work(Files::keep_reserve).await
    }

    /// From now on as many bytes are to be reserved.
    #[cfg(test)]
    pub(super) async fn want(&self, bytes: u64) {
        let want = move |files: &Files, disk: &mut OnDisk| {
            disk.wal.want(bytes);
            files.is_reserve_whole.store(false, Ordering::Release);
            Ok(())
        };
        self.work(want).await.unwrap();
    }

    /// Until this is dropped no sync ends.
    #[cfg(test)]
    pub(super) async fn hang(&self) -> tokio::sync::OwnedMutexGuard<Wal> {
        Arc::clone(&self.0.as_ref().unwrap().log).lock_owned().await
    }

    /// How often SQLite's log was synced.
    #[cfg(test)]
    pub(super) async fn syncs(&self) -> usize {
        match &self.0 {
            Some(files) => files.log.lock().await.syncs + files.disk.lock().await.wal.syncs,
            None => 0,
        }
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
