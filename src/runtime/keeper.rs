//! The keeper: a small process that outlives plugd for a moment. The parent-death signal reaches only the first process
//! of each run; when plugd is killed, the keeper kills the rest.
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
    process::Signal,
};

use super::{
    process_table::{MAX_WATCHED, Process, ProcessTable, RunKey},
    record::LeaderRecord,
};

/// How long killed processes may take to end before the keeper leaves.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// How long until what failed is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How long one killed process is waited for before the next look at all of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads from stdin until plugd is gone, then kills what is left of its plugins. The body of the hidden subcommand
/// `keeper`.
///
/// # Errors
/// Something could not be killed until a deadline.
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

pub(super) fn watch(input: impl BufRead) -> io::Result<()> {
    let mut watched = Watched::new();
    // An input that breaks is as good as one that ends: nobody tells us anything any more.
    for line in input.lines().map_while(Result::ok) {
        apply(&line, &mut watched);
    }
    if watched.is_empty() {
        return Ok(());
    }
    kill_all(&watched, ProcessTable::read, Instant::now() + KILL_DEADLINE)
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

/// Kills until nothing is found: what is killed may have forked just before. Whatever fails is logged and tried again
/// until the deadline, as nobody else comes after the keeper.
fn kill_all(watched: &Watched, take: impl Fn() -> io::Result<ProcessTable>, deadline: Instant) -> io::Result<()> {
    loop {
        let is_late = Instant::now() >= deadline;
        match kill_some(watched, &take, deadline) {
            Ok(true) => return Ok(()),
            Ok(false) if is_late => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "plugins that can't be killed"));
            }
            Err(error) if is_late => return Err(error),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot end what plugd left running; trying again");
                pause();
            }
        }
    }
}

/// Kills what lives now and waits until some of it is gone. True if nothing lives.
fn kill_some(watched: &Watched, take: impl Fn() -> io::Result<ProcessTable>, deadline: Instant) -> io::Result<bool> {
    let table = take()?;
    let of_group = |(pgid, (start, key)): (&u32, &(u64, RunKey))| table.leftovers(Some((*pgid, *start)), *key);
    let left: Vec<Process> = watched.iter().flat_map(of_group).collect();
    let mut outcome = Ok(());
    for process in &left {
        // One that can't be killed is no reason to spare the others.
        outcome = outcome.and(process.signal(Signal::KILL).map(drop));
    }
    for process in left.iter().take(MAX_WATCHED) {
        outcome = outcome.and(await_end(process, deadline));
    }
    outcome.map(|()| left.is_empty())
}

/// Waits until it makes sense to try again. Nothing tells when.
fn pause() {
    let retry = Timespec { tv_sec: 0, tv_nsec: i64::from(RETRY.subsec_nanos()) };
    let _ = poll(&mut [], Some(&retry));
}

fn await_end(process: &Process, deadline: Instant) -> io::Result<()> {
    let Some(descriptor) = process.open()? else { return Ok(()) };
    let left = deadline.saturating_duration_since(Instant::now()).min(PATIENCE);
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&left))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::domain::{PluginId, RunId};

    fn mk_watched() -> Watched {
        let key = RunKey { plugin: PluginId::from_bytes([8; 12]), run: RunId::from_bytes([8; 12]) };
        Watched::from([(u32::MAX, (0, key))])
    }

    #[test]
    fn a_table_that_cannot_be_read_is_read_again() {
        let taken = Cell::new(0);
        let take = || {
            taken.set(taken.get() + 1);
            if taken.get() < 3 { Err(io::ErrorKind::Other.into()) } else { Ok(ProcessTable::default()) }
        };
        kill_all(&mk_watched(), take, Instant::now() + KILL_DEADLINE).unwrap();
        assert_eq!(taken.get(), 3);
    }

    #[test]
    fn a_table_that_can_never_be_read_is_told_at_the_deadline() {
        let take = || Err(io::ErrorKind::Other.into());
        assert!(kill_all(&mk_watched(), take, Instant::now() + RETRY).is_err());
    }
}
