//! The actor of one plugin: the only one who touches its process, its connection and its deadline.
//!
//! It performs effects and feeds back events, and never waits for anybody slow: commits, spawns and probes answer by
//! message.

mod calls;
mod connection;
mod effects;
mod spans;

use std::{mem, sync::Arc};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};

use self::spans::Spans;
pub use self::{calls::ChangeOptions, effects::jittered};
pub(super) use self::{
    calls::{Amend, Goal, check_generation},
    connection::Attach,
};
use super::{
    Parts,
    registry::{Arrival, Slot},
    settle::Committed,
};
use crate::{
    domain::{
        Confinement, Digest, Exit, Mode, Plugin, PluginId, Result, RunEvent, RunId, State,
        lifecycle::{Event, Lifecycle, MAX_DEATHS_AT_START, Moment, Timer},
    },
    link::Session,
    runtime::{EarlierRun, Run},
    telemetry::trace::Parent,
};

/// SIGSYS.
const BAD_SYSTEM_CALL: i32 = 31;

pub(super) type Reply<T> = oneshot::Sender<T>;

/// What an actor is asked to do with its plugin. It takes the next one once the last one is committed.
pub(super) enum Call {
    Amend(Amend),
    Delete { options: ChangeOptions, reply: Reply<Result<Arc<Plugin>>> },
}

/// What else an actor is told. Nothing here takes the actor any time.
pub(super) enum Message {
    /// It may be started alone now, for as long as it holds this.
    StartAlone(OwnedSemaphorePermit),
    Authenticate {
        token: String,
        /// The run that the token is of; of an external plugin, its present one.
        reply: Reply<Option<RunId>>,
    },
    Attach(Attach),
    /// `first` is the number of the session that was asked whether it lives.
    Probed {
        attach: Attach,
        first: u64,
        is_alive: bool,
    },
    /// Answered once everything before it is done.
    Barrier {
        reply: Reply<()>,
    },
}

pub(super) struct Actor {
    id: PluginId,
    parts: Arc<Parts>,
    slot: Arc<Slot>,
    calls: mpsc::Receiver<Box<Call>>,
    inbox: mpsc::Receiver<Box<Message>>,
    /// The committed record, with what is reported as of now.
    plugin: Plugin,
    lifecycle: Lifecycle,
    deadline: Option<Deadline>,
    run: Option<Box<dyn Run>>,
    /// The run that an earlier plugd began, until it is taken over.
    earlier: Option<EarlierRun>,
    run_events: Option<mpsc::Receiver<Box<RunEvent>>>,
    /// The token of the present run; one that is good for one connection, until it is used.
    token: Option<String>,
    session: Option<Session>,
    session_events: Option<mpsc::Receiver<Box<RunEvent>>>,
    /// The connection that has accepted the configuration which is desired now.
    configured: Option<u64>,
    /// A connection that came before its process was known.
    early: Option<Attach>,
    /// The one commit under way.
    commit: Option<Commit>,
    /// The packages, present and previous, between which the lifecycle wants to go back.
    going_back: Option<(Digest, Digest)>,
    deletion: Option<Reply<Result<Arc<Plugin>>>>,
    is_shutting_down: bool,
    is_done: bool,
    /// Held while it is started alone.
    start_alone: Option<OwnedSemaphorePermit>,
    spans: Spans,
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
    Answer { goal: Goal, configured: Option<u64>, parent: Option<Parent>, reply: Reply<Result<Committed>> },
    GoBack,
    Leave,
}

impl Actor {
    pub(super) fn new(parts: Arc<Parts>, arrival: Arrival, earlier: Option<EarlierRun>) -> Self {
        let plugin = Plugin::clone(&arrival.plugin);
        // The end of another run than the present one has been dealt with.
        let earlier = earlier.filter(|earlier| !earlier.has_ended || plugin.reported.run == Some(earlier.run));
        let lifecycle = Lifecycle::new(&plugin, parts.supervision.clone(), xid::new().into());
        let lifecycle = match &earlier {
            Some(earlier) => lifecycle.with_earlier(earlier.run),
            None => lifecycle,
        };
        Self {
            id: plugin.id,
            parts,
            slot: arrival.slot,
            calls: arrival.calls,
            inbox: arrival.inbox,
            plugin,
            lifecycle,
            deadline: None,
            run: None,
            earlier,
            run_events: None,
            token: None,
            session: None,
            session_events: None,
            configured: None,
            early: None,
            commit: None,
            going_back: None,
            deletion: None,
            is_shutting_down: false,
            is_done: false,
            start_alone: None,
            spans: Spans::default(),
        }
    }

    /// Lives until the plugin is deleted or plugd shuts down.
    #[tracing::instrument(name = "plugin", skip_all, fields(id = %self.id))]
    pub(super) async fn run(mut self) {
        self.boot();
        while !self.is_done {
            tokio::select! {
                // What has happened comes before a deadline that passed meanwhile, and both before what is asked.
                biased;
                Some(event) = next(&mut self.session_events) => self.session_event(*event),
                Some(event) = next(&mut self.run_events) => self.run_event(*event),
                () = self.slot.news.notified() => self.look(),
                result = committed(&mut self.commit) => self.committed(result),
                () = passed(self.deadline.as_ref()) => self.deadline_passed(),
                Some(message) = self.inbox.recv() => self.receive(*message),
                Some(call) = self.calls.recv(), if self.commit.is_none() => self.call(*call),
            }
        }
    }

