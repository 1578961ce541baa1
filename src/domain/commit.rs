//! One change as the journal keeps it and watchers see it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Plugin, State};

/// One committed change of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Its place in the one order of all changes; the first is 1, and there are no gaps.
    pub revision: u64,
    /// When it was committed.
    pub time: Timestamp,
    /// The state reported before it; none when the plugin is new.
    pub before: Option<State>,
    /// The plugin is gone after it.
    pub is_removal: bool,
    /// The plugin after it; the last known one for a removal.
    pub plugin: Arc<Plugin>,
}
