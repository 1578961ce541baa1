//! Deleting trees that a plugin may have grown to do harm.
//!
//! A folder with something in it is lifted to the top of the tree and emptied there. So a tree costs no stack, no list
//! and a handful of descriptors, however deep or wide it is, and no path is ever longer than one name.

use std::{
    cell::Cell,
    ffi::CStr,
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, fchmod, openat, renameat, unlinkat},
    io::Errno,
    path::Arg,
};

use super::dir;

/// How long one removal may take. What is left then is for the next one.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Deletes what is at this path, even folders that their owner closed. Links are deleted, not followed, and what is mounted
/// is left where it is. That nothing is there is no error.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    remove_until(path, Instant::now() + TIME_LIMIT)
}

/// [`remove_tree`] with another limit.
pub(super) fn remove_until(path: &Path, deadline: Instant) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = match openat(CWD, above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    match unlinkat(&above, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    // What something is mounted on is busy here: what is in that is not the tree's.
    match unlinkat(&above, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        removed => return Ok(removed?),
    }
    Removal::new(open_folder(&above, name)?, deadline).run()?;
    Ok(unlinkat(&above, name, AtFlags::REMOVEDIR)?)
}

struct Removal {
    top: OwnedFd,
    deadline: Instant,
    /// Things deleted or lifted.
    progress: Cell<u64>,
    /// Names given to what was lifted.
    names: Cell<u64>,
    failure: Cell<Option<Errno>>,
}

/// A folder with something in it.
struct Full {
    descriptor: OwnedFd,
    /// Its name at the top, if it is there.
    name: Option<String>,
}

impl Removal {
    fn new(top: OwnedFd, deadline: Instant) -> Self {
        Self { top, deadline, progress: Cell::new(0), names: Cell::new(0), failure: Cell::new(None) }
    }

    /// Goes through the top again and again, until nothing is there.
    fn run(&self) -> io::Result<()> {
        loop {
            let before = self.progress.get();
            if self.pass()? {
                return Ok(());
            }
            if self.is_late() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long; some of it is left"));
            }
            if self.progress.get() == before {
                return Err(self.failure.get().unwrap_or(Errno::NOTEMPTY).into());
            }
        }
    }

    /// Goes through the top once; says whether nothing was there.
    fn pass(&self) -> io::Result<bool> {
        let mut is_empty = true;
        for entry in Dir::read_from(&self.top)? {
            let entry = entry?;
            if is_dots(&entry) {
                continue;
            }
            is_empty = false;
            if self.is_late() {
                break;
            }
            if self.is_full(&self.top, &entry) {
                self.note(open_folder(&self.top, entry.file_name()).map(|folder| self.descend(folder)));
            }
        }
        Ok(is_empty)
    }

    /// Empties a folder, then one of those that were in it, and so on down to the end. The others are at the top, or
    /// are found in the next pass.
    fn descend(&self, folder: OwnedFd) {
        let mut next = Some(Full { descriptor: folder, name: None });
        while let Some(folder) = next {
            next = self.note(self.empty(&folder)).flatten();
            if let Some(name) = &folder.name {
                self.count(unlinkat(&self.top, name.as_str(), AtFlags::REMOVEDIR));
            }
        }
    }

    /// Deletes what is in a folder, but lifts what is full itself. Answers the last of these.
    fn empty(&self, folder: &Full) -> Result<Option<Full>, Errno> {
        let mut last = None;
        for entry in Dir::read_from(&folder.descriptor)? {
            let entry = entry?;
            if self.is_late() {
                return Ok(None);
            }
            if !is_dots(&entry) && self.is_full(&folder.descriptor, &entry) {
                last = self.note(self.lift(&folder.descriptor, entry.file_name())).or(last);
            }
        }
        Ok(last)
    }

    /// Deletes an entry unless it is a folder with something in it; says whether it is one.
    fn is_full(&self, folder: &OwnedFd, entry: &DirEntry) -> bool {
        let remove = |flags| unlinkat(folder, entry.file_name(), flags);
        let removed = match entry.file_type() {
            FileType::Directory => Err(Errno::ISDIR),
            _ => remove(AtFlags::empty()),
        };
        let removed = if removed == Err(Errno::ISDIR) { remove(AtFlags::REMOVEDIR) } else { removed };
        self.count(removed);
        matches!(removed, Err(Errno::NOTEMPTY | Errno::EXIST))
    }

    /// Moves a folder to the top. A folder that can't be moved (the top may hold no more, or they are in different layers)
    /// is emptied where it is.
    fn lift(&self, from: &OwnedFd, name: &CStr) -> Result<Full, Errno> {
        let descriptor = open_folder(from, name)?;
        while !self.is_late() {
            let number = self.names.replace(self.names.get() + 1);
            let lifted = format!(".removed-{number}");
            match renameat(from, name, &self.top, lifted.as_str()) {
                Ok(()) => {
                    self.count(Ok(()));
                    return Ok(Full { descriptor, name: Some(lifted) });
                }
                // The plugin has taken that name. An empty folder of that name is replaced, which is as well.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(_) => break,
            }
        }
        Ok(Full { descriptor, name: None })
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn count(&self, done: Result<(), Errno>) {
        match done {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            done => {
                let steps = u64::from(self.note(done).is_some());
                self.progress.set(self.progress.get() + steps);
            }
        }
    }

    fn note<T>(&self, done: Result<T, Errno>) -> Option<T> {
        done.inspect_err(|error| self.failure.set(Some(*error))).ok()
    }
}

fn is_dots(entry: &DirEntry) -> bool {
    matches!(entry.file_name().to_bytes(), b"." | b"..")
}

/// Opens a folder so that its contents can be listed and deleted, whatever its mode.
fn open_folder(from: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    let folder = dir::open_folder(from, name)?;
    // Where this is refused and is needed, the deletions are refused too and say so.
    let _ = fchmod(&folder, Mode::RWXU);
    Ok(folder)
}

#[cfg(test)]
mod tests;
