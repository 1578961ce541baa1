//! Changes of what is desired: decided here, committed by the store, acted on only then. And the end of the plugin.

use std::{io, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Actor, After, Call, Commit, Reply};
use crate::{
    domain::{Desired, Error, Plugin, PluginId, Reason, Result, State, change::DesiredChange, lifecycle::Event},
    supervisor::{draining, settle::Committed},
    telemetry::trace::Parent,
};

/// How long a deletion waits for the files to be gone. What is left then is collected at the next start.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// The name under which plugd itself changes what is desired.
const PLUGD: &str = "plugd";

/// Who changes what is desired of a plugin, and what they know of it.
#[derive(Debug, Clone, Default)]
pub struct ChangeOptions {
    pub author: String,
    /// The generation that must be desired still, if the caller cares.
    pub if_generation: Option<u64>,
    /// What comes of the change is a part of this.
    pub parent: Option<Parent>,
}

impl From<&str> for ChangeOptions {
    fn from(author: &str) -> Self {
        Self { author: author.to_owned(), ..Self::default() }
    }
}

/// What the caller of a change may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Goal {
    /// Its supervisor has acted on what is desired.
    Observed,
    /// The plugin does what is desired.
    Settled,
    /// It does so with this package and no other.
    SettledWithPackage,
}

pub(in crate::supervisor) struct Amend {
    pub change: DesiredChange,
    pub goal: Goal,
    pub options: ChangeOptions,
    /// The connection that has accepted a new configuration.
    pub configured: Option<u64>,
    pub reply: Reply<Result<Committed>>,
}

impl Actor {
    /// One at a time: no commit is under way.
    pub(super) fn call(&mut self, call: Call) {
        match call {
            Call::Amend(amend) => self.amend(amend),
            Call::Delete { options, reply } => self.delete(&options, reply),
        }
    }

    fn amend(&mut self, amend: Amend) {
        let Amend { change, goal, options, configured, reply } = amend;
        let checked = self.check_may_change(options.if_generation);
        match checked.and_then(|()| change.apply(&self.plugin)) {
            Ok(Some(desired)) => {
                let after = After::Answer { goal, configured, parent: options.parent, reply };
                self.commit(desired, options.author, after);
            }
            Ok(None) => {
                let joined = self.slot.committed(self.joined(), goal);
                drop(reply.send(Ok(joined)));
            }
            Err(error) => {
                if configured.is_some() {
                    // It must not run with what is stored nowhere.
                    self.configure();
                }
                // A caller that has gone away needs no answer.
                drop(reply.send(Err(error)));
            }
        }
    }

    /// The plugin for a caller whose change is none. The committed record may be older than what the actor knows, and the caller
    /// waits for it to catch up.
    fn joined(&self) -> Arc<Plugin> {
        let is_newest = |stored: &Arc<Plugin>| stored.reported.serial == self.plugin.reported.serial;
        self.slot.plugin().filter(is_newest).unwrap_or_else(|| Arc::new(self.plugin.clone()))
    }

    fn commit(&mut self, desired: Desired, author: String, after: After) {
        let committed = self.parts.store.desire(self.id, desired, author);
        self.commit = Some(Commit { committed, after });
    }

    /// # Errors
    /// `BEING_DELETED`, `DRAINING`, `GENERATION_CONFLICT`.
    fn check_may_change(&self, if_generation: Option<u64>) -> Result<()> {
        if self.deletion.is_some() {
            return Err(Error::new(Reason::BeingDeleted, "the plugin is being deleted").with("plugin_id", self.id));
        }
        if self.is_shutting_down {
            return Err(draining());
        }
        check_generation(&self.plugin, if_generation)
    }

