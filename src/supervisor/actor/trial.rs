//! The first start under a new plugd. All plugins are started together, but one in whose start plugd has died twice is tried
//! alone: should plugd die again, it is known of whom.

use tokio::sync::OwnedSemaphorePermit;

use super::Actor;
use crate::{
    domain::{
        State,
        lifecycle::{Event, MAX_DEATHS_AT_START},
    },
    supervisor::message::Message,
};

impl Actor {
    pub(super) fn boot(&mut self) {
        let deaths = self.plugin.reported.deaths_at_start + u32::from(self.plugin.was_in_its_start());
        if self.plugin.was_in_its_start() && deaths + 1 == MAX_DEATHS_AT_START {
            return self.await_turn();
        }
        self.step(Event::Booted { generation: self.plugin.desired.generation });
    }

    /// Until its turn it does what it is told: who asks for it now does not wait.
    fn await_turn(&self) {
        tracing::warn!("plugd died twice while this plugin was being started: now it is started alone");
        let (trial, slot) = (self.parts.trial.clone(), self.slot.clone());
        tokio::spawn(async move {
            if let Ok(turn) = trial.acquire_owned().await {
                // An actor that has ended needs none.
                slot.inbox().send(Message::Turn(turn)).unwrap_or_default();
            }
        });
    }

    pub(super) fn take_turn(&mut self, turn: OwnedSemaphorePermit) {
        if self.deletion.is_some() || self.is_shutting_down {
            // Nothing of it may start any more, and it still looks as if nothing had begun.
            return;
        }
        self.turn = Some(turn);
        self.step(Event::Booted { generation: self.plugin.desired.generation });
    }

    /// The next may be tried once this one has connected, or failed to.
    pub(super) fn end_turn(&mut self) {
        if !matches!(self.plugin.reported.state, State::Starting | State::Connecting) {
            self.turn = None;
        }
    }
}
