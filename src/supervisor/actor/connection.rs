//! Connections: who may be this plugin's, and what happens to the one that is.

use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{Actor, Message, Reply};
use crate::{
    domain::{Mode, RunEvent, RunId, Secret, State, lifecycle::Event},
    link::{Attached, Authenticated, CloseReason, Credential, Pings, Rejected, Session, token},
};

/// How long the first connection may take to prove that it lives before a second one takes over.
const PROBE: Duration = Duration::from_secs(2);

/// Events of a connection that may wait for the actor. One that is lost beyond that comes again, except for the end.
const SESSION_EVENTS: usize = 16;

/// A connection that wants to be this plugin's.
pub(in crate::supervisor) struct Attach {
    pub authenticated: Authenticated,
    pub session: Session,
    pub reply: Reply<Result<Attached, Rejected>>,
}

impl Actor {
    pub(super) fn authenticate(&self, theirs: &str, reply: Reply<Option<RunId>>) {
        let run = self.knows(theirs).then(|| self.lifecycle.run());
        // Who has gone away needs no answer.
        let _ = reply.send(run);
    }

    fn knows(&self, theirs: &str) -> bool {
        let ours = match self.plugin.desired.mode {
            Mode::Supervised => self.token.as_deref(),
            Mode::External => self.plugin.desired.token.as_ref().map(Secret::expose),
        };
        ours.is_some_and(|ours| token::is_same(ours, theirs))
    }

    /// A token that was good before the upgrade may be rotated or used by now: it is checked again here.
    pub(super) fn attach(&mut self, attach: Attach) {
        if !self.is_welcome(&attach) {
            return reject(attach);
        }
        if self.lifecycle.reported().state == State::Starting {
            // Its process exists, or nobody would know the token: that it was created is about to be heard.
            self.early = Some(attach);
            return;
        }
        match self.session.clone() {
            Some(first) => self.probe(first, attach),
            None => self.accept(attach),
        }
    }

    /// Goes on with a connection that came before its process was known.
    pub(super) fn attach_early(&mut self) {
        if self.lifecycle.reported().state != State::Starting
            && let Some(attach) = self.early.take()
        {
            self.attach(attach);
        }
    }

    fn is_welcome(&self, attach: &Attach) -> bool {
        let is_current = match attach.authenticated.credential {
            Credential::Run(run) => run == self.lifecycle.run(),
            Credential::Epoch(epoch) => epoch == self.plugin.desired.token_epoch,
        };
        is_current && self.lifecycle.accepts_connections() && self.knows(attach.authenticated.token.expose())
    }

    fn probe(&self, first: Session, attach: Attach) {
        let inbox = self.slot.inbox.clone();
        tokio::spawn(async move {
            let is_alive = first.ping(PROBE).await;
            inbox.send(Message::Probed { attach, first: first.id(), is_alive }.into()).await.unwrap_or_default();
        });
    }

    /// A verdict about a connection that is no longer the present one says nothing: it is asked again.
    pub(super) fn probed(&mut self, attach: Attach, (probed, is_alive): (u64, bool)) {
        if self.session.as_ref().is_none_or(|present| present.id() != probed) {
            return self.attach(attach);
        }
        if is_alive || !self.is_welcome(&attach) {
            return reject(attach);
        }
        if let Some(first) = self.session.take() {
            first.close(CloseReason::Closed);
        }
        self.accept(attach);
    }

    fn accept(&mut self, attach: Attach) {
        let (events, received) = mpsc::channel(SESSION_EVENTS);
        self.session_events = Some(received);
        self.slot.set_session(Some(attach.session.clone()));
        self.session = Some(attach.session);
        self.session_event(RunEvent::Connected);
        let (host, run) = (self.parts.host.clone(), self.lifecycle.run());
        let supervision = self.lifecycle.supervision();
        let pings = Pings { interval: supervision.ping_interval, timeout: supervision.ping };
        let events = Box::new(move |event| tell(&events, event));
        let attached = Attached { pings, events, host, caller: self.id, run, start: self.spans.start() };
        if attach.reply.send(Ok(attached)).is_err() {
            let reason = "it ended before it was accepted".to_owned();
            return self.session_event(RunEvent::Disconnected { reason, is_fault: false });
        }
        // One connection a token: it is used up now, unless it is of the kind with which plugins come back.
        self.token.take_if(|token| !token::is_external(token));
    }

    pub(super) fn session_event(&mut self, event: RunEvent) {
        match &event {
            RunEvent::ProtocolBroken { count, last } => self.note_fault(*count, last),
            RunEvent::Disconnected { reason, .. } => {
                tracing::debug!(reason, "connection ended");
                self.forget_session();
            }
            _ => {}
        }
        self.step(Event::Run { run: self.lifecycle.run(), event });
    }

    fn forget_session(&mut self) -> Option<Session> {
        self.session_events = None;
        self.slot.set_session(None);
        self.session.take()
    }

    pub(super) fn close_connection(&mut self) {
        let reason = if self.is_shutting_down { CloseReason::GoingAway } else { CloseReason::Closed };
        if let Some(session) = self.forget_session() {
            session.close(reason);
        }
    }

    /// For the plugin's author: in its log, beside what it prints.
    fn note_fault(&self, count: u64, last: &str) {
        let more = if count > 1 { format!(" ({} more since the last such line)", count - 1) } else { String::new() };
        tracing::info!(count, last, "the plugin broke the protocol");
        if self.plugin.desired.mode == Mode::Supervised {
            (self.parts.note)(self.id, format!("plugd: the plugin broke the protocol: {last}{more}"));
        }
    }
}

/// The end of a connection is never lost; anything else that finds no room comes again.
fn tell(events: &mpsc::Sender<Box<RunEvent>>, event: RunEvent) {
    if let Err(TrySendError::Full(last)) = events.try_send(event.into())
        && matches!(*last, RunEvent::Disconnected { .. })
    {
        let events = events.clone();
        tokio::spawn(async move { events.send(last).await });
    }
}

fn reject(attach: Attach) {
    drop(attach.reply.send(Err(Rejected)));
}
