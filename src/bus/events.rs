//! Events: to every connected plugin that consumes them, in order for each, never waiting for one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::interval};

use super::call_error;
use crate::{
    domain::{Error, Plugin, Result, State, events::EventCatalog, text::shorten},
    link::{Bounded, CallError, Queued, Session, check_size},
    supervisor::{Projection, Slot},
    telemetry::trace::Parent,
};

/// The plugin's method that takes an event.
const METHOD: &str = "event";

/// Events that may wait for one plugin.
const QUEUE: usize = 256;
/// Bytes that they may have together.
const QUEUE_BYTES: usize = 16 << 20;

/// How long a plugin may take for one event.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long losses are added up before they are reported, so that a flood of events is not a flood of commits.
const LOSS_REPORT: Duration = Duration::from_secs(1);

/// What came of a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// How many connected plugins consume the event.
    pub matched: u32,
    /// How many of these had room for it.
    pub accepted: u32,
}

/// Hands events to plugins.
pub struct Events {
    projection: Arc<Projection>,
    catalog: EventCatalog,
    rules: PayloadRules,
    queues: Arc<Queues>,
}

/// What an event carries.
pub type Payload = Map<String, Value>;

/// Reads what an event of this name is to carry, where the operator holds plugins to a catalogue of events: an error names
/// the field that is at fault.
pub type PayloadRules = fn(name: &str, Payload) -> Result<Payload>;

/// One queue a connection, by the session's number.
#[derive(Default)]
struct Queues(Mutex<HashMap<u64, Queue>>);

/// The events that wait for one plugin.
type Queue = Bounded<Event>;

/// An event on its way.
#[derive(Clone)]
struct Event {
    /// What it carries, in JSON: as values it would take many times more. All plugins share it.
    payload: Arc<str>,
    /// Its delivery is a part of this.
    parent: Option<Parent>,
}

impl Events {
    /// Events to the plugins of a registry.
    pub fn new(projection: Arc<Projection>, catalog: EventCatalog, rules: PayloadRules) -> Self {
        Self { projection, catalog, rules, queues: Arc::default() }
    }

    /// Hands an event to every connected plugin whose manifest consumes it. Each delivery is a part of `parent`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a name that no manifest may consume or a payload that is not the event's, `TOO_LARGE` for a
    /// payload that no plugin could take.
    pub fn publish(&self, name: &str, payload: Payload, parent: Option<Parent>) -> Result<Published> {
        if !self.catalog.has(name) {
            return Err(Error::field("name", format!("{:?} is not the name of an event", shorten(name, 128))));
        }
        let mut payload = if self.catalog.is_any() { payload } else { (self.rules)(name, payload)? };
        payload.insert("event".to_owned(), Value::from(name));
        let payload: Arc<str> = Value::Object(payload).to_string().into();
        check_size(METHOD, &payload).map_err(|error| call_error(&error))?;
        let event = Event { payload, parent };
        let mut published = Published::default();
        for slot in self.projection.slots() {
            let Some(session) = slot.session() else { continue };
            if slot.plugin().is_some_and(|plugin| consumes(&plugin, name)) {
                published.matched += 1;
                published.accepted += u32::from(self.queues.push(&slot, session, event.clone()));
            }
        }
        Ok(published)
    }
}

/// A plugin that is being stopped consumes nothing any more, though its connection may live on for a while (CONTRACT 8.7).
fn consumes(plugin: &Plugin, name: &str) -> bool {
    plugin.reported.state != State::Stopping
        && plugin.desired.manifest.events_consumed.iter().any(|consumed| consumed == name)
}

impl Queues {
    /// False: the queue is full and the plugin loses the event.
    fn push(self: &Arc<Self>, slot: &Arc<Slot>, session: Session, event: Event) -> bool {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let open = || self.clone().open(slot.clone(), session.clone());
            queues.entry(session.id()).or_insert_with(open).clone()
        };
        let bytes = event.payload.len();
        let is_accepted = queue.try_send(event, bytes).is_ok();
        if !is_accepted {
            slot.note_lost_events(1);
        }
        is_accepted
    }

    fn open(self: Arc<Self>, slot: Arc<Slot>, session: Session) -> Queue {
        let (queue, mut receiver) = Bounded::new(QUEUE, QUEUE_BYTES);
        tokio::spawn(async move {
            let number = session.id();
            tokio::select! {
                () = deliver(&mut receiver, &session, &slot) => {}
                () = report_losses(&slot) => {}
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            // Accepted, but the connection ended first: they are not kept for the next one (CONTRACT 12).
            receiver.close();
            slot.note_lost_events(u64::try_from(receiver.len()).unwrap_or(u64::MAX));
            slot.report_lost_events();
        });
        queue
    }
}

/// One event at a time, so that the plugin sees them in order; until the connection ends.
async fn deliver(queue: &mut mpsc::Receiver<Queued<Event>>, session: &Session, slot: &Slot) {
    loop {
        let event = tokio::select! {
            // What is left then is counted, not taken.
            biased;
            () = session.ended() => return,
            event = queue.recv() => event,
        };
        match event {
            Some(event) => deliver_one(event, session, slot).await,
            None => return,
        }
    }
}

/// Goes on also while the plugin works on one event, as it is the slow plugins that lose some.
async fn report_losses(slot: &Slot) {
    let mut reports = interval(LOSS_REPORT);
    loop {
        reports.tick().await;
        slot.report_lost_events();
    }
}

async fn deliver_one(event: Queued<Event>, session: &Session, slot: &Slot) {
    let Event { payload, parent } = &event.item;
    let call = session.call_with(METHOD, Some(payload), EVENT_TIMEOUT);
    if let Err(error) = slot.told(METHOD, *parent, call).await {
        // Not tried again (CONTRACT 12). What the plugin was sent it has, whatever it answers.
        if matches!(error, CallError::QueueFull | CallError::TooLarge { .. }) {
            slot.note_lost_events(1);
        }
        tracing::debug!(%error, session = session.id(), "an event was not handled");
    }
}
