//! Killing what an earlier plugd left running.

use std::{io, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::{Instant, timeout_at};

use super::{
    census::{Census, Process},
    process::pidfd::Pidfd,
    record::{Record, Records},
};
use crate::domain::{PluginId, RunId};

/// How long killed processes may take to end.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Runs of which something was killed, and nothing is left.
    pub killed: Vec<Leftover>,
    /// Runs of which something can't be killed; their plugins can't start.
    pub surviving: Vec<Leftover>,
    /// Records of runs of which nothing was left.
    pub stale: usize,
}

/// Processes of a run that an earlier plugd started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The plugin.
    pub plugin: PluginId,
    /// The run.
    pub run: RunId,
    /// The processes.
    pub pids: Vec<u32>,
}

/// What became of one record.
pub(super) enum Swept {
    /// Nothing was left of the run.
    Stale,
    /// These were killed.
    Killed(Leftover),
    /// These live on.
    Surviving(Leftover),
}

/// Sweeps every record.
pub(super) async fn sweep(records: &Records) -> io::Result<SweepReport> {
    let mut report = SweepReport::default();
    for swept in join_all(records.all()?.iter().map(|record| sweep_one(records, record))).await {
        match swept? {
            Swept::Stale => report.stale += 1,
            Swept::Killed(leftover) => report.killed.push(leftover),
            Swept::Surviving(leftover) => report.surviving.push(leftover),
        }
    }
    Ok(report)
}

/// Kills what is left of one recorded run, and removes the record once nothing is.
pub(super) async fn sweep_one(records: &Records, record: &Record) -> io::Result<Swept> {
    let deadline = Instant::now() + KILL_DEADLINE;
    let mut killed: Vec<u32> = Vec::new();
    loop {
        let left = leftovers(records, record).await?;
        if left.is_empty() {
            records.remove(record.plugin)?;
            return Ok(if killed.is_empty() { Swept::Stale } else { Swept::Killed(leftover(record, killed)) });
        }
        let is_late = timeout_at(deadline, kill(&left)).await.is_err() || Instant::now() >= deadline;
        if is_late {
            let pids = left.iter().filter(|process| process.is_alive()).map(|process| process.pid).collect();
            return Ok(Swept::Surviving(leftover(record, pids)));
        }
        killed.extend(left.iter().map(|process| process.pid));
    }
}

async fn leftovers(records: &Records, record: &Record) -> io::Result<Vec<Process>> {
    // In another boot the ids are somebody else's, and nothing of that time lives.
    if record.boot_id != records.boot_id() {
        return Ok(Vec::new());
    }
    let leader = record.leader.map(|leader| (leader.pid, leader.start_time));
    let key = record.key();
    tokio::task::spawn_blocking(move || Ok(Census::take()?.leftovers(leader, key))).await?
}

/// Kills these and waits until they are gone; one that may not be signalled is waited for too.
async fn kill(processes: &[Process]) {
    let kill_one = async |process: &Process| {
        if let Err(error) = process.signal(Signal::KILL) {
            tracing::warn!(pid = process.pid, %error, "cannot kill a leftover");
        }
        match Pidfd::of(process) {
            Ok(Some(pidfd)) => pidfd.ended().await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(pid = process.pid, %error, "cannot watch a leftover");
                std::future::pending().await
            }
        }
    };
    join_all(processes.iter().map(kill_one)).await;
}

fn leftover(record: &Record, pids: Vec<u32>) -> Leftover {
    Leftover { plugin: record.plugin, run: record.run, pids }
}
