//! The actor of one plugin: the only one who touches its process, its connection and its deadline.
//!
//! It performs effects and feeds back events, and never waits for anybody slow: commits, spawns and probes answer by
//! message.

mod amend;
mod attach;
mod effects;
mod leave;
mod trial;

use std::{collections::VecDeque, sync::Arc};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};

use super::{
    Parts,
    message::{Amend, Attach, Message, Reply},
    registry::{Arrival, Slot},
    settle::Want,
    waiting::Committed,
};
use crate::{
    domain::{
        Plugin, PluginId, Result, RunId, State,
        lifecycle::{Event, Happening, Lifecycle, Moment, Timer},
    },
    link::Session,
    runtime::Run,
};

pub(super) struct Actor {
    id: PluginId,
    parts: Arc<Parts>,
    slot: Arc<Slot>,
    inbox: mpsc::UnboundedReceiver<Message>,
    /// The committed record, with what is reported as of now.
    plugin: Plugin,
    lifecycle: Lifecycle,
    deadline: Option<Deadline>,
    run: Option<Box<dyn Run>>,
    /// The one-time token of the present run, until it is used.
    token: Option<String>,
    session: Option<Session>,
    /// A connection that came before its process was known.
    early: Option<Attach>,
    /// The one commit under way, and who else wants one.
    commit: Option<Commit>,
    waiting: VecDeque<Amend>,
    deletion: Option<Reply<Result<Arc<Plugin>>>>,
    is_shutting_down: bool,
    is_done: bool,
    /// Held while it is tried alone.
    turn: Option<OwnedSemaphorePermit>,
}

struct Deadline {
    run: RunId,
    timer: Timer,
    at: Instant,
}

/// A commit under way, and what to do after it.
struct Commit {
    committed: BoxFuture<'static, Result<Arc<Plugin>>>,
    after: After,
}

enum After {
    Tell { event: fn(u64, &crate::domain::Desired) -> Event, wanted: Want, reply: Reply<Result<Committed>> },
    Leave,
}

impl Actor {
    pub(super) fn new(parts: Arc<Parts>, arrival: Arrival) -> Self {
        let plugin = Plugin::clone(&arrival.plugin);
        let lifecycle = Lifecycle::new(&plugin, parts.policy.clone(), xid::new().into());
        Self {
            id: plugin.id,
            parts,
            slot: arrival.slot,
            inbox: arrival.inbox,
            plugin,
            lifecycle,
            deadline: None,
            run: None,
            token: None,
            session: None,
            early: None,
            commit: None,
            waiting: VecDeque::new(),
            deletion: None,
            is_shutting_down: false,
            is_done: false,
            turn: None,
        }
    }

    /// Lives until the plugin is deleted or plugd shuts down.
    #[tracing::instrument(name = "plugin", skip_all, fields(id = %self.id))]
    pub(super) async fn run(mut self) {
        self.boot();
        while !self.is_done {
            tokio::select! {
                // What has happened comes before a deadline that passed meanwhile.
                biased;
                Some(message) = self.inbox.recv() => self.receive(message),
                result = committed(&mut self.commit) => self.committed(result),
                () = passed(self.deadline.as_ref()) => self.deadline_passed(),
            }
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Amend(amend) => self.amend(amend),
            Message::Turn(turn) => self.take_turn(turn),
            Message::Delete { if_generation, reply } => self.delete(if_generation, reply),
            Message::ShutDown => self.shut_down(),
            Message::Happened { run, what } => self.happened(run, what),
            Message::Authenticate { token, reply } => self.authenticate(&token, reply),
            Message::Attach(attach) => self.attach(attach),
            Message::Committed { generation } => self.heard_of(generation),
            Message::Probed { attach, first, is_alive } => self.probed(attach, (first, is_alive)),
            Message::Barrier { reply } => reply.send(()).unwrap_or_default(),
            Message::EventsLost { count } => self.step(Event::EventsLost { count }),
            Message::Linked { session, event } => self.linked(session, event),
        }
    }

    fn deadline_passed(&mut self) {
        let Some(Deadline { run, timer, .. }) = self.deadline.take() else { return };
        let what = match timer {
            Timer::Kill => Happening::Survived { pids: self.run.as_ref().map(|run| run.pids()).unwrap_or_default() },
            timer => Happening::TimerFired(timer),
        };
        self.happened(run, what);
    }

    fn happened(&mut self, run: RunId, what: Happening) {
        // Whatever ended, its handle is of no more use; dropping it early would be a kill.
        let is_last = matches!(what, Happening::GroupEmptied | Happening::SpawnFailed(_));
        if is_last && run == self.lifecycle.run() {
            self.run = None;
            self.token = None;
        }
        self.step(Event::Happened { run, what });
    }

    /// Lets the lifecycle decide, performs what it asks for, and reports what changed.
    fn step(&mut self, event: Event) {
        tracing::debug!(?event, state = ?self.lifecycle.reported().state);
        let moment = Moment { now: Timestamp::now(), fresh: xid::new().into() };
        let stale = self.lifecycle.stale_events();
        let effects = self.lifecycle.step(moment, event);
        if self.lifecycle.stale_events() > stale {
            tracing::debug!(count = stale + 1, "dropped an event of an earlier run");
        }
        for effect in effects {
            self.perform(effect);
        }
        self.report();
        self.end_turn();
        self.check_deletion();
        self.attach_early();
    }

    fn report(&mut self) {
        let mut reported = self.lifecycle.reported().clone();
        reported.serial = self.plugin.reported.serial;
        if reported == self.plugin.reported {
            return;
        }
        reported.serial += 1;
        if reported.state != self.plugin.reported.state {
            tracing::info!(from = ?self.plugin.reported.state, to = ?reported.state, message = reported.message);
        }
        let has_failed = reported.state == State::Error && self.plugin.reported.state != State::Error;
        self.plugin.reported = reported.clone();
        self.parts.ledger.report(self.id, reported);
        if has_failed {
            self.take_back_update();
        }
    }

    /// The present package failed before it was ever stable, and there is one to go back to.
    fn take_back_update(&self) {
        let desired = &self.plugin.desired;
        let is_update = !self.plugin.is_proven() && desired.previous_package.is_some();
        // Where something of the run still lives, it is not the package that failed but the stop.
        if let Some(failed) = desired.package
            && is_update
            && desired.active.is_active()
            && self.run.is_none()
        {
            (self.parts.on_update_failed)(self.id, failed);
        }
    }
}

async fn committed(commit: &mut Option<Commit>) -> Result<Arc<Plugin>> {
    match commit {
        Some(commit) => (&mut commit.committed).await,
        None => std::future::pending().await,
    }
}

async fn passed(deadline: Option<&Deadline>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.at).await,
        None => std::future::pending().await,
    }
}
