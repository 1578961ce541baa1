//! What a watcher wants to see.

use std::collections::HashSet;

use crate::domain::{Commit, Plugin, PluginId, State};

/// A filter: OR within a field, AND across fields; an empty field lets everything through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// These plugins.
    pub ids: HashSet<PluginId>,
    /// Plugins in one of these states.
    pub states: HashSet<State>,
}

/// A change as seen through a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new, or came into the filter.
    Added,
    /// It was there and is there still.
    Changed,
    /// It is gone, or left the filter.
    Removed,
}

impl Filter {
    /// Does a plugin pass?
    #[must_use]
    pub fn admits(&self, plugin: &Plugin) -> bool {
        self.admits_id(plugin.id) && self.admits_state(plugin.reported.state)
    }

    /// How a commit looks through the filter; none: not at all.
    #[must_use]
    pub fn view(&self, commit: &Commit) -> Option<ChangeKind> {
        if !self.admits_id(commit.plugin.id) {
            return None;
        }
        let was_in = commit.before.is_some_and(|state| self.admits_state(state));
        let is_in = !commit.is_removal && self.admits_state(commit.plugin.reported.state);
        match (was_in, is_in) {
            (false, true) => Some(ChangeKind::Added),
            (true, true) => Some(ChangeKind::Changed),
            (true, false) => Some(ChangeKind::Removed),
            (false, false) => None,
        }
    }

    fn admits_id(&self, id: PluginId) -> bool {
        self.ids.is_empty() || self.ids.contains(&id)
    }

    fn admits_state(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}
