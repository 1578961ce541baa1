//! The group of one run: plugd makes and removes it, the run's init has the plugin's process made in it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{Controllers, Left};
use crate::files::if_there;

/// The file of a group that ends all that is in it and below it, and all that is being made there. Since Linux 5.14.
const KILL: &str = "cgroup.kill";

/// A group that was made for a run. Dropping it removes it, which blocks.
#[derive(Debug)]
pub(in crate::runtime) struct RunGroup {
    folder: PathBuf,
    controllers: Controllers,
    left: Left,
}

impl RunGroup {
    pub(super) fn new(folder: PathBuf, controllers: Controllers, left: Left) -> Self {
        Self { folder, controllers, left }
    }

    pub(in crate::runtime) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it holds.
    pub(in crate::runtime) fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// Kills all that is in it, if the kernel can do that: the run's init does it by itself, unless it was killed.
    pub(in crate::runtime) fn kill(&self) {
        let _ = fs::write(self.folder.join(KILL), "1");
    }
}

impl Drop for RunGroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            tracing::debug!(group = %self.folder.display(), %error, "a control group can't be removed yet");
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push_back(std::mem::take(&mut self.folder));
        }
    }
}

/// The group of a run as its init has it, which is not in there itself: it outlives all that is.
#[derive(Debug)]
pub(in crate::runtime) struct Membership {
    folder: PathBuf,
    descriptor: OwnedFd,
}

impl Membership {
    /// Opens the group.
    ///
    /// # Errors
    /// It is not there.
    pub(in crate::runtime) fn open(folder: PathBuf) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = openat(CWD, &folder, flags, Mode::empty())?;
        Ok(Self { folder, descriptor })
    }

    /// To make a process in it.
    pub(in crate::runtime) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Kills all that is in it at once, so that none can fork away.
    ///
    /// # Errors
    /// The kernel is older than 5.14.
    pub(in crate::runtime) fn kill(&self) -> io::Result<()> {
        self.open_file(KILL, OFlags::WRONLY)?.write_all(b"1")
    }

    /// Whether the kernel has killed something in it because there was no memory left, its own or the host's. Without the
    /// controller it can't be told.
    pub(in crate::runtime) fn ran_out_of_memory(&self) -> bool {
        let mut events = String::new();
        let read =
            self.open_file("memory.events", OFlags::RDONLY).and_then(|mut file| file.read_to_string(&mut events));
        read.is_ok() && has_kills(&events)
    }

    /// Removes it. It must be empty.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(in crate::runtime) fn remove(&self) -> io::Result<()> {
        remove(&self.folder)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        Ok(openat(&self.descriptor, name, flags | OFlags::CLOEXEC, Mode::empty())?.into())
    }
}

/// Whether a `memory.events` counts a process that was killed.
fn has_kills(events: &str) -> bool {
    let mut counts = events.lines().filter_map(|line| line.split_once(' '));
    counts.any(|(name, count)| ["oom_kill", "oom_group_kill"].contains(&name) && count.trim() != "0")
}

/// Removes a group in which nothing lives, with those that its processes have made in it. That there is none is no error.
pub(super) fn remove(group: &Path) -> io::Result<()> {
    let mut groups = vec![group.to_owned()];
    let mut next = 0;
    while let Some(above) = groups.get(next) {
        let entries = fs::read_dir(above).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
        groups.extend(below);
        next += 1;
    }
    groups.iter().rev().try_for_each(|group| if_there(fs::remove_dir(group)).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kills_for_want_of_memory_are_taken_for_some() {
        let events = |kills: u32, groups: u32| {
            format!("low 0\nhigh 7\nmax 12\noom 3\noom_kill {kills}\noom_group_kill {groups}\n")
        };
        assert!(!has_kills(&events(0, 0)), "the limit was reached, and memory was found");
        assert!(has_kills(&events(2, 0)) && has_kills(&events(0, 1)));
        assert!(!has_kills(""));
    }
}
