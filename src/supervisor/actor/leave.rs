//! The end of an actor: deletion, or the shutdown of plugd.

use std::{io, mem, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Actor, After, Commit,
    amend::{being_deleted, check_generation, shutting_down},
};
use crate::{
    domain::{Error, Plugin, PluginId, Reason, Result, State, lifecycle::Event},
    supervisor::message::Reply,
};

/// How long a deletion waits for the files to be gone. What is left then is collected at the next start.
const CLEAN_UP: Duration = Duration::from_secs(10);

impl Actor {
    pub(super) fn delete(&mut self, if_generation: Option<u64>, reply: Reply<Result<Arc<Plugin>>>) {
        if self.deletion.is_some() {
            return drop(reply.send(Err(being_deleted(&self.plugin))));
        }
        if self.is_shutting_down {
            return drop(reply.send(Err(shutting_down())));
        }
        if let Err(error) = check_generation(&self.plugin, if_generation) {
            return drop(reply.send(Err(error)));
        }
        self.deletion = Some(reply);
        self.step(Event::DeletionRequested);
    }

    pub(super) fn shut_down(&mut self) {
        if !mem::replace(&mut self.is_shutting_down, true) {
            self.step(Event::ShutdownRequested);
        }
    }

    /// Nothing of the plugin runs any longer.
    pub(super) fn finish(&mut self) {
        if self.is_shutting_down {
            if let Some(reply) = self.deletion.take() {
                drop(reply.send(Err(shutting_down())));
            }
            self.is_done = true;
        } else if self.deletion.is_some() {
            self.remove();
        }
    }

    /// A deletion fails when something of the plugin can't be killed.
    pub(super) fn check_deletion(&mut self) {
        let is_stuck = self.commit.is_none() && self.plugin.reported.state == State::Error && self.run.is_some();
        if is_stuck && let Some(reply) = self.deletion.take() {
            let error =
                Error::new(Reason::PluginFailed, format!("nothing is deleted: {}", self.plugin.reported.message));
            drop(reply.send(Err(error.with("plugin_id", self.id))));
        }
    }

    fn remove(&mut self) {
        let removed = self.parts.ledger.remove(self.id);
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
        // An amendment that is being committed comes first in the ledger; its caller has given way to the deletion.
        if let Some(Commit { after: After::Tell { reply, .. }, .. }) =
            self.commit.replace(Commit { committed, after: After::Leave })
        {
            drop(reply.send(Err(being_deleted(&self.plugin))));
        }
    }

    pub(super) fn left(&mut self, result: Result<Arc<Plugin>>) {
        self.is_done = result.is_ok() || self.is_shutting_down;
        let is_kept = !self.is_done;
        if let Some(reply) = self.deletion.take() {
            drop(reply.send(result));
        }
        if is_kept {
            // The store did not take the deletion: the plugin goes on as it is desired.
            self.adopt();
            let desired = &self.plugin.desired;
            self.step(Event::ActivationChanged { generation: desired.generation, active: desired.active });
        }
    }
}

/// In a task of its own: what comes of it is told also when nobody waits for it any longer.
async fn clean_up(id: PluginId, removal: impl Future<Output = io::Result<()>>) {
    if let Err(error) = removal.await {
        tracing::warn!(plugin = %id, %error, "files of a deleted plugin are left behind");
    }
}
