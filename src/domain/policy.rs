//! What an operator decides about the processes of plugins.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Resource limits of each process of a plugin; what is absent is as the host has it. Core files are never written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space in bytes.
    pub memory_bytes: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes and threads of the plugin's user, all plugins together.
    pub processes: Option<u64>,
    /// Size of one file in bytes.
    pub file_bytes: Option<u64>,
    /// Processor time in seconds.
    pub cpu_seconds: Option<u64>,
}

/// A user and a group of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

impl FromStr for User {
    type Err = ();

    /// From `1000:1000`.
    fn from_str(text: &str) -> Result<Self, ()> {
        // The highest number means "no change" to the kernel.
        let id = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX).ok_or(());
        let (uid, gid) = text.split_once(':').ok_or(())?;
        Ok(Self { uid: id(uid)?, gid: id(gid)? })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}