    /// A commit has ended. What it made is in the slot by now, whatever is known of it here.
    pub(super) fn committed(&mut self, result: Result<Arc<Plugin>>) {
        match self.commit.take().map(|commit| commit.after) {
            Some(After::Answer { goal, configured, parent, reply }) => {
                // Whoever waits is shown what comes of the change from its beginning.
                let answer = result.map(|plugin| self.slot.committed(plugin, goal));
                self.configured = configured.filter(|_| answer.is_ok());
                self.spans.caused_by(parent);
                self.adopt();
                self.configured = None;
                if answer.is_err() && configured.is_some() {
                    // It must not run with what is stored nowhere.
                    self.configure();
                }
                drop(reply.send(answer));
            }
            Some(After::GoBack) => {
                self.adopt();
                if let Err(error) = result {
                    tracing::warn!(%error, "the update failed, and going back to the previous package could not be stored");
                    self.step(Event::GoBackFailed);
                }
            }
            Some(After::Leave) => self.left(result),
            None => {}
        }
        self.go_back();
    }

    /// Commits what the lifecycle wants, as soon as no other commit is under way.
    pub(super) fn go_back(&mut self) {
        if self.commit.is_some() {
            return;
        }
        let Some((from, to)) = self.going_back.take() else { return };
        let checked = self.check_may_change(None);
        // If it is refused, something else is desired by now.
        if let Ok(Some(desired)) = checked.and_then(|()| DesiredChange::GoBack { from, to }.apply(&self.plugin)) {
            tracing::info!(%from, %to, "the update failed; the previous package is desired again");
            self.commit(desired, PLUGD.to_owned(), After::GoBack);
        }
    }

    fn delete(&mut self, options: &ChangeOptions, reply: Reply<Result<Arc<Plugin>>>) {
        if let Err(error) = self.check_may_change(options.if_generation) {
            return drop(reply.send(Err(error)));
        }
        self.deletion = Some(reply);
        self.spans.caused_by(options.parent);
        self.step(Event::DeletionRequested);
    }

    /// Nothing of the plugin runs any longer.
    pub(super) fn finish(&mut self) {
        if self.is_shutting_down {
            if let Some(reply) = self.deletion.take() {
                drop(reply.send(Err(draining())));
            }
            self.is_done = true;
        } else if self.deletion.is_some() {
            self.remove();
        }
    }

    /// A deletion fails when something of the plugin can't be killed.
    pub(super) fn check_deletion(&mut self) {
        let is_stuck = self.plugin.reported.state == State::Error && self.run.is_some();
        if is_stuck && let Some(reply) = self.deletion.take() {
            let message = format!("nothing is deleted: {}", self.plugin.reported.message());
            drop(reply.send(Err(Error::new(Reason::PluginFailed, message).with("plugin_id", self.id))));
        }
    }

    fn remove(&mut self) {
        let removed = self.parts.store.remove(self.id);
        let (id, parts) = (self.id, self.parts.clone());
        let committed = Box::pin(async move {
            let plugin = removed.await?;
            let cleaning = tokio::spawn(clean_up(id, parts.runtime.remove(id)));
            if timeout(CLEAN_UP, cleaning).await.is_err() {
                tracing::warn!(plugin = %id, "the files of a deleted plugin are still being removed");
            }
            (parts.on_deleted)(&plugin);
            Ok(plugin)
        });
        self.commit = Some(Commit { committed, after: After::Leave });
    }

    fn left(&mut self, result: Result<Arc<Plugin>>) {
        self.is_done = result.is_ok() || self.is_shutting_down;
        if let Some(reply) = self.deletion.take() {
            drop(reply.send(result));
        }
        if !self.is_done {
            // The store did not take the deletion: the plugin goes on as it is desired.
            self.adopt();
            self.follow_desired();
        }
    }
}

/// # Errors
/// `GENERATION_CONFLICT`.
pub(in crate::supervisor) fn check_generation(plugin: &Plugin, expected: Option<u64>) -> Result<()> {
    let actual = plugin.desired.generation;
    let Some(expected) = expected.filter(|expected| *expected != actual) else { return Ok(()) };
    let message = format!("what is desired of the plugin is at generation {actual}, not {expected}");
    let error = Error::new(Reason::GenerationConflict, message).with("plugin_id", plugin.id);
    Err(error.with("expected", expected).with("actual", actual))
}

/// In a task of its own: what comes of it is told also when nobody waits for it any longer.
async fn clean_up(id: PluginId, removal: impl Future<Output = io::Result<()>>) {
    if let Err(error) = removal.await {
        tracing::warn!(plugin = %id, %error, "files of a deleted plugin are left behind");
    }
}
