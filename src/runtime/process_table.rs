//! Who lives on this host: one pass over `/proc`, and which of it belongs to a run.
//!
//! plugd is deliberately no child subreaper: that is a property of the whole process, and processes that it adopted would have
//! to be reaped beside all other children. A process descriptor tells the end of a process that isn't a child
//! just as exactly.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    str,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::{
    fd::OwnedFd,
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use tokio::{sync::Mutex, time::Instant};

use crate::domain::{PluginId, RunId};

/// Where the kernel lists processes.
const PROC: &str = "/proc";

/// Processes of one run whose ends are awaited at once. Each takes a descriptor, a run may have thousands of processes,
/// and while one of them lives the run does.
pub(crate) const MAX_WATCHED: usize = 16;

/// Most bytes of an environment that are looked at: more than the kernel takes for a new program. A process may declare all
/// of its memory to be its environment.
const MAX_ENVIRONMENT: u64 = 8 * 1024 * 1024;

/// Characters of a token that carry the run's 12 bytes.
const TOKEN_PREFIX_LEN: usize = 16;

/// The mark that every process of a run carries in its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    pub(crate) plugin: PluginId,
    pub(crate) run: RunId,
}

impl RunKey {
    /// The first characters of the token that the run was given.
    pub(crate) fn token_prefix(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.run.as_bytes())
    }

    /// The run that a plugin's id and (at least the beginning of) its token name.
    pub(crate) fn from_token(plugin: &str, token: &str) -> Option<Self> {
        let run = URL_SAFE_NO_PAD.decode(token.get(..TOKEN_PREFIX_LEN)?).ok()?;
        Some(Self { plugin: plugin.parse().ok()?, run: RunId::from_bytes(run.try_into().ok()?) })
    }

    /// The run that this RPC URL was made for.
    pub(crate) fn from_url(plugin: &str, url: &str) -> Option<Self> {
        Self::from_token(plugin, token(url)?)
    }

    /// The run in the block that `/proc/<pid>/environ` shows.
    fn from_environ(block: &[u8]) -> Option<Self> {
        let variable = |name: &[u8]| {
            let value = block.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(name))?;
            str::from_utf8(value).ok()
        };
        Self::from_url(variable(b"PLUGD_PLUGIN_ID=")?, variable(b"PLUGD_RPC_URL=")?)
    }
}

/// The token in a plugin's URL.
pub(crate) fn token(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// One process as the table of processes found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Clock ticks after boot; with the pid it names one process for as long as the host is up.
    pub(crate) start_time: u64,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) is_zombie: bool,
}

impl Process {
    /// The process with this id now; `None` when there is none.
    ///
    /// # Errors
    /// It can't be told, for want of descriptors for instance. That is not the same as gone.
    pub(crate) fn read(pid: u32) -> io::Result<Option<Self>> {
        Self::read_in(Path::new(PROC), pid)
    }

