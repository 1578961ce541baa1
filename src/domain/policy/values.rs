//! The values that settings and policies have.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many processes a control group can be limited to.
const PROCESSES: RangeInclusive<u64> = 1..=4_194_304;

/// The shares of the processors that a control group can be limited to: a hundredth of one, and more than any host has.
const CPU_MILLIS: RangeInclusive<u64> = 10..=10_000_000;

/// Resource limits of a plugin; what is absent is as the host has it. Core files are never written.
///
/// Those of a run as a whole need a control group. Without one, its memory and its processes are held as far as the kernel
/// can do that process by process, and its share of the processors is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory of a run in bytes; without a group the address space of each of its processes.
    pub memory_bytes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Processes and threads of a run; without a group those of its user, all plugins together.
    pub processes: Option<u64>,
    /// Size of one file in bytes.
    pub file_bytes: Option<u64>,
    /// Processor time of each process, in seconds.
    pub cpu_seconds: Option<u64>,
    /// Processor time of a run in each second, in milliseconds: 1500 = one and a half processors.
    pub cpu_millis: Option<u64>,
}

impl Limits {
    /// These limits, and those of `others` where there is none.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.or(others.memory_bytes),
            open_files: self.open_files.or(others.open_files),
            processes: self.processes.or(others.processes),
            file_bytes: self.file_bytes.or(others.file_bytes),
            cpu_seconds: self.cpu_seconds.or(others.cpu_seconds),
            cpu_millis: self.cpu_millis.or(others.cpu_millis),
        }
    }

    /// The names of the limits that the kernel would not take.
    pub(super) fn unusable(self) -> impl Iterator<Item = &'static str> {
        let some = 1..=u64::MAX;
        let limits = [
            ("memory_bytes", self.memory_bytes, some.clone()),
            ("open_files", self.open_files, some.clone()),
            ("processes", self.processes, PROCESSES),
            ("file_bytes", self.file_bytes, some.clone()),
            ("cpu_seconds", self.cpu_seconds, some),
            ("cpu_millis", self.cpu_millis, CPU_MILLIS),
        ];
        let is_bad = |(_, limit, range): &(_, Option<u64>, RangeInclusive<u64>)| {
            limit.is_some_and(|limit| !range.contains(&limit))
        };
        limits.into_iter().filter(is_bad).map(|(name, ..)| name)
    }
}

/// A user and a group of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

impl User {
    /// None with the highest number, which means "no change" to the kernel.
    pub fn new(uid: u32, gid: u32) -> Option<Self> {
        (uid != u32::MAX && gid != u32::MAX).then_some(Self { uid, gid })
    }
}

impl FromStr for User {
    type Err = ();

    /// From `1000:1000`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (uid, gid) = text.split_once(':').ok_or(())?;
        let id = |text: &str| text.parse().map_err(drop);
        Self::new(id(uid)?, id(gid)?).ok_or(())
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Users of the host, from the first number to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRange {
    first: u32,
    last: u32,
}

impl UserRange {
    /// Whether this is one of them.
    pub fn contains(self, uid: u32) -> bool {
        (self.first..=self.last).contains(&uid)
    }

    /// Their numbers, upwards.
    pub fn uids(self) -> impl Iterator<Item = u32> {
        self.first..=self.last
    }
}

impl FromStr for UserRange {
    type Err = ();

    /// From `60000-64999`. Root is in no range, and neither is the number that means "no change".
    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').ok_or(())?;
        let range = Self { first: first.parse().map_err(drop)?, last: last.parse().map_err(drop)? };
        let is_one = 0 < range.first && range.first <= range.last && range.last < u32::MAX;
        if is_one { Ok(range) } else { Err(()) }
    }
}

impl fmt::Display for UserRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Restarts before a crashing plugin is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxRestarts {
    Times(u32),
    Unlimited,
}

impl MaxRestarts {
    /// Whether there is none left after this many.
    pub fn is_reached(self, restarts: u32) -> bool {
        matches!(self, Self::Times(most) if restarts >= most)
    }
}

impl FromStr for MaxRestarts {
    type Err = ();

    /// From a number, or `unlimited`.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "unlimited" { Ok(Self::Unlimited) } else { text.parse().map(Self::Times).map_err(drop) }
    }
}

impl fmt::Display for MaxRestarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(most) => most.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// A signal that asks a plugin to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    #[default]
    Sigint,
    Sigterm,
    Sigquit,
    Sighup,
    Sigusr1,
    Sigusr2,
    Sigkill,
}

impl StopSignal {
    const ALL: [Self; 7] =
        [Self::Sigint, Self::Sigterm, Self::Sigquit, Self::Sighup, Self::Sigusr1, Self::Sigusr2, Self::Sigkill];

    /// Its name, as `SIGINT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigint => "SIGINT",
            Self::Sigterm => "SIGTERM",
            Self::Sigquit => "SIGQUIT",
            Self::Sighup => "SIGHUP",
            Self::Sigusr1 => "SIGUSR1",
            Self::Sigusr2 => "SIGUSR2",
            Self::Sigkill => "SIGKILL",
        }
    }
}

impl FromStr for StopSignal {
    type Err = ();

    /// From its name in any case, with or without `SIG`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        Self::ALL.into_iter().find(|signal| signal.name().strip_prefix("SIG") == Some(name)).ok_or(())
    }
}
