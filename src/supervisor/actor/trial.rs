//! The first start under a new plugd. All plugins are started together, but those in whose start plugd has died again and
//! again only few at a time (see [`lifecycle::MAX_DEATHS_AT_START`]).

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use super::Actor;
use crate::{
    domain::{
        Plugin, State,
        lifecycle::{self, Event},
    },
    supervisor::message::Message,
};

/// How long the others wait for one that neither becomes stable nor fails for good, because it may be restarted many times.
const LONGEST_TURN: Duration = Duration::from_secs(300);

/// The turns of those that are suspect of plugd's death.
#[derive(Clone)]
pub(in crate::supervisor) struct Trial {
    turns: Arc<Semaphore>,
    is_alone: bool,
}

impl Trial {
    /// The trial that these plugins make necessary.
    pub(in crate::supervisor) fn of(plugins: &[Plugin]) -> Self {
        let width = lifecycle::width(plugins);
        Self { turns: Arc::new(Semaphore::new(width)), is_alone: width == 1 }
    }
}

impl Actor {
    pub(super) fn boot(&mut self) {
        self.step(Event::Booted { generation: self.plugin.desired.generation });
        if self.plugin.reported.awaits_turn() {
            self.await_turn();
        }
    }

    /// Until its turn it does what it is told: one that is asked for now does not wait.
    fn await_turn(&self) {
        tracing::warn!("plugd died while this plugin was being started: it awaits its turn");
        let (turns, slot) = (self.trial.turns.clone(), self.slot.clone());
        tokio::spawn(async move {
            if let Ok(turn) = turns.acquire_owned().await {
                // An actor that has ended needs none.
                slot.inbox().send(Message::Turn(turn)).unwrap_or_default();
            }
        });
    }

    pub(super) fn take_turn(&mut self, turn: OwnedSemaphorePermit) {
        if !self.plugin.reported.awaits_turn() {
            // It was asked for, stopped or deleted meanwhile.
            return;
        }
        self.turn = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            sleep(LONGEST_TURN).await;
            drop(turn);
        })));
        self.step(Event::TurnTaken { is_alone: self.trial.is_alone });
    }

    /// The next may be tried once this one is stable, or is not tried again by itself. A next try of it is part of its turn.
    pub(super) fn end_turn(&mut self) {
        let reported = &self.plugin.reported;
        if reported.is_stable || matches!(reported.state, State::Inactive | State::Error) {
            self.turn = None;
        }
    }
}
