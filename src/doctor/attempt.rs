//! What is tried, and what came of it: what the probe is told and what it answers, one JSON value each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a probe is to try.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// Files with the administrator's token.
    pub(super) tokens: Vec<PathBuf>,
    /// Files and folders of plugd's whose names must not be seen.
    pub(super) hidden: Vec<PathBuf>,
    /// A file that anybody may write to, but for the sandbox.
    pub(super) outside: PathBuf,
    /// A process like plugd, by the host's number.
    pub(super) bystander: u32,
    /// A port of this host that is not plugd's.
    pub(super) port: u16,
    /// An abstract socket of this host.
    pub(super) socket: String,
    /// Secrets of plugd's, and what they are.
    pub(super) secrets: Vec<(String, PathBuf)>,
    /// Programs that plugins may need, by name and path.
    pub(super) programs: Vec<(String, PathBuf)>,
}

/// Something that is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Attempt {
    /// Reading the administrator's token.
    Token,
    /// Seeing what is in plugd's folders.
    Folders,
    /// Writing to a file outside of its own folder.
    Write,
    /// Having capabilities.
    Capabilities,
    /// Mounting a file system.
    Mount,
    /// Reading the environment of a process like plugd.
    Environment,
    /// Tracing it.
    Trace,
    /// Connecting to an abstract socket of the host.
    Socket,
    /// Connecting to a port that is not plugd's.
    Connect,
    /// Reading this secret.
    Secret(String),
    /// Running this program, which should succeed.
    Program(String),
    /// Killing a process like plugd.
    Signal,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) attempt: Attempt,
    /// Why it failed; none if it succeeded.
    pub(super) refused: Option<String>,
}
