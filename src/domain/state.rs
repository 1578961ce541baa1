//! The states of a plugin: what is desired of it and what is reported.

use serde::{Deserialize, Serialize};

/// Who runs a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// plugd runs it from a package.
    Supervised,
    /// Somebody else runs it; it dials in.
    External,
}

/// Whether a plugin should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveState {
    /// It should run, and be restarted when it crashes.
    Active,
    /// Nothing of it should run.
    Inactive,
}

impl ActiveState {
    /// Is this `Active`?
    #[must_use]
    pub fn is_active(self) -> bool {
        self == Self::Active
    }
}

/// What a plugin really does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing of it runs.
    Inactive,
    /// Its package is laid out and its process is being created.
    Starting,
    /// Its process runs, or somebody else should run it, and it has not connected yet.
    Connecting,
    /// It is connected and has given proof of life.
    Active,
    /// It crashed and waits for its next try.
    Restarting,
    /// It was told to stop and something of it still runs.
    Stopping,
    /// It failed and is not tried again until somebody asks.
    Error,
}
