//! The kernel's files that tell what a run uses: those of its control group, and those of its processes for what that does not
//! tell.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rustix::param::{clock_ticks_per_second, page_size};

use crate::{domain::usage::Sample, runtime::keeper::tree::stat_fields};

/// Most files that are looked at for one sample of one run.
pub(super) const MAX_LOOKS: u32 = 1000;

/// Most bytes that are read of one of them.
const MAX_BYTES: u64 = 64 * 1024;

/// Where the kernel tells what one run uses.
#[derive(Debug)]
pub(in crate::runtime) struct Source {
    /// The process that all others of the run came from. What it uses itself is no plugin's.
    pub(in crate::runtime) init: u32,
    /// The folder of the run's control group.
    pub(in crate::runtime) group: Option<PathBuf>,
}

impl Source {
    /// What the run uses; none when nothing of it lives.
    pub(super) fn read(&self, looks: &mut Looks) -> Option<Sample> {
        let group = self.group.as_deref();
        let memory = group.and_then(|group| looks.at(&group.join("memory.current"), number));
        let cpu = group.and_then(|group| looks.at(&group.join("cpu.stat"), cpu_of_group));
        let members = group.and_then(|group| looks.at(&group.join("cgroup.procs"), numbers));
        let is_told = memory.is_some() && cpu.is_some() && members.is_some();
        let tree = if is_told { Tree::default() } else { Tree::below(self.init, looks) };
        let members = members.filter(|pids| !pids.is_empty()).unwrap_or(tree.pids);
        Some(Sample {
            time: Timestamp::now(),
            memory_bytes: memory.unwrap_or(tree.memory_bytes),
            cpu_time: cpu.unwrap_or(tree.cpu_time),
            processes: u32::try_from(members.len()).ok().filter(|count| *count > 0)?,
            open_files: open_files(&members, looks),
        })
    }
}

/// Looks at files, of which there may not be too many.
#[derive(Default)]
pub(super) struct Looks {
    taken: u32,
    bytes: Vec<u8>,
}

impl Looks {
    /// How many were taken.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// Whether there is one left, which is taken.
    fn take(&mut self) -> bool {
        let has_one = self.taken < MAX_LOOKS;
        self.taken += u32::from(has_one);
        has_one
    }

    /// What a file says; none if it can't be read.
    fn at<T>(&mut self, path: &Path, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        if !self.take() {
            return None;
        }
        self.bytes.clear();
        File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut self.bytes).ok()?;
        parse(whole(&self.bytes))
    }
}

/// What was read, without the number that was cut in two where that was too much.
fn whole(bytes: &[u8]) -> &[u8] {
    let is_cut = bytes.len() as u64 == MAX_BYTES;
    let end = bytes.iter().rposition(u8::is_ascii_whitespace).filter(|_| is_cut);
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    str::from_utf8(bytes).ok()?.trim().parse().ok()
}

fn numbers(bytes: &[u8]) -> Option<Vec<u32>> {
    str::from_utf8(bytes).ok()?.split_ascii_whitespace().map(|pid| pid.parse().ok()).collect()
}

/// What the processes of a group, those that have ended among them, used of the processors: of its `cpu.stat`.
fn cpu_of_group(bytes: &[u8]) -> Option<Duration> {
    let mut lines = str::from_utf8(bytes).ok()?.lines();
    let micros = lines.find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(Duration::from_micros(micros.trim().parse().ok()?))
}

/// All that came from a process and lives.
#[derive(Debug, Default)]
struct Tree {
    pids: Vec<u32>,
    memory_bytes: u64,
    cpu_time: Duration,
}

impl Tree {
    fn below(init: u32, looks: &mut Looks) -> Self {
        let mut tree = Self::default();
        let cpu_of_ended = looks.at(&of_process(init, "stat"), Stat::parse).map(|stat| stat.cpu_of_ended);
        let mut ticks = cpu_of_ended.unwrap_or_default();
        let mut found = children(init, looks);
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            next += 1;
            let Some(stat) = looks.at(&of_process(pid, "stat"), Stat::parse) else { continue };
            ticks += stat.cpu + stat.cpu_of_ended;
            if !stat.has_ended {
                tree.memory_bytes += stat.pages.saturating_mul(page_size() as u64);
                tree.pids.push(pid);
                found.extend(children(pid, looks));
            }
        }
        tree.cpu_time = Duration::from_millis(ticks.saturating_mul(1000) / clock_ticks_per_second().max(1));
        tree
    }
}

/// A process as its `stat` has it. Times are in ticks of the kernel's clock.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    has_ended: bool,
    cpu: u64,
    /// What its children used that have ended.
    cpu_of_ended: u64,
    /// Pages of it that are in memory.
    pages: u64,
}

impl Stat {
    fn parse(stat: &[u8]) -> Option<Self> {
        let fields: Vec<&str> = stat_fields(stat)?.collect();
        let at = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            has_ended: matches!(*fields.first()?, "Z" | "X"),
            cpu: at(11)? + at(12)?,
            cpu_of_ended: at(13)? + at(14)?,
            pages: at(21)?,
        })
    }
}

fn of_process(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// The children of a process, whichever of its threads started them.
fn children(pid: u32, looks: &mut Looks) -> Vec<u32> {
    let threads = if looks.take() { fs::read_dir(of_process(pid, "task")).ok() } else { None };
    let mut found = Vec::new();
    for thread in threads.into_iter().flatten().flatten() {
        if looks.taken() == MAX_LOOKS {
            break;
        }
        found.extend(looks.at(&thread.path().join("children"), numbers).unwrap_or_default());
    }
    found
}

/// Files that these processes have open; none if one of them hides its own.
fn open_files(pids: &[u32], looks: &mut Looks) -> Option<u32> {
    pids.iter().try_fold(0_u32, |sum, pid| Some(sum.saturating_add(files_of(*pid, looks)?)))
}

fn files_of(pid: u32, looks: &mut Looks) -> Option<u32> {
    let folder = of_process(pid, "fd");
    if !looks.take() {
        return None;
    }
    // Since Linux 6.2 this is their number, and there is no need to list them.
    let Ok(found) = fs::metadata(&folder) else { return Some(0) };
    if found.len() > 0 {
        return u32::try_from(found.len()).ok();
    }
    let listed = fs::read_dir(&folder).ok()?;
    u32::try_from(listed.take_while(|_| looks.take()).count()).ok()
}

#[cfg(test)]
pub(super) mod tests;