    fn read_in(proc: &Path, pid: u32) -> io::Result<Option<Self>> {
        let path = proc.join(pid.to_string()).join("stat");
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("{} makes no sense", path.display()));
        let Some(stat) = unless_gone(fs::read(&path))? else { return Ok(None) };
        Self::parse(pid, &stat).map(Some).ok_or_else(unknown)
    }

    fn parse(pid: u32, stat: &[u8]) -> Option<Self> {
        // The name in parentheses may hold any bytes, parentheses too; the fields after the last one are numbers.
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let fields: Vec<&str> = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let id = |index: usize| u32::try_from(number(index)?).ok();
        // A first thread that ended before the others looks like a zombie too.
        let is_zombie = matches!(*fields.first()?, "Z" | "X") && number(17)? <= 1;
        Some(Self { pid, start_time: number(19)?, parent: id(1)?, group: id(2)?, session: id(3)?, is_zombie })
    }

    /// Whether it still lives.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn is_alive(&self) -> io::Result<bool> {
        let now = Self::read(self.pid)?;
        Ok(now.is_some_and(|now| now.start_time == self.start_time && !now.is_zombie))
    }

    /// A descriptor of exactly this process; `None` when it is gone, whoever has its id now.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = to_pid(self.pid) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            // Once it is open the id can't pass to another: what is read now is what the descriptor means.
            Ok(descriptor) => Ok(self.is_alive()?.then_some(descriptor)),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Signals exactly this process and returns its descriptor; `None` when it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<Option<OwnedFd>> {
        let Some(descriptor) = self.open()? else { return Ok(None) };
        match pidfd_send_signal(&descriptor, signal) {
            Ok(()) => Ok(Some(descriptor)),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A pid as rustix wants it.
pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// All processes of one moment.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    processes: Vec<(Process, Option<RunKey>)>,
}

impl ProcessTable {
    /// Reads it now. Blocks for some milliseconds.
    ///
    /// # Errors
    /// Somebody who may live could not be read about. Nothing follows from that: read again.
    pub(crate) fn read() -> io::Result<Self> {
        Self::read_from(Path::new(PROC))
    }

    fn read_from(proc: &Path) -> io::Result<Self> {
        let mut processes = Vec::new();
        for entry in fs::read_dir(proc)? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let Some(process) = Process::read_in(proc, pid)? else { continue };
            processes.push((process, run_of(proc, &process)?));
        }
        Ok(Self { processes })
    }

    /// Live processes of a run whose leader is a child of ours that nobody has reaped: its group and session, all that
    /// carry the run in their environment, and what any of these started.
    pub(crate) fn members(&self, leader: u32, key: RunKey) -> Vec<Process> {
        self.with_descendants(|process, run| process.group == leader || process.session == leader || run == Some(key))
    }

    /// Live processes of a run of an earlier plugd. The group counts only when it is proven to be that run's: by its
    /// leader's start time and environment, or by a member with the run in its environment.
    pub(crate) fn leftovers(&self, leader: Option<(u32, u64)>, key: RunKey) -> Vec<Process> {
        match leader.filter(|leader| self.is_proven(*leader, key)) {
            Some((pid, _)) => self.members(pid, key),
            None => self.with_descendants(|_, run| run == Some(key)),
        }
    }

    fn is_proven(&self, (pid, start_time): (u32, u64), key: RunKey) -> bool {
        self.processes.iter().filter(|(_, run)| *run == Some(key)).any(|(process, _)| {
            let is_leader = process.pid == pid && process.start_time == start_time;
            let is_follower = process.pid != pid && (process.session == pid || process.group == pid);
            is_leader || is_follower
        })
    }

    /// Dead members of this group that only we can reap.
    pub(crate) fn adopted_zombies(&self, leader: u32) -> impl Iterator<Item = u32> {
        let own = std::process::id();
        let is_adopted = move |process: &Process| {
            process.is_zombie && process.parent == own && process.session == leader && process.pid != leader
        };
        self.processes.iter().map(|(process, _)| *process).filter(is_adopted).map(|process| process.pid)
    }

    fn with_descendants(&self, is_member: impl Fn(&Process, Option<RunKey>) -> bool) -> Vec<Process> {
        let own = std::process::id();
        let living: Vec<_> = self.processes.iter().filter(|(p, _)| !p.is_zombie && p.pid != own).collect();
        let mut found: HashSet<u32> = living.iter().filter(|(p, run)| is_member(p, *run)).map(|(p, _)| p.pid).collect();
        loop {
            let before = found.len();
            for (process, _) in &living {
                if found.contains(&process.parent) {
                    found.insert(process.pid);
                }
            }
            if found.len() == before {
                break;
            }
        }
        living.iter().map(|(process, _)| *process).filter(|process| found.contains(&process.pid)).collect()
    }
}

/// The run in a process's environment. One that we may not look into is somebody else's, or known by its group.
fn run_of(proc: &Path, process: &Process) -> io::Result<Option<RunKey>> {
    if process.is_zombie {
        return Ok(None);
    }
    let path = proc.join(process.pid.to_string()).join("environ");
    let read = File::open(path).and_then(|file| {
        let mut block = Vec::new();
        file.take(MAX_ENVIRONMENT).read_to_end(&mut block).map(|_| block)
    });
    match unless_gone(read) {
        Ok(block) => Ok(block.and_then(|block| RunKey::from_environ(&block))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` for the two errors that mean that there is no such process. Any other says nothing about it.
fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::SRCH) => Ok(None),
            _ => Err(error),
        },
    }
}

/// A table of processes that many ask for: five hundred plugins that stop together need a few passes over `/proc`, not
/// hundreds.
#[derive(Debug)]
pub(super) struct SharedProcessTable {
    read: fn() -> io::Result<ProcessTable>,
    last: Mutex<Option<(Instant, Arc<ProcessTable>)>>,
}

impl SharedProcessTable {
    pub(super) fn new(read: fn() -> io::Result<ProcessTable>) -> Self {
        Self { read, last: Mutex::default() }
    }

    /// A table that was begun after this call.
    pub(super) async fn get(&self) -> io::Result<Arc<ProcessTable>> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((_, table)) = last.as_ref().filter(|(began, _)| *began >= asked) {
            return Ok(Arc::clone(table));
        }
        let began = Instant::now();
        let table = Arc::new(tokio::task::spawn_blocking(self.read).await??);
        *last = Some((began, Arc::clone(&table)));
        Ok(table)
    }
}

#[cfg(test)]
mod tests;
