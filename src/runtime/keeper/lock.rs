//! The lock that says that nothing of an earlier plugd lives: it is held by plugd, by its keeper and by every init.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// A file that may be locked. It is never written to.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// # Errors
    /// The file can't be made.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Not truncated, not replaced: the lock is the file's, not its name's.
        let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        options.map(Self).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// The file system knows no locks.
    pub(super) fn try_take(&self) -> io::Result<bool> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has the lock.
    ///
    /// # Errors
    /// The file system knows no locks.
    pub(super) fn take(&self) -> io::Result<()> {
        loop {
            match flock(&self.0, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A descriptor that holds the lock as long as any copy of it is open.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }
}
