//! Calls that a plugin has not answered yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::Instant};

use super::CallError;

/// Unanswered calls a connection, abandoned ones included.
const MAX_PENDING: usize = 1024;

/// What a call comes to.
pub(super) type Answer = Result<Map<String, Value>, CallError>;

/// The table of unanswered calls. Once closed, every call in it and every later one fails.
#[derive(Default)]
pub(super) struct Pending(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<String, Entry>,
    is_closed: bool,
}

/// One unanswered call. It stays until its deadline even if its caller has gone: the plugin is still at it.
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
        if table.entries.len() >= MAX_PENDING {
            let now = Instant::now();
            table.entries.retain(|_, entry| entry.until > now);
        }
        if table.entries.len() >= MAX_PENDING {
            return Err(CallError::QueueFull);
        }
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

    /// Removes a call whose time is up or that was never sent.
    pub(super) fn forget(&self, id: &str) {
        self.lock().entries.remove(id);
    }

    /// Until when the plugin may be busy with calls that are in flight now.
    pub(super) fn busy_until(&self, now: Instant) -> Option<Instant> {
        let table = self.lock();
        let calls = table.entries.values().filter(|entry| entry.waiter.is_some());
        calls.map(|call| call.until).filter(|until| *until > now).max()
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
        drop(pending.open(until).unwrap());
        assert_eq!(pending.busy_until(Instant::now()), Some(until));
        assert_eq!(pending.busy_until(until), None);
    }

    #[tokio::test]
    async fn a_ping_keeps_nobody_busy() {
        let pending = Pending::default();
        pending.open_ping(soon()).unwrap();
        assert_eq!(pending.busy_until(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_expired_calls_make_room() {
        let pending = Pending::default();
        for _ in 0..MAX_PENDING {
            pending.open_ping(soon()).unwrap();
        }
        assert_eq!(pending.open_ping(soon()), Err(CallError::QueueFull));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(pending.open_ping(soon()).is_ok());
    }
}
