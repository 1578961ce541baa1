//! Calls that a plugin has not answered yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::Instant};

use super::CallError;

/// Unanswered calls a connection.
const MAX_PENDING: usize = 1024;
/// Room that calls leave to pings: a plugin with many calls must still be asked whether it lives.
const ROOM_FOR_PINGS: usize = 16;

/// What a call comes to.
pub(super) type Answer = Result<Map<String, Value>, CallError>;

/// The table of unanswered calls. Once closed, every call in it and every later one fails.
#[derive(Default)]
pub(super) struct Pending(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<String, Entry>,
    /// Until when the plugin may be at calls whose callers have gone.
    abandoned_until: Option<Instant>,
    is_closed: bool,
}

/// One unanswered call.
struct Entry {
    /// `None` for a ping, which is answered by any sign of life.
    waiter: Option<oneshot::Sender<Answer>>,
    until: Instant,
}

impl Pending {
    /// Enters a call that may take until then; its id and where the answer comes.
    pub(super) fn open(&self, until: Instant) -> Result<(String, oneshot::Receiver<Answer>), CallError> {
        let (waiter, answer) = oneshot::channel();
        let id = self.insert(Entry { waiter: Some(waiter), until })?;
        Ok((id, answer))
    }

    /// Enters a ping; its id.
    pub(super) fn open_ping(&self, until: Instant) -> Result<String, CallError> {
        self.insert(Entry { waiter: None, until })
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

    /// Hands an answer to its caller. False if no call has this id (any more).
    pub(super) fn resolve(&self, id: &str, answer: Answer) -> bool {
        let Some(entry) = self.lock().entries.remove(id) else { return false };
        if let Some(waiter) = entry.waiter {
            // The caller may have gone.
            let _ = waiter.send(answer);
        }
        true
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
            self.entries.retain(|_, entry| !entry.is_ping() || entry.until > now);
        }
        let limit = if is_ping { MAX_PENDING + ROOM_FOR_PINGS } else { MAX_PENDING };
        if self.entries.len() < limit { Ok(()) } else { Err(CallError::QueueFull) }
    }
}

impl Entry {
    fn is_ping(&self) -> bool {
        self.waiter.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn an_answer_reaches_its_call_once() {
        let pending = Pending::default();
        let (id, answer) = pending.open(soon()).unwrap();
        assert!(pending.resolve(&id, Ok(Map::new())));
        assert!(!pending.resolve(&id, Ok(Map::new())), "a second answer is nobody's");
        assert_eq!(answer.await.unwrap(), Ok(Map::new()));
    }

    #[tokio::test]
    async fn ids_are_canonical_xids_as_11_2_demands() {
        let (id, _answer) = Pending::default().open(soon()).unwrap();
        assert!(id.parse::<crate::domain::RunId>().is_ok(), "{id}");
    }

    #[tokio::test]
    async fn a_closed_table_fails_what_waits_and_what_comes() {
        let pending = Pending::default();
        let (_, answer) = pending.open(soon()).unwrap();
        pending.close();
        assert!(answer.await.is_err());
        assert_eq!(pending.open_ping(soon()), Err(CallError::NotConnected));
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_call_keeps_the_plugin_busy_until_its_deadline() {
        let pending = Pending::default();
        let until = soon();
        let (id, _answer) = pending.open(until).unwrap();
        let (sooner, _answer) = pending.open(Instant::now()).unwrap();
        pending.abandon(&id);
        pending.abandon(&sooner);
        assert_eq!(pending.busy_until(Instant::now()), Some(until));
        assert_eq!(pending.busy_until(until), None);
        assert!(!pending.resolve(&id, Ok(Map::new())), "its answer is nobody's");
    }

    #[tokio::test]
    async fn a_call_that_was_answered_is_not_abandoned_any_more() {
        let pending = Pending::default();
        let (id, _answer) = pending.open(soon()).unwrap();
        assert!(pending.resolve(&id, Ok(Map::new())));
        pending.abandon(&id);
        assert_eq!(pending.busy_until(Instant::now()), None);
    }

    #[tokio::test]
    async fn a_ping_keeps_nobody_busy() {
        let pending = Pending::default();
        pending.open_ping(soon()).unwrap();
        assert_eq!(pending.busy_until(Instant::now()), None);
    }

    #[tokio::test]
    async fn calls_are_bounded_and_leave_room_for_pings() {
        let pending = Pending::default();
        let calls: Vec<_> = (0..MAX_PENDING).map(|_| pending.open(soon()).unwrap()).collect();
        assert_eq!(pending.open(soon()).err(), Some(CallError::QueueFull));
        pending.abandon(&calls[0].0);
        let _again = pending.open(soon()).unwrap();
        assert!(pending.open_ping(soon()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_bounded_and_those_whose_time_is_up_make_room() {
        let pending = Pending::default();
        for _ in 0..MAX_PENDING + ROOM_FOR_PINGS {
            pending.open_ping(soon()).unwrap();
        }
        assert_eq!(pending.open_ping(soon()), Err(CallError::QueueFull));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(pending.open_ping(soon()).is_ok());
    }
}
