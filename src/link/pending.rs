//! Calls that a plugin has not answered yet.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::Instant};

use super::CallError;
use crate::domain::text::shorten;

/// Unanswered calls a connection.
const MAX_PENDING: usize = 1024;
/// Ids that are remembered of what nobody waits for any longer: a late answer is no fault of the plugin.
const MAX_REMEMBERED: usize = 1024;
/// Room that calls leave to pings: a plugin with many calls must still be asked whether it lives.
const ROOM_FOR_PINGS: usize = 16;

/// Most characters of an id or a method of the plugin's that a message repeats.
const MAX_SHOWN: usize = 64;

/// What a call comes to.
pub(super) type Answer = Result<Map<String, Value>, CallError>;

/// The table of unanswered calls. Once closed, every call in it and every later one fails.
#[derive(Default)]
pub(super) struct Pending(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<String, Entry>,
    /// Calls that were sent, and given up before an answer came.
    given_up: VecDeque<String>,
    /// Until when the plugin may still work on calls that nobody waits for.
    abandoned_until: Option<Instant>,
    is_closed: bool,
}

/// One unanswered call.
struct Entry {
    /// What was called: the answer names it (CONTRACT 11.1).
    method: String,
    /// `None` for a ping, which is answered by any sign of life.
    waiter: Option<oneshot::Sender<Answer>>,
    until: Instant,
}

impl Pending {
    /// Enters a call that may take until then; its id and where the answer comes.
    pub(super) fn open(&self, method: &str, until: Instant) -> Result<(String, oneshot::Receiver<Answer>), CallError> {
        let (waiter, answer) = oneshot::channel();
        let id = self.insert(Entry { method: method.to_owned(), waiter: Some(waiter), until })?;
        Ok((id, answer))
    }

    /// Enters a ping; its id.
    pub(super) fn open_ping(&self, method: &str, until: Instant) -> Result<String, CallError> {
        self.insert(Entry { method: method.to_owned(), waiter: None, until })
    }

    fn insert(&self, entry: Entry) -> Result<String, CallError> {
        let mut table = self.lock();
        if table.is_closed {
            return Err(CallError::NotConnected);
        }
        table.require_room(entry.is_ping())?;
        // Go reads the ids of the host's calls as canonical xids (CONTRACT 11.2).
        let id = xid::new().to_string();
        table.entries.insert(id.clone(), entry);
        Ok(id)
    }

    /// Hands an answer to its caller, whose call has ended with that. An error says what is wrong with the answer, for the
    /// plugin's author.
    pub(super) fn resolve(&self, id: &str, answer: Answer) -> Result<(), String> {
        let mut table = self.lock();
        let Some(Entry { method, waiter, .. }) = table.entries.remove(id) else { return table.check_late(id) };
        drop(table);
        let answer = answer.and_then(|result| check_method(&method, result));
        let fault = match &answer {
            Err(CallError::Undecodable(why)) => Err(format!("its answer to {method:?} can't be read: {why}")),
            _ => Ok(()),
        };
        if let Some(waiter) = waiter {
            // The caller may have gone.
            let _ = waiter.send(answer);
        }
        fault
    }

    /// Removes a call that was never sent.
    pub(super) fn forget(&self, id: &str) {
        self.lock().entries.remove(id);
    }

    /// Removes a call that nobody waits for any longer, if it is unanswered. It gives its place back; that the plugin is
    /// still at it stays known.
    pub(super) fn abandon(&self, id: &str) {
        let mut table = self.lock();
        if let Some(entry) = table.entries.remove(id) {
            table.abandoned_until = table.abandoned_until.max(Some(entry.until));
            table.remember(id.to_owned());
        }
    }

    /// Until when the plugin may be busy with calls that are in flight now.
    pub(super) fn busy_until(&self, now: Instant) -> Option<Instant> {
        let table = self.lock();
        let calls = table.entries.values().filter(|entry| !entry.is_ping()).map(|call| call.until);
        calls.chain(table.abandoned_until).filter(|until| *until > now).max()
    }

    /// Fails every call, now and later.
    pub(super) fn close(&self) {
        let mut table = self.lock();
        table.is_closed = true;
        // A waiter that is dropped reads as not connected.
        table.entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Nobody waits for a ping, so those that were never answered are swept when the next one goes out.
    fn require_room(&mut self, is_ping: bool) -> Result<(), CallError> {
        if is_ping {
            let now = Instant::now();
            let unanswered = self.entries.extract_if(|_, entry| entry.is_ping() && entry.until <= now);
            let unanswered: Vec<_> = unanswered.map(|(id, _)| id).collect();
            unanswered.into_iter().for_each(|id| self.remember(id));
        }
        let limit = if is_ping { MAX_PENDING + ROOM_FOR_PINGS } else { MAX_PENDING };
        if self.entries.len() < limit { Ok(()) } else { Err(CallError::QueueFull) }
    }

    fn remember(&mut self, id: String) {
        if self.given_up.len() == MAX_REMEMBERED {
            self.given_up.pop_front();
        }
        self.given_up.push_back(id);
    }

    /// An answer that comes late is taken without a word, once.
    fn check_late(&mut self, id: &str) -> Result<(), String> {
        match self.given_up.iter().position(|given_up| given_up == id) {
            Some(place) => drop(self.given_up.remove(place)),
            None => {
                return Err(format!("an answer to the id {:?}, which no call of plugd has", shorten(id, MAX_SHOWN)));
            }
        }
        Ok(())
    }
}

/// An answer counts if it names what it answers (CONTRACT 11.1).
fn check_method(called: &str, result: Map<String, Value>) -> Answer {
    match result.get("method") {
        Some(Value::String(method)) if method == called => Ok(result),
        Some(Value::String(method)) => {
            let method = shorten(method, MAX_SHOWN);
            Err(CallError::Undecodable(format!("its result.method is {method:?} and must be {called:?}")))
        }
        _ => Err(CallError::Undecodable(format!("its result has no \"method\", which must be {called:?}"))),
    }
}

impl Entry {
    fn is_ping(&self) -> bool {
        self.waiter.is_none()
    }
}

#[cfg(test)]
#[path = "tests/pending.rs"]
mod tests;
