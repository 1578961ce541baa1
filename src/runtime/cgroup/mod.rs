//! Control groups (version 2): one for each run, where the host lets plugd make them.
//!
//! ```text
//! plugd.service          the group that plugd was started in
//! ├─ plugd               plugd, the keeper and the inits: where a group shares something out, no process may be beside it
//! ├─ plugd-8-1f3c-RUN    a run: the plugin and all that it starts
//! └─ …
//! ```
//!
//! A group ends all that is in it at once, tells what the kernel killed for want of memory, and, where it has been given the
//! controllers, holds the run as a whole. None of that is needed for a start: what the host does not have is told of, and
//! held process by process as far as that goes.

mod place;
mod run;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::{Deserialize, Serialize};

use super::words;
use crate::{
    domain::{PluginId, RunId, policy::Limits},
    files,
};

#[cfg(test)]
pub(super) use place::own_folder;
pub(super) use run::{Membership, RunGroup};

/// The group that plugd itself is in, below the one that it was started in.
const LEAF: &str = "plugd";

/// What a group can do for its children, and is told to.
const CONTROLLERS: &str = "cgroup.subtree_control";

/// Who is in a group; whoever is written to it moves there.
const PROCESSES: &str = "cgroup.procs";

/// What a group has to share out.
const AVAILABLE: &str = "cgroup.controllers";

/// How many of the groups that could not be removed are tried again at each start.
const RETRIES: usize = 8;

/// Microseconds after which a group has its share of the processors anew.
const CPU_PERIOD: u64 = 100_000;

/// What the groups of runs hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Controllers {
    /// How much of the processors.
    pub(super) cpu: bool,
    /// How much memory.
    pub(super) memory: bool,
    /// How many processes and threads.
    pub(super) pids: bool,
}

impl Controllers {
    /// From a file of the kernel's: `cpuset cpu io memory pids`.
    fn parse(text: &str) -> Self {
        let has = |name: &str| text.split_ascii_whitespace().any(|word| word == name);
        Self { cpu: has("cpu"), memory: has("memory"), pids: has("pids") }
    }

    /// All that limits need.
    pub(crate) const ALL: Self = Self { cpu: true, memory: true, pids: true };

    /// The names of those that are in here and not in the other.
    pub(crate) fn without(self, other: Self) -> impl Iterator<Item = &'static str> {
        let pairs =
            [("cpu", self.cpu, other.cpu), ("memory", self.memory, other.memory), ("pids", self.pids, other.pids)];
        pairs.into_iter().filter(|(_, here, there)| *here && !*there).map(|(name, ..)| name)
    }

    /// Tells this group the limits of a plugin, each by itself: one that the kernel refuses costs no other. What the group
    /// holds then; the rest remains to be held process by process.
    fn tell(self, group: &Path, plugin: PluginId, limits: Limits) -> Self {
        self.settings(limits).into_iter().fold(self, |holds, (file, value)| {
            let Err(error) = fs::write(group.join(file), &value) else { return holds };
            tracing::warn!(%plugin, "{file} of the plugin's control group can't be {value}: {}", words(&error));
            match file {
                "memory.max" => Self { memory: false, ..holds },
                "pids.max" => Self { pids: false, ..holds },
                "cpu.max" => Self { cpu: false, ..holds },
                _ => holds,
            }
        })
    }

    /// What a group is told so that it holds these limits: files and what is written to them.
    fn settings(self, limits: Limits) -> Vec<(&'static str, String)> {
        // What is left of a run of which one process was killed for want of memory is of no use to anybody.
        let all_at_once = self.memory.then(|| ("memory.oom.group", "1".to_owned()));
        let memory = limits.memory_bytes.filter(|_| self.memory).map(|bytes| ("memory.max", bytes.to_string()));
        let pids = limits.processes.filter(|_| self.pids).map(|count| ("pids.max", count.to_string()));
        let quota = limits.cpu_millis.filter(|_| self.cpu).map(|millis| millis.saturating_mul(CPU_PERIOD / 1000));
        let cpu = quota.map(|quota| ("cpu.max", format!("{quota} {CPU_PERIOD}")));
        [all_at_once, memory, pids, cpu].into_iter().flatten().collect()
    }

    /// What remains of these limits to be held process by process.
    pub(super) fn leave(self, limits: Limits) -> Limits {
        Limits {
            memory_bytes: limits.memory_bytes.filter(|_| !self.memory),
            processes: limits.processes.filter(|_| !self.pids),
            ..limits
        }
    }

    /// Which of these limits hold less than they say, or nothing, where groups hold no more than this.
    pub(super) fn weaker(self, limits: Limits) -> impl Iterator<Item = &'static str> {
        let each = self.leave(limits);
        let weaker = [
            (
                limits.cpu_millis.is_some() && !self.cpu,
                "the limit of processors holds nothing: there is no control group with the controller cpu",
            ),
            (
                each.memory_bytes.is_some(),
                "the limit of memory holds the address space of each process, not the memory of the whole plugin: there is no control \
                 group with the controller memory",
            ),
            (
                each.processes.is_some(),
                "the limit of processes holds all processes of the plugin's user together, and none of root's: there is no control \
                 group with the controller pids",
            ),
        ];
        weaker.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words)
    }
}

