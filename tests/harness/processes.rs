//! Processes, as `/proc` shows them.

use std::{fs, path::Path, process::Child, time::Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    Plugd,
    wait::{HANG, LOOK, eventually, within},
};

/// One live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

impl Process {
    /// Those with this text in their environment. Zombies have none.
    pub(crate) fn with_environment(text: &str) -> Vec<Self> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| has_environment(*pid, text)).map(Self::read).collect()
    }

    /// The host's id of the process that has this one in the process namespace of that process.
    pub(super) fn in_the_world_of(other: &Self, inside: u32) -> Option<u32> {
        let world = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| world(*pid) == world(other.pid) && innermost_id(*pid) == Some(inside))
    }

    fn read(pid: u32) -> Self {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Self { pid, command: String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned() }
    }

    /// Ends it.
    pub(crate) fn kill(&self) {
        kill_9(self.pid);
    }
}

/// The id that a process knows itself by.
fn innermost_id(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().last()?.parse().ok()
}

fn has_environment(pid: u32, text: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Does it live? A zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Ends a process, if it has not ended.
pub(crate) fn kill_9(pid: u32) {
    let _ = kill_process(pid_of(pid), Signal::KILL);
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Waits for the end of a process.
pub(crate) async fn gone(pid: u32) {
    eventually("the end of a process", || (!is_alive(pid)).then_some(())).await;
}

/// Waits, without a runtime, until nothing has this text in its environment. Returns what is left after the deadline,
/// and ends it.
pub(super) fn left_behind(text: &str) -> Vec<Process> {
    let deadline = Instant::now() + HANG;
    loop {
        let left = Process::with_environment(text);
        if left.is_empty() || Instant::now() > deadline {
            left.iter().for_each(Process::kill);
            return left;
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Waits, without a runtime, until a process that was killed has ended. One that never does is left.
pub(super) fn reap(child: &mut Child) {
    let deadline = Instant::now() + HANG;
    while child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
        std::thread::park_timeout(LOOK);
    }
}

/// All files below a folder, relative to it, sorted.
pub(super) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found
}

pub(super) fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// The URL that the running process of a plugin was told to dial; in its log the token is masked.
pub(crate) async fn url_told_to(plugd: &Plugd, id: &str) -> String {
    variable_of(plugd, id, "PLUGD_RPC_URL").await.unwrap()
}

/// A variable in the environment of the running process of a plugin.
pub(crate) async fn variable_of(plugd: &Plugd, id: &str, name: &str) -> Option<String> {
    let pid = within("the process of a plugin", async {
        loop {
            match plugd.api().get(id).await.unwrap().status.unwrap().pid {
                None => tokio::task::yield_now().await,
                Some(pid) => break pid,
            }
        }
    });
    let environment = fs::read(format!("/proc/{}/environ", pid.await)).unwrap();
    let variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut values = variables.filter_map(|variable| Some(variable.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
    values.next_back()
}
