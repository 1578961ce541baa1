//! The warden: a small process that outlives plugd for a moment. The parent-death signal reaches only the first process
//! of each run; when plugd is killed, the warden kills the rest.
//!
//! It reads lines from its stdin: `+<pgid> <start time> <plugin id> <token prefix>` when a group lives, `-<pgid>` when
//! nothing is left of it. At the end of its input it kills every group that is still listed, proven as at boot: by
//! start time and environment, so that an id that was given away kills nobody else.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::Signal,
};

use super::{
    census::{Census, Process, RunKey},
    record::LeaderRecord,
};

/// How long killed processes may take to end before the warden leaves.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Reads from stdin until plugd is gone, then kills what is left of its plugins. The body of the hidden subcommand
/// `warden`.
///
/// # Errors
/// Processes can't be listed or signalled.
pub fn run() -> io::Result<()> {
    watch(io::stdin().lock())
}

/// The line that says that a group lives.
pub(super) fn watch_line(leader: LeaderRecord, key: RunKey) -> String {
    format!("+{} {} {} {}\n", leader.pgid, leader.start_time, key.plugin, key.token_prefix())
}

/// The line that says that nothing of a group is left.
pub(super) fn forget_line(pgid: u32) -> String {
    format!("-{pgid}\n")
}

/// Groups that live: id, start time of the leader, run.
type Watched = BTreeMap<u32, (u64, RunKey)>;

fn watch(input: impl BufRead) -> io::Result<()> {
    let mut watched = Watched::new();
    // An input that breaks is as good as one that ends: nobody tells us anything any more.
    for line in input.lines().map_while(Result::ok) {
        apply(&line, &mut watched);
    }
    kill_all(&watched)
}

/// Takes one line; one that is cut off, because plugd died writing it, is skipped.
fn apply(line: &str, watched: &mut Watched) -> Option<()> {
    if let Some(pgid) = line.strip_prefix('-') {
        watched.remove(&pgid.parse().ok()?);
        return Some(());
    }
    let mut words = line.strip_prefix('+')?.split(' ');
    let (pgid, start_time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    watched.insert(pgid, (start_time, RunKey::from_token(words.next()?, words.next()?)?));
    Some(())
}

/// Kills until a census finds nothing: what is killed may have forked just before.
fn kill_all(watched: &Watched) -> io::Result<()> {
    let deadline = Instant::now() + KILL_DEADLINE;
    while !watched.is_empty() && Instant::now() < deadline {
        let census = Census::take()?;
        let of_group = |(pgid, (start, key)): (&u32, &(u64, RunKey))| census.leftovers(Some((*pgid, *start)), *key);
        let left: Vec<Process> = watched.iter().flat_map(of_group).collect();
        if left.is_empty() {
            break;
        }
        await_end(&kill(&left)?, deadline)?;
    }
    Ok(())
}

/// Kills these processes, and returns descriptors of those that were there.
fn kill(processes: &[Process]) -> io::Result<Vec<OwnedFd>> {
    let mut killed = Vec::new();
    for process in processes {
        killed.extend(process.signal(Signal::KILL)?);
    }
    Ok(killed)
}

fn await_end(killed: &[OwnedFd], deadline: Instant) -> io::Result<()> {
    for descriptor in killed {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&left))?;
    }
    Ok(())
}
