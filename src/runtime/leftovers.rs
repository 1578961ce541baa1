//! Killing what an earlier plugd left running.

use std::{io, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    process::pidfd::Pidfd,
    process_table::{MAX_WATCHED, Process, SharedProcessTable},
    record::{Record, Records},
};
use crate::domain::{PluginId, RunId};

/// How long killed processes may take to end.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// How long until the table of processes is read again where that failed.
const RETRY: Duration = Duration::from_millis(100);

/// What became of the runs that an earlier plugd left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftoversReport {
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
pub(super) enum Outcome {
    /// Nothing was left of the run.
    Stale,
    /// These were killed.
    Killed(Leftover),
    /// These live on.
    Surviving(Leftover),
}

/// Ends what is left of every recorded run. All share the table of processes.
pub(super) async fn end_all(records: &Records, table: &SharedProcessTable) -> io::Result<LeftoversReport> {
    let mut report = LeftoversReport::default();
    for ended in join_all(records.all()?.iter().map(|record| end_one(records, table, record))).await {
        match ended? {
            Outcome::Stale => report.stale += 1,
            Outcome::Killed(leftover) => report.killed.push(leftover),
            Outcome::Surviving(leftover) => report.surviving.push(leftover),
        }
    }
    Ok(report)
}

/// Kills what is left of one recorded run, and removes the record once nothing is.
///
/// # Errors
/// What lives could not be told until the deadline, or the record can't be removed.
pub(super) async fn end_one(records: &Records, table: &SharedProcessTable, record: &Record) -> io::Result<Outcome> {
    let deadline = Instant::now() + KILL_DEADLINE;
    let mut killed: Vec<u32> = Vec::new();
    loop {
        let left = leftovers(records, table, record, deadline).await?;
        if left.is_empty() {
            records.remove(record.plugin)?;
            return Ok(if killed.is_empty() { Outcome::Stale } else { Outcome::Killed(leftover(record, killed)) });
        }
        let is_late = timeout_at(deadline, kill(&left)).await.is_err() || Instant::now() >= deadline;
        if is_late {
            let pids =
                left.iter().filter(|process| process.is_alive().unwrap_or(true)).map(|process| process.pid).collect();
            return Ok(Outcome::Surviving(leftover(record, pids)));
        }
        killed.extend(left.iter().map(|process| process.pid).filter(|pid| !killed.contains(pid)).collect::<Vec<_>>());
    }
}

async fn leftovers(
    records: &Records,
    table: &SharedProcessTable,
    record: &Record,
    deadline: Instant,
) -> io::Result<Vec<Process>> {
    // In another boot the ids are somebody else's, and nothing of that time lives.
    if record.boot_id != records.boot_id() {
        return Ok(Vec::new());
    }
    let leader = record.leader.map(|leader| (leader.pid, leader.start_time));
    loop {
        match table.get().await {
            Ok(table) => return Ok(table.leftovers(leader, record.key())),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => tracing::warn!(plugin = %record.plugin, %error, "cannot list processes; trying again"),
        }
        sleep(RETRY).await;
    }
}

/// Kills these and waits until some of them are gone; one that may not be signalled is waited for too. Not all at once:
/// each takes a descriptor, and there may be thousands.
async fn kill(processes: &[Process]) {
    for process in processes {
        if let Err(error) = process.signal(Signal::KILL) {
            tracing::warn!(pid = process.pid, %error, "cannot kill a leftover");
        }
    }
    let ended = async |process: &Process| match Pidfd::of(process) {
        Ok(Some(pidfd)) => pidfd.ended().await,
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(pid = process.pid, %error, "cannot watch a leftover");
            sleep(RETRY).await;
        }
    };
    join_all(processes.iter().take(MAX_WATCHED).map(ended)).await;
}

fn leftover(record: &Record, pids: Vec<u32>) -> Leftover {
    Leftover { plugin: record.plugin, run: record.run, pids }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::{super::process_table::ProcessTable, *};

    #[tokio::test]
    async fn all_records_share_one_table_of_processes() {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned()).unwrap();
        for number in 0..100 {
            let (plugin, run) = (PluginId::from_bytes([number; 12]), RunId::from_bytes([number; 12]));
            records.write(Record { boot_id: String::new(), run, plugin, leader: None }.key(), None).unwrap();
        }
        let table = SharedProcessTable::new(|| {
            TAKEN.fetch_add(1, Relaxed);
            Ok(ProcessTable::default())
        });
        assert_eq!(end_all(&records, &table).await.unwrap().stale, 100);
        // Mostly two: one that began before the others asked, and one for them. On a busy machine some ask later still.
        assert!(TAKEN.load(Relaxed) < 50, "{TAKEN:?} for 100 records");
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_cannot_be_read_is_read_again_until_the_deadline() {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned()).unwrap();
        let (plugin, run) = (PluginId::from_bytes([1; 12]), RunId::from_bytes([1; 12]));
        let write = || records.write(Record { boot_id: String::new(), run, plugin, leader: None }.key(), None).unwrap();
        let fails = || Err(io::Error::other("out of descriptors"));
        write();
        let late = SharedProcessTable::new(|| {
            if TAKEN.fetch_add(1, Relaxed) < 3 { Err(io::ErrorKind::Other.into()) } else { Ok(ProcessTable::default()) }
        });
        assert_eq!(end_all(&records, &late).await.unwrap().stale, 1);
        write();
        assert!(end_all(&records, &SharedProcessTable::new(fails)).await.is_err());
        assert_eq!(records.all().unwrap().len(), 1, "nothing was proven");
    }
}
