//! Changes of what is desired: decided here, committed by the ledger, acted on only then.

use std::sync::Arc;

use super::{Actor, After, Commit};
use crate::{
    domain::{Desired, Error, Plugin, Reason, Result, lifecycle::Event},
    supervisor::{
        message::{Amend, Amendment, Decision},
        settle::Want,
        waiting::Committed,
    },
};

impl Actor {
    pub(super) fn amend(&mut self, amend: Amend) {
        if self.commit.is_some() {
            return self.waiting.push_back(amend);
        }
        if self.deletion.is_some() {
            return refuse(amend, being_deleted(&self.plugin));
        }
        if self.is_shutting_down {
            return refuse(amend, shutting_down());
        }
        let Amend { decide, wanted, options, reply } = amend;
        let decided = check_generation(&self.plugin, options.if_generation).and_then(|()| decide(&self.plugin));
        match decided {
            Ok(Decision::Commit(amendment)) => self.commit(*amendment, options.author, (wanted, reply)),
            // As the actor knows the plugin: the committed record may be older, and the caller waits for it to catch up.
            Ok(Decision::Join) => {
                let joined = self.slot.committed(Arc::new(self.plugin.clone()), wanted(&self.plugin));
                drop(reply.send(Ok(joined)));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn commit(
        &mut self,
        amendment: Amendment,
        author: String,
        (wanted, reply): (Want, super::Reply<Result<Committed>>),
    ) {
        let mut desired = amendment.desired;
        desired.generation = self.plugin.desired.generation + 1;
        if desired.active != self.plugin.desired.active {
            desired.active_generation = desired.generation;
        }
        let committed = self.parts.ledger.desire(self.id, desired, author);
        self.commit = Some(Commit { committed, after: After::Tell { event: amendment.event, wanted, reply } });
    }

    pub(super) fn committed(&mut self, result: Result<Arc<Plugin>>) {
        let Some(commit) = self.commit.take() else { return };
        match (commit.after, result) {
            (After::Tell { event, wanted, reply }, Ok(plugin)) => {
                self.plugin.desired = plugin.desired.clone();
                // Before anything comes of it.
                let committed = self.slot.committed(plugin.clone(), wanted(&plugin));
                self.step(event(plugin.desired.generation, &plugin.desired));
                drop(reply.send(Ok(committed)));
            }
            (After::Tell { reply, .. }, Err(error)) => {
                self.adopt();
                drop(reply.send(Err(error)));
            }
            (After::Leave, result) => self.left(result),
        }
        while self.commit.is_none()
            && let Some(amend) = self.waiting.pop_front()
        {
            self.amend(amend);
        }
        // A deletion that came during the commit has waited for its end.
        self.check_deletion();
    }

    /// A commit that its caller was told nothing certain of may have been made after all: the store publishes it when it
    /// knows.
    pub(super) fn heard_of(&mut self, generation: u64) {
        if self.commit.is_none() && generation > self.plugin.desired.generation {
            self.adopt();
        }
    }

    /// Takes over what is desired in the committed record, if that is newer than what the actor knows.
    pub(super) fn adopt(&mut self) {
        let Some(record) = self.slot.plugin() else { return };
        if record.desired.generation <= self.plugin.desired.generation {
            return;
        }
        let event = difference(&self.plugin.desired, &record.desired);
        let known = self.plugin.desired.configuration_revision;
        self.plugin.desired = record.desired.clone();
        self.step(event);
        if self.plugin.desired.configuration_revision != known {
            // Its author was told that it was not stored, and the plugin was given back the one before.
            self.push_configuration();
        }
    }
}

/// What the lifecycle is told of a change that it did not see being made.
fn difference(old: &Desired, new: &Desired) -> Event {
    let generation = new.generation;
    if old.active_generation != new.active_generation {
        Event::ActivationChanged { generation, active: new.active }
    } else if old.package != new.package {
        Event::PackageReplaced { generation, package: new.package }
    } else if old.token_epoch != new.token_epoch || old.manifest != new.manifest {
        Event::CredentialReplaced { generation }
    } else {
        Event::DesiredAmended { generation }
    }
}

fn refuse(amend: Amend, error: Error) {
    // A caller that has gone away needs no answer.
    drop(amend.reply.send(Err(error)));
}

/// # Errors
/// `GENERATION_CONFLICT`.
pub(super) fn check_generation(plugin: &Plugin, expected: Option<u64>) -> Result<()> {
    let actual = plugin.desired.generation;
    let Some(expected) = expected.filter(|expected| *expected != actual) else { return Ok(()) };
    let message = format!("what is desired of the plugin is at generation {actual}, not {expected}");
    let error = Error::new(Reason::GenerationConflict, message).with("plugin_id", plugin.id);
    Err(error.with("expected", expected).with("actual", actual))
}

pub(super) fn being_deleted(plugin: &Plugin) -> Error {
    Error::new(Reason::BeingDeleted, "the plugin is being deleted").with("plugin_id", plugin.id)
}

pub(super) fn shutting_down() -> Error {
    Error::new(Reason::Draining, "the server shuts down")
}
