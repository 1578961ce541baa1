//! Changes of what is desired: decided here, committed by the ledger, acted on only then.

use std::sync::Arc;

use super::{Actor, After, Commit};
use crate::{
    domain::{Error, Plugin, Reason, Result},
    supervisor::message::{Amend, Amendment, Decision},
};

impl Actor {
    pub(super) fn amend(&mut self, amend: Amend) {
        if self.commit.is_some() {
            return self.waiting.push_back(amend);
        }
        if self.deletion.is_some() {
            return answer(amend, Err(being_deleted(&self.plugin)));
        }
        if self.is_shutting_down {
            return answer(amend, Err(shutting_down()));
        }
        let Amend { decide, author, reply } = amend;
        match decide(&self.plugin) {
            Ok(Decision::Commit(amendment)) => self.commit(*amendment, author, reply),
            Ok(Decision::Join) => drop(reply.send(Ok(self.current()))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn commit(&mut self, amendment: Amendment, author: String, reply: super::Reply<Result<Arc<Plugin>>>) {
        let mut desired = amendment.desired;
        desired.generation = self.plugin.desired.generation + 1;
        if desired.active != self.plugin.desired.active {
            desired.active_generation = desired.generation;
        }
        let committed = self.parts.ledger.desire(self.id, desired, author);
        self.commit = Some(Commit { committed, after: After::Tell { event: amendment.event, reply } });
    }

    pub(super) fn committed(&mut self, result: Result<Arc<Plugin>>) {
        let Some(commit) = self.commit.take() else { return };
        match (commit.after, result) {
            (After::Tell { event, reply }, Ok(plugin)) => {
                self.plugin.desired = plugin.desired.clone();
                self.step(event(plugin.desired.generation, &plugin.desired));
                drop(reply.send(Ok(plugin)));
            }
            (After::Tell { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (After::Leave, result) => self.left(result),
        }
        while self.commit.is_none()
            && let Some(amend) = self.waiting.pop_front()
        {
            self.amend(amend);
        }
    }

    /// The newest committed record; what is reported in it may be older than what this actor knows.
    pub(super) fn current(&self) -> Arc<Plugin> {
        self.slot.plugin().unwrap_or_else(|| Arc::new(self.plugin.clone()))
    }
}

fn answer(amend: Amend, result: Result<Arc<Plugin>>) {
    // A caller that has gone away needs no answer.
    drop(amend.reply.send(result));
}

pub(super) fn being_deleted(plugin: &Plugin) -> Error {
    Error::new(Reason::BeingDeleted, "the plugin is being deleted").with("plugin_id", plugin.id)
}

pub(super) fn shutting_down() -> Error {
    Error::new(Reason::Draining, "the server shuts down")
}