    /// All plugins are started together, but one in whose start plugd has died twice is started alone: should plugd die again,
    /// it is known of whom.
    fn boot(&mut self) {
        let deaths = self.plugin.reported.deaths_at_start + u32::from(self.plugin.was_in_its_start());
        if self.earlier.is_none() && self.plugin.was_in_its_start() && deaths + 1 == MAX_DEATHS_AT_START {
            return self.wait_to_start_alone();
        }
        self.follow_desired();
    }

    /// Until then it does what it is told: who asks for it now does not wait.
    fn wait_to_start_alone(&self) {
        tracing::warn!("plugd died twice while this plugin was being started: now it is started alone");
        let (start_alone, slot) = (self.parts.start_alone.clone(), self.slot.clone());
        tokio::spawn(async move {
            if let Ok(permit) = start_alone.acquire_owned().await {
                // An actor that has ended needs none.
                slot.inbox.send(Message::StartAlone(permit).into()).await.unwrap_or_default();
            }
        });
    }

    fn start_alone(&mut self, permit: OwnedSemaphorePermit) {
        if self.deletion.is_some() || self.is_shutting_down {
            // Nothing of it may start any more, and it still looks as if nothing had begun.
            return;
        }
        self.start_alone = Some(permit);
        self.follow_desired();
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::StartAlone(permit) => self.start_alone(permit),
            Message::Authenticate { token, reply } => self.authenticate(&token, reply),
            Message::Attach(attach) => self.attach(attach),
            Message::Probed { attach, first, is_alive } => self.probed(attach, (first, is_alive)),
            Message::Barrier { reply } => reply.send(()).unwrap_or_default(),
        }
    }

    /// Something is new in the slot: what is desired, events that were lost, or the order to shut down.
    fn look(&mut self) {
        if self.slot.is_shutting_down() && !mem::replace(&mut self.is_shutting_down, true) {
            self.shut_down();
        }
        match self.slot.take_lost_events() {
            0 => {}
            count => self.step(Event::EventsLost { count }),
        }
        if self.commit.is_none() {
            self.adopt();
        }
    }

    /// Where runs go on without plugd there is nothing to stop: the next plugd goes on with them.
    fn shut_down(&mut self) {
        if self.parts.runtime.outlives_plugd() && self.plugin.desired.mode == Mode::Supervised {
            self.close_connection();
            return self.finish();
        }
        self.step(Event::ShutdownRequested);
    }

    /// Takes over what is desired in the committed record, if that is newer than what the actor knows. A commit of which
    /// its caller was told nothing certain may have been made after all: the store publishes it when it knows.
    fn adopt(&mut self) {
        let Some(record) = self.slot.plugin() else { return };
        if record.desired.generation > self.plugin.desired.generation {
            self.plugin.desired = record.desired.clone();
            self.follow_desired();
        }
    }

    fn follow_desired(&mut self) {
        self.step(Event::DesiredChanged(Arc::new(self.plugin.desired.clone())));
    }

    fn deadline_passed(&mut self) {
        let Some(Deadline { run, timer, .. }) = self.deadline.take() else { return };
        self.step(match timer {
            Timer::Kill => {
                let pids = self.run.as_ref().map(|run| run.pids()).unwrap_or_default();
                Event::Run { run, event: RunEvent::Survived { pids } }
            }
            timer => Event::TimerFired { run, timer },
        });
    }

    fn run_event(&mut self, event: RunEvent) {
        if let RunEvent::Exited(exit) = event {
            self.note_refused_call(exit);
        }
        // Whatever ended, its handle is of no more use; dropping it early would be a kill.
        if matches!(event, RunEvent::GroupEmptied | RunEvent::SpawnFailed(_)) {
            self.run = None;
            self.run_events = None;
            self.token = None;
        }
        self.step(Event::Run { run: self.lifecycle.run(), event });
    }

    /// The sandbox refuses a call of another processor's by this signal; what else it refuses, the plugin sees as an error.
    fn note_refused_call(&self, exit: Exit) {
        let is_shut_in = self.lifecycle.reported().confinement.is_some_and(|held| held != Confinement::Off);
        if is_shut_in && exit.signal == Some(BAD_SYSTEM_CALL) {
            let words = "plugd: the sandbox has most likely ended the process: it takes programs of this host's processor only, \
                         none of 32 bits; only --sandbox off of the server runs others";
            (self.parts.note)(self.id, words.to_owned());
        }
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
        self.end_start_alone();
        self.check_deletion();
        self.attach_early();
        self.go_back();
    }

    fn report(&mut self) {
        let mut reported = self.lifecycle.reported().clone();
        reported.serial = self.plugin.reported.serial;
        if reported == self.plugin.reported {
            return;
        }
        reported.serial += 1;
        if reported.state != self.plugin.reported.state {
            tracing::info!(from = ?self.plugin.reported.state, to = ?reported.state, message = reported.message());
        }
        self.spans.entered(self.id, &self.plugin.reported, &reported);
        self.plugin.reported = reported.clone();
        self.parts.store.report(self.id, reported);
    }

    /// The next may be started once this one has connected, or failed to.
    fn end_start_alone(&mut self) {
        if !matches!(self.plugin.reported.state, State::Starting | State::Connecting) {
            self.start_alone = None;
        }
    }
}

async fn next<T>(events: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
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