/// Where the groups of runs are made.
#[derive(Debug)]
pub(super) struct Cgroups {
    base: PathBuf,
    /// The names of this plugd's groups begin with this, and no other's do.
    prefix: String,
    controllers: Controllers,
    left: Left,
}

/// Groups that could not be removed when their runs ended.
type Left = Arc<Mutex<VecDeque<PathBuf>>>;

/// What runs would have, were plugd started where this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// The group in which theirs would be made.
    pub(crate) group: PathBuf,
    /// Whether they could be.
    pub(crate) can_be_made: bool,
    /// What they would hold.
    pub(crate) holds: Controllers,
    /// Why they would not hold all that the group has.
    pub(crate) obstacle: Option<String>,
}

impl Outlook {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The host has no groups of version 2.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let (own, is_given) = own_group()?;
        Ok(Self::around(&own, is_given))
    }

    /// The same for a process that is in this group.
    fn around(own: &Path, is_given: bool) -> Self {
        let base = base(own);
        let (available, enabled) = (controllers(base, AVAILABLE), controllers(base, CONTROLLERS));
        let obstacle = match must_leave(base, own) {
            _ if available.without(enabled).next().is_none() => None,
            _ if !is_given => Some("its controllers were not given to this process".to_owned()),
            Err(error) => Some(words(&error)),
            Ok(_) => None,
        };
        let holds = if obstacle.is_some() { enabled } else { available };
        Self { group: base.to_owned(), can_be_made: can_write(base), holds, obstacle }
    }
}

impl Cgroups {
    /// Finds where this process may make groups, and takes what controllers it is given. `lock` is the file that tells this
    /// plugd from others.
    ///
    /// # Errors
    /// The host has no groups of version 2, or lets this process make none.
    pub(super) fn find(lock: &Path) -> io::Result<Self> {
        let (own, is_given) = own_group()?;
        Self::around(&own, is_given, lock)
    }

    /// [`Cgroups::find`] for a process that is in this group; `is_given` says whether its controllers are there to be taken.
    pub(super) fn around(own: &Path, is_given: bool, lock: &Path) -> io::Result<Self> {
        let base = base(own);
        let lock = files::open_private(lock)?.metadata()?;
        // No two files that are there have the same numbers: neither have two plugds that run.
        let prefix = format!("{LEAF}-{:x}-{:x}-", lock.dev(), lock.ino());
        let trial = base.join(format!("{prefix}trial"));
        fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial))?;
        let controllers = if is_given { take_controllers(base, own) } else { controllers(base, CONTROLLERS) };
        Ok(Self { base: base.to_owned(), prefix, controllers, left: Left::default() })
    }

    /// What the groups of runs hold.
    pub(super) fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// Makes the group of a plugin's run, which holds what it can of these limits and is removed when it is dropped. Blocking.
    ///
    /// # Errors
    /// The kernel refuses to make it.
    pub(super) fn make(&self, plugin: PluginId, run: RunId, limits: Limits) -> io::Result<RunGroup> {
        self.remove_left(RETRIES);
        let folder = self.base.join(format!("{}{run}", self.prefix));
        fs::create_dir(&folder)?;
        let holds = self.controllers.tell(&folder, plugin, limits);
        Ok(RunGroup::new(folder, holds, Arc::clone(&self.left)))
    }

    /// The groups that earlier plugds with this lock may have left behind. To be called while there are no runs: those of new ones
    /// must not be among them.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        let is_ours = |name: &str| name.starts_with(&self.prefix);
        let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
        ours.map(|group| group.path()).collect()
    }

    /// Tries again what could not be removed, so many at the most: processes that could not be killed may have ended since.
    /// What is left still comes last next time.
    fn remove_left(&self, at_most: usize) {
        let left = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tried: Vec<PathBuf> = {
            let mut left = left();
            let count = at_most.min(left.len());
            left.drain(..count).collect()
        };
        tried.retain(|group| run::remove(group).is_err());
        left().extend(tried);
    }
}

