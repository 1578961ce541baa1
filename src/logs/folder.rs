//! The one way to a plugin's log folder, and the names of the files in it (CONTRACT 4). A plugin may write into its own
//! directory, so nothing in there is trusted: no symbolic link is followed, no file is written that was not made here,
//! and nothing that could block is opened.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, fmt::strtime, tz::TimeZone};
use rustix::{
    fs::{CWD, Dir, Mode, OFlags, mkdirat, openat, renameat},
    io::Errno,
};

use super::MAX_KEPT;
use crate::files;

/// The file that is written now.
pub(super) const CURRENT: &str = "output.log";

const PREFIX: &str = "output-";
const SUFFIX: &str = ".log";
const FORMAT: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// Rotated files that are known, the newest: a plugin may put any number there. One more than is kept, so that the next
/// oldest can go.
pub(super) const MAX_ROTATED: usize = MAX_KEPT + 1;

/// A file with more bytes is none of ours, and left out.
pub(super) const MAX_LENGTH: u64 = 1 << 40;

const FOLDER: &str = "logs";
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o640;

pub(super) struct Folder(OwnedFd);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) length: u64,
}

impl Folder {
    /// Opens the log folder in a plugin's directory.
    pub(super) fn open(plugin: &Path) -> io::Result<Self> {
        match open_folder(open_folder(CWD, plugin)?, FOLDER) {
            Err(Errno::NOTDIR) => Err(io::ErrorKind::NotFound.into()),
            opened => Ok(Self(opened?)),
        }
    }

    /// Opens the log folder in a plugin's directory, which must exist, and makes it if there is none; it is plugd's, so
    /// what else has its name goes. The directory itself is never made: that of a deleted plugin must not come back.
    pub(super) fn open_or_create(plugin: &Path) -> io::Result<Self> {
        let parent = open_folder(CWD, plugin)?;
        match open_folder(&parent, FOLDER) {
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR) => files::remove_at(&parent, FOLDER)?,
            opened => return Ok(Self(opened?)),
        }
        mkdirat(&parent, FOLDER, Mode::from_raw_mode(FOLDER_MODE))?;
        Ok(Self(open_folder(&parent, FOLDER)?))
    }

    /// Opens a regular file for reading.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        files::open_at(&self.0, name)
    }

    /// Makes a file of this name for writing, in place of whatever has the name now.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        files::create_at(&self.0, name, FILE_MODE)
    }

    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        files::Replace { mode: FILE_MODE, is_durable: false }.file_at(&self.0, name, bytes)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file. It is no error if there is none.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        files::remove_at(&self.0, name)
    }

    /// Names of the newest [`MAX_ROTATED`] rotated files, oldest first.
    pub(super) fn rotated(&self) -> io::Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            names.extend(entry.file_name().to_str().ok().filter(|name| is_rotated(name)).map(str::to_owned));
            if names.len() > MAX_ROTATED {
                names.pop_first();
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The log files that can be read, oldest first, the current one last.
    pub(super) fn files(&self) -> io::Result<Vec<Found>> {
        let mut names = self.rotated()?;
        names.push(CURRENT.to_owned());
        Ok(names.into_iter().filter_map(|name| self.find(name)).collect())
    }

    fn find(&self, name: String) -> Option<Found> {
        let metadata = self.read(&name).and_then(|file| file.metadata()).ok()?;
        let found = Found { name, inode: metadata.ino(), length: metadata.len() };
        Some(found).filter(|found| found.length <= MAX_LENGTH)
    }
}

fn open_folder(parent: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    openat(parent, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The name of a file rotated at that time. Lexical order of names is the order of time.
pub(super) fn rotated(at: Timestamp) -> String {
    format!("{PREFIX}{}{SUFFIX}", at.strftime(FORMAT))
}

/// Whether a rotation gives such names. Others in the folder are the plugin's own and left alone.
pub(super) fn is_rotated(name: &str) -> bool {
    rotated_at(name).is_some_and(|at| rotated(at) == name)
}

/// A name for a file rotated now that comes after that of the newest rotated one, whatever the clock says.
pub(super) fn next_name(now: Timestamp, newest: Option<&str>) -> String {
    let earliest = newest.and_then(rotated_at).and_then(|at| at.checked_add(SignedDuration::from_millis(1)).ok());
    rotated(earliest.map_or(now, |earliest| earliest.max(now)))
}

/// Files with a name before this one are older than `max_age`.
pub(super) fn oldest_kept(now: Timestamp, max_age: Duration) -> String {
    let max_age = SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX);
    rotated(now.checked_sub(max_age).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn rotated_at(name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let time = strtime::parse(FORMAT, text).ok()?.to_datetime().ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}
