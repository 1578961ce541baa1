//! Creates processes.

use std::{io, process::Command};

use rustix::{
    fd::{AsFd, OwnedFd},
    process::{PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_open, waitid},
};

use super::keeper::Keeper;
use crate::runtime::{
    process_table::{Process, ProcessTable, RunKey, to_pid},
    record::LeaderRecord,
};

/// A process to create.
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) key: RunKey,
    /// Told of the process before anybody else.
    pub(super) keeper: Option<Keeper>,
}

/// Creates the process. Blocks until it runs its program, which a file system that hangs may put off for ever.
pub(super) fn create(mut job: Job) -> io::Result<Leader> {
    // The standard library's handle neither kills nor reaps when it is dropped; the leader below does both.
    let pid = job.command.spawn()?.id();
    let leader = Leader::adopt(pid, job.key, job.keeper)?;
    leader.keeper.iter().for_each(|keeper| keeper.watch(leader.record, job.key));
    Ok(leader)
}

/// The first process of a run. While it is not reaped, its id names no other process, group or session. Dropping it
/// kills everything of the run.
#[derive(Debug)]
pub(super) struct Leader {
    /// What a later plugd needs to know of it.
    pub(super) record: LeaderRecord,
    key: RunKey,
    descriptor: OwnedFd,
    keeper: Option<Keeper>,
    is_over: bool,
}

impl Leader {
    fn adopt(pid: u32, key: RunKey, keeper: Option<Keeper>) -> io::Result<Self> {
        let gone = || io::Error::other(format!("process {pid} of plugin {} vanished", key.plugin));
        let raw = to_pid(pid).ok_or_else(gone)?;
        let opened = pidfd_open(raw, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        let found = opened.and_then(|descriptor| Ok((descriptor, Process::read(pid)?.ok_or_else(gone)?)));
        let (descriptor, process) = found.inspect_err(|_| {
            // Out of descriptors, most likely. Nothing may run that can't be watched.
            let _ = kill_process_group(raw, Signal::KILL);
            let _ = waitid(WaitId::Pid(raw), WaitIdOptions::EXITED);
        })?;
        let record = LeaderRecord { pid, pgid: pid, start_time: process.start_time };
        Ok(Self { record, key, descriptor, keeper, is_over: false })
    }

    /// Readable once the process has ended.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }

    /// How it ended, if it has. It stays unreaped, which keeps its ids from being given away.
    pub(super) fn status(&self) -> io::Result<Option<WaitIdStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::PidFd(self.descriptor.as_fd()), options)?)
    }

    /// Signals its group. That nobody is left in it is no error.
    pub(super) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = to_pid(self.record.pid).filter(|_| !self.is_over) else { return Ok(()) };
        match kill_process_group(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a process that nobody waits for any more. Blocks until it is gone.
    pub(super) fn abandon(self) {
        tracing::warn!(plugin = %self.key.plugin, pid = self.record.pid, "a process that came too late is killed");
        if let Err(error) = self.signal_group(Signal::KILL).and_then(|()| self.kill_strays()) {
            // It is dropped here, which tries once more; the keeper still has it in its list.
            return tracing::warn!(pid = self.record.pid, %error, "cannot kill");
        }
        // By its id, which it keeps until it is reaped: a wait by a descriptor that doesn't block doesn't either.
        if let Some(pid) = to_pid(self.record.pid) {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
        self.reap();
    }

    fn kill_strays(&self) -> io::Result<()> {
        let members = ProcessTable::read()?.members(self.record.pid, self.key);
        members.iter().try_for_each(|member| member.signal(Signal::KILL).map(drop))
    }

    /// Reaps it, after which its ids may mean somebody else. Only when nothing of the run is left.
    pub(super) fn reap(mut self) {
        self.is_over = true;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if let Err(error) = waitid(WaitId::PidFd(self.descriptor.as_fd()), options) {
            tracing::warn!(pid = self.record.pid, %error, "cannot reap");
        }
        self.keeper.iter().for_each(|keeper| keeper.forget(self.record.pgid));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_over
            && let Err(error) = self.signal_group(Signal::KILL).and_then(|()| self.kill_strays())
        {
            // The keeper still has it in its list.
            tracing::warn!(pid = self.record.pid, %error, "cannot kill");
        }
    }
}