/// Removes groups that were left, unless that was done by whoever was in them. To be called when nothing lives in them any
/// more. Blocking.
pub(super) fn remove_leftovers(groups: Vec<PathBuf>) {
    for group in groups.into_iter().filter(|group| group.exists()) {
        match run::remove(&group) {
            Ok(()) => tracing::info!(group = %group.display(), "a control group that was left was removed"),
            Err(error) => tracing::warn!(group = %group.display(), %error, "a control group is left"),
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.remove_left(usize::MAX);
    }
}

/// The group that this process is in, and whether its controllers are there to be taken: a container's are.
fn own_group() -> io::Result<(PathBuf, bool)> {
    let cgroup = fs::read_to_string("/proc/self/cgroup")?;
    let own = place::own_folder(&cgroup, &fs::read_to_string("/proc/self/mountinfo")?);
    let own = own.ok_or_else(|| io::Error::other("this host has no control groups of version 2"))?;
    let is_given = place::is_at_the_top(&cgroup) || is_delegated(base(&own));
    Ok((own, is_given))
}

/// The group whose children are the runs' and plugd's own: the one above, for a process that was put into its own already.
/// Any group may be called as plugd's own is: it is that only below one that was given away, and in which nobody is.
fn base(own: &Path) -> &Path {
    let is_base = |above: &&Path| own.ends_with(LEAF) && is_delegated(above) && is_empty(above);
    own.parent().filter(is_base).unwrap_or(own)
}

/// Whether a group was given to this process with all that is below it. One in which root may write can still be the
/// service manager's, which marks what it gave away.
fn is_delegated(group: &Path) -> bool {
    let is_marked = |name: &str| {
        let mut mark = [0];
        rustix::fs::getxattr(group, name, &mut mark).is_ok() && mark == *b"1"
    };
    if rustix::process::geteuid().is_root() { MARKS.into_iter().any(is_marked) } else { can_write(group) }
}

/// How a service manager marks a group that it gave away.
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];

fn can_write(group: &Path) -> bool {
    accessat(CWD, group, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

/// Whether no process is in this group itself.
fn is_empty(group: &Path) -> bool {
    fs::read_to_string(group.join(PROCESSES)).is_ok_and(|processes| processes.trim().is_empty())
}

/// Has the children of this group hold what this group can. This process is in `own`, and leaves it where that is necessary.
fn take_controllers(base: &Path, own: &Path) -> Controllers {
    let enabled = controllers(base, CONTROLLERS);
    let mut missing = controllers(base, AVAILABLE).without(enabled).peekable();
    if missing.peek().is_none() {
        return enabled;
    }
    if let Err(error) = step_aside(base, own) {
        let group = base.display();
        tracing::info!("the controllers of the control group {group} can't be used: {}", words(&error));
        return enabled;
    }
    for name in missing {
        if let Err(error) = fs::write(base.join(CONTROLLERS), format!("+{name}")) {
            let group = base.display();
            tracing::info!("the controller {name} of the control group {group} can't be used: {}", words(&error));
        }
    }
    controllers(base, CONTROLLERS)
}

/// Moves this process into a group of its own, where that is necessary.
fn step_aside(base: &Path, own: &Path) -> io::Result<()> {
    if !must_leave(base, own)? {
        return Ok(());
    }
    let leaf = base.join(LEAF);
    fs::create_dir_all(&leaf)?;
    fs::write(leaf.join(PROCESSES), std::process::id().to_string())
}

/// Whether this process has to leave its group: only a group without processes shares out what it has. The highest of all
/// groups, which has no type, need not be left.
fn must_leave(base: &Path, own: &Path) -> io::Result<bool> {
    if base != own || !base.join("cgroup.type").exists() {
        return Ok(false);
    }
    let (processes, this) = (fs::read_to_string(base.join(PROCESSES))?, std::process::id().to_string());
    if processes.split_ascii_whitespace().any(|process| process != this) {
        return Err(io::Error::other("other processes are in it"));
    }
    Ok(true)
}

/// The controllers that a file of a group names; none if it can't be read.
fn controllers(group: &Path, file: &str) -> Controllers {
    Controllers::parse(&fs::read_to_string(group.join(file)).unwrap_or_default())
}
