//! The one way to a plugin's log folder. A plugin may write into its own directory, so nothing in there is trusted:
//! no symbolic link is followed, no file is written that was not made here, and nothing that could block is opened.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use super::{MAX_KEPT, names};
use crate::files;

/// Rotated files that are known, the newest: a plugin may put any number there. One more than is kept, so that the next
/// oldest can go.
pub(super) const MAX_ROTATED: usize = MAX_KEPT + 1;

/// A file with more bytes is none of ours, and left out.
pub(super) const MAX_LENGTH: u64 = 1 << 40;

const FOLDER: &str = "logs";
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o640;

/// An open log folder.
pub(super) struct Folder(OwnedFd);

/// A file found in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name.
    pub(super) name: String,
    /// Its inode.
    pub(super) inode: u64,
    /// Its length in bytes.
    pub(super) length: u64,
}

impl Folder {
    /// Opens the log folder in a plugin's directory.
    ///
    /// # Errors
    /// `NotFound` when there is none; others when it is no folder, or a symbolic link to one.
    pub(super) fn open(plugin: &Path) -> io::Result<Self> {
        let parent = open_folder(CWD, plugin)?;
        Ok(Self(open_folder(parent, Path::new(FOLDER))?))
    }

    /// Opens the log folder in a plugin's directory, which must exist, and makes it if there is none. The directory
    /// itself is never made: that of a deleted plugin must not come back.
    ///
    /// # Errors
    /// As [`Folder::open`], or the folder can't be made.
    pub(super) fn open_or_create(plugin: &Path) -> io::Result<Self> {
        let parent = open_folder(CWD, plugin)?;
        match mkdirat(&parent, FOLDER, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(Self(open_folder(parent, Path::new(FOLDER))?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound`; others when it is a symbolic link, a pipe or the like.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        files::open_at(&self.0, name)
    }

    /// Makes a file of this name for writing, in place of whatever has the name now.
    ///
    /// # Errors
    /// The file can't be made, or a folder has its name.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.remove(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::from_raw_mode(FILE_MODE))?))
    }

    /// Renames a file.
    ///
    /// # Errors
    /// There is none, or it can't be renamed.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// It can't be removed.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Names of the newest [`MAX_ROTATED`] rotated files, oldest first.
    ///
    /// # Errors
    /// The folder can't be read.
    pub(super) fn rotated(&self) -> io::Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            names.extend(entry.file_name().to_str().ok().filter(|name| names::is_rotated(name)).map(str::to_owned));
            if names.len() > MAX_ROTATED {
                names.pop_first();
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The log files that can be read, oldest first, the current one last.
    ///
    /// # Errors
    /// The folder can't be read.
    pub(super) fn files(&self) -> io::Result<Vec<Found>> {
        let mut names = self.rotated()?;
        names.push(names::CURRENT.to_owned());
        Ok(names.into_iter().filter_map(|name| self.find(name)).collect())
    }

    fn find(&self, name: String) -> Option<Found> {
        let metadata = self.read(&name).and_then(|file| file.metadata()).ok()?;
        let found = Found { name, inode: metadata.ino(), length: metadata.len() };
        Some(found).filter(|found| found.length <= MAX_LENGTH)
    }
}

fn open_folder(parent: impl std::os::fd::AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(parent, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}
