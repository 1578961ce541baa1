//! Webhooks: whom plugd tells of what happens to plugins, and how far that has come.

use jiff::Timestamp;

use super::{Commit, HookId, PluginId, Secret, State};

/// Webhooks that there may be. Each has a task, and one request under way.
pub const MAX_HOOKS: usize = 64;

/// Bytes that the address of a webhook may have.
pub const MAX_URL: usize = 2048;

/// Plugins that a webhook may name.
pub const MAX_PLUGINS: usize = 100;

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub id: HookId,
    /// Where events are posted. It may hold a secret.
    pub url: Secret,
    /// The states that are told of when a plugin comes into them.
    pub states: Vec<State>,
    /// The plugins that are told of; none: all.
    pub plugins: Vec<PluginId>,
    /// What events are signed with.
    pub secret: Secret,
    pub created: Timestamp,
    /// The name of the token that made it.
    pub author: String,
    pub progress: Progress,
}

/// How far a webhook has come, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The history of revisions that the next is of.
    pub epoch: String,
    /// What happened up to this revision is delivered, as far as it was wanted.
    pub revision: u64,
    /// Revisions that the journal had forgotten before it came to them.
    pub missed: u64,
    /// Whether it delivers.
    pub is_enabled: bool,
    /// Attempts to deliver, or to read the journal, that failed since the last that did not.
    pub failures: u32,
    /// Why the last of them did.
    pub last_error: Option<String>,
    pub last_attempt: Option<Timestamp>,
    /// When it is tried again, while that is waited for.
    pub next_attempt: Option<Timestamp>,
}

impl Progress {
    /// The progress of a webhook that tells of what comes after this revision.
    pub fn after(epoch: &str, revision: u64) -> Self {
        Self {
            epoch: epoch.to_owned(),
            revision,
            missed: 0,
            is_enabled: true,
            failures: 0,
            last_error: None,
            last_attempt: None,
            next_attempt: None,
        }
    }

    /// Counts a failure, with why it is one.
    pub fn fail(&mut self, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(why);
    }
}

impl Hook {
    /// Whether it tells of this: a plugin that comes into one of its states.
    pub fn wants(&self, commit: &Commit) -> bool {
        let (plugin, state) = (commit.plugin.id, commit.plugin.reported.state);
        !commit.is_removal
            && commit.before != Some(state)
            && self.states.contains(&state)
            && (self.plugins.is_empty() || self.plugins.contains(&plugin))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{ActiveState, Mode, lifecycle::tests::mk_plugin};

    /// A webhook that tells of errors and of nothing before revision 7.
    pub(crate) fn mk_hook(number: u8) -> Hook {
        Hook {
            id: HookId::from_bytes([number; 12]),
            url: format!("https://hook{number}.test/path").into(),
            states: vec![State::Error],
            plugins: Vec::new(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into(),
            created: Timestamp::UNIX_EPOCH,
            author: "somebody".to_owned(),
            progress: Progress::after("epoch", 7),
        }
    }

    /// A plugin that comes from one state into another.
    pub(crate) fn mk_commit(before: Option<State>, state: State) -> Commit {
        let mut plugin = mk_plugin(Mode::Supervised, ActiveState::Active);
        plugin.reported.state = state;
        Commit { revision: 8, time: Timestamp::UNIX_EPOCH, before, is_removal: false, plugin: Arc::new(plugin) }
    }

    #[test]
    fn only_coming_into_a_state_is_told_of_and_of_the_plugins_that_are_named() {
        let hook = mk_hook(1);
        assert!(hook.wants(&mk_commit(Some(State::Restarting), State::Error)));
        assert!(hook.wants(&mk_commit(None, State::Error)));
        assert!(!hook.wants(&mk_commit(Some(State::Error), State::Error)), "it was there");
        assert!(!hook.wants(&mk_commit(Some(State::Error), State::Starting)), "it left");
        let removed = Commit { is_removal: true, ..mk_commit(Some(State::Active), State::Error) };
        assert!(!hook.wants(&removed));
        let commit = mk_commit(Some(State::Restarting), State::Error);
        let of = |plugins| Hook { plugins, ..mk_hook(1) };
        assert!(of(vec![commit.plugin.id]).wants(&commit));
        assert!(!of(vec![PluginId::from_bytes([7; 12])]).wants(&commit));
    }
}
