//! Killing what an earlier plugd left running.

use std::{io, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    census::{MAX_WATCHED, Process},
    process::{census_taker::CensusTaker, pidfd::Pidfd},
    record::{Record, Records},
};
use crate::domain::{PluginId, RunId};

/// How long killed processes may take to end.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// How long until a census that failed is taken again.
const RETRY: Duration = Duration::from_millis(100);

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

/// Sweeps every record. All share the census.
pub(super) async fn sweep(records: &Records, census: &CensusTaker) -> io::Result<SweepReport> {
    let mut report = SweepReport::default();
    for swept in join_all(records.all()?.iter().map(|record| sweep_one(records, census, record))).await {
        match swept? {
            Swept::Stale => report.stale += 1,
            Swept::Killed(leftover) => report.killed.push(leftover),
            Swept::Surviving(leftover) => report.surviving.push(leftover),
        }
    }
    Ok(report)
}

/// Kills what is left of one recorded run, and removes the record once nothing is.
///
/// # Errors
/// What lives could not be told until the deadline, or the record can't be removed.
pub(super) async fn sweep_one(records: &Records, census: &CensusTaker, record: &Record) -> io::Result<Swept> {
    let deadline = Instant::now() + KILL_DEADLINE;
    let mut killed: Vec<u32> = Vec::new();
    loop {
        let left = leftovers(records, census, record, deadline).await?;
        if left.is_empty() {
            records.remove(record.plugin)?;
            return Ok(if killed.is_empty() { Swept::Stale } else { Swept::Killed(leftover(record, killed)) });
        }
        let is_late = timeout_at(deadline, kill(&left)).await.is_err() || Instant::now() >= deadline;
        if is_late {
            let pids =
                left.iter().filter(|process| process.is_alive().unwrap_or(true)).map(|process| process.pid).collect();
            return Ok(Swept::Surviving(leftover(record, pids)));
        }
        killed.extend(left.iter().map(|process| process.pid).filter(|pid| !killed.contains(pid)).collect::<Vec<_>>());
    }
}

async fn leftovers(
    records: &Records,
    census: &CensusTaker,
    record: &Record,
    deadline: Instant,
) -> io::Result<Vec<Process>> {
    // In another boot the ids are somebody else's, and nothing of that time lives.
    if record.boot_id != records.boot_id() {
        return Ok(Vec::new());
    }
    let leader = record.leader.map(|leader| (leader.pid, leader.start_time));
    loop {
        match census.take().await {
            Ok(census) => return Ok(census.leftovers(leader, record.key())),
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

    use super::{super::census::Census, *};

    #[tokio::test]
    async fn all_records_share_the_census() {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned()).unwrap();
        for number in 0..100 {
            let (plugin, run) = (PluginId::from_bytes([number; 12]), RunId::from_bytes([number; 12]));
            records.write(Record { boot_id: String::new(), run, plugin, leader: None }.key(), None).unwrap();
        }
        let census = CensusTaker::new(|| {
            TAKEN.fetch_add(1, Relaxed);
            Ok(Census::default())
        });
        assert_eq!(sweep(&records, &census).await.unwrap().stale, 100);
        // Mostly two: one that began before the others asked, and one for them. On a busy machine some ask later still.
        assert!(TAKEN.load(Relaxed) < 50, "{TAKEN:?} for 100 records");
    }

    #[tokio::test(start_paused = true)]
    async fn a_census_that_fails_is_taken_again_until_the_deadline() {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned()).unwrap();
        let (plugin, run) = (PluginId::from_bytes([1; 12]), RunId::from_bytes([1; 12]));
        let write = || records.write(Record { boot_id: String::new(), run, plugin, leader: None }.key(), None).unwrap();
        let fails = || Err(io::Error::other("out of descriptors"));
        write();
        let late = CensusTaker::new(|| {
            if TAKEN.fetch_add(1, Relaxed) < 3 { Err(io::ErrorKind::Other.into()) } else { Ok(Census::default()) }
        });
        assert_eq!(sweep(&records, &late).await.unwrap().stale, 1);
        write();
        assert!(sweep(&records, &CensusTaker::new(fails)).await.is_err());
        assert_eq!(records.all().unwrap().len(), 1, "nothing was proven");
    }
}
