//! The tree of processes in the kernel: who came from whom.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, pidfd_send_signal, wait},
};

use super::sys;

/// How long inits may take to end what they have.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Kills the children of this process but those that are spared. True if there were any. What they started becomes a child of
/// this process, which is a child subreaper, when they have ended: so this is repeated after each end until nobody is left.
pub(super) fn kill_children(is_spared: impl Fn(Pid) -> bool) -> bool {
    let mut children = children(std::process::id()).into_iter().filter_map(to_pid).collect::<Vec<_>>();
    children.retain(|child| !is_spared(*child));
    for child in &children {
        // Nobody else reaps a child: until it is reaped here, its id means nobody else.
        let _ = kill_process(*child, Signal::KILL);
    }
    !children.is_empty()
}

/// Kills in this way and reaps until this process has no children.
pub(super) fn kill_until_empty(kill: impl Fn()) {
    loop {
        kill();
        if reap(WaitOptions::empty()).is_err() {
            return;
        }
    }
}

/// Waits until this process has no children, which end by themselves, and kills those that have not after a while. An init
/// that is killed halfway leaves what it had to this process: to nobody, if this one is killed too.
pub(super) fn end_children() {
    if await_children(Instant::now() + PATIENCE).is_err() {
        kill_until_empty(|| _ = kill_children(|_| false));
    }
}

/// Returns when there are no children.
fn await_children(deadline: Instant) -> io::Result<()> {
    let ends = sys::child_ends()?;
    loop {
        match reap(WaitOptions::NOHANG) {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&ends, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => drop(rustix::io::read(&ends, &mut [0_u8; 1024])),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reaps a child that has ended. `None` if none has yet.
///
/// # Errors
/// `CHILD` when there are no children.
pub(super) fn reap(options: WaitOptions) -> Result<Option<(Pid, WaitStatus)>, Errno> {
    loop {
        match wait(options) {
            Err(Errno::INTR) => {}
            reaped => return reaped,
        }
    }
}

/// All that came from this process but the members of this group.
pub(super) fn outside(group: Option<Pid>) -> Vec<Process> {
    let group = group.map_or(0, |group| group.as_raw_nonzero().get().unsigned_abs());
    members(std::process::id()).into_iter().filter(|member| member.group != group).collect()
}

/// Ids of all that came from this process and live.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    members(root).into_iter().map(|member| member.pid).collect()
}

/// Whether this process has not ended.
#[cfg(test)]
pub(crate) fn is_alive(pid: u32) -> bool {
    Process::read(pid).is_some_and(|process| !process.has_ended)
}

/// The parent of this process.
#[cfg(test)]
pub(crate) fn parent(pid: u32) -> Option<u32> {
    Process::read(pid).map(|process| process.parent)
}

/// A process as the kernel describes it.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    parent: u32,
    group: u32,
    has_ended: bool,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat_fields(&stat)?;
        let has_ended = matches!(fields.next()?, "Z" | "X");
        Some(Self { pid, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()?, has_ended })
    }

    /// Signals exactly this process: whoever has its id now must have its parent too, or have come to this process since.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = to_pid(self.pid).ok_or(io::ErrorKind::NotFound)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        match Self::read(self.pid) {
            Some(now) if [self.parent, std::process::id()].contains(&now.parent) => {
                Ok(pidfd_send_signal(&descriptor, signal)?)
            }
            _ => Ok(()),
        }
    }
}

/// The fields of a process's `stat` that follow its name. That is in parentheses, and may hold any bytes, parentheses too.
pub(in crate::runtime) fn stat_fields(stat: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    Some(str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace())
}

fn members(root: u32) -> Vec<Process> {
    let mut pids = children(root);
    let mut next = 0;
    while let Some(parent) = pids.get(next) {
        pids.extend(children(*parent));
        next += 1;
    }
    pids.into_iter().filter_map(Process::read).filter(|process| !process.has_ended).collect()
}

/// Ids of a process's children, whichever of its threads started them. None if it is gone.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let lists: Vec<String> = threads.filter_map(Result::ok).map(of_thread).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

/// An id as rustix wants it.
pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Makes sure that the kernel tells whose child a process is, without which nothing could be ended for certain.
///
/// # Errors
/// It doesn't: which file can't be read.
pub(super) fn check() -> io::Result<()> {
    let list = format!("/proc/self/task/{}/children", std::process::id());
    let read = fs::read_to_string(&list).map(drop);
    read.map_err(|error| io::Error::new(error.kind(), format!("{list} can't be read: {error}")))
}
