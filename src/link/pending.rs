//! Calls that a plugin has not answered yet.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::Instant};

use super::CallError;

/// Unanswered calls a connection.
const MAX_PENDING: usize = 1024;
/// Ids that are remembered of what nobody waits for any longer: a late answer is no fault of the plugin.
const MAX_REMEMBERED: usize = 1024;
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
    /// Sent, and given up before an answer came.
    given_up: VecDeque<String>,
    /// Until when the plugin may be at calls whose callers have gone.
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

    /// Hands an answer to its caller.
    ///
    /// # Errors
    /// What is wrong with the answer, for the plugin's author. Its call has ended with that.
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
}

impl Table {
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
            None => return Err(format!("an answer to the id {id:.64?}, which no call of plugd has")),
        }
        Ok(())
    }
}

/// An answer counts if it names what it answers (CONTRACT 11.1).
fn check_method(called: &str, result: Map<String, Value>) -> Answer {
    match result.get("method") {
        Some(Value::String(method)) if method == called => Ok(result),
        Some(Value::String(method)) => {
            Err(CallError::Undecodable(format!("its result.method is {method:.64?} and must be {called:?}")))
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
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    fn event() -> Map<String, Value> {
        Map::from_iter([("method".to_owned(), Value::from("event"))])
    }

    #[tokio::test]
    async fn an_answer_that_names_another_method_or_none_ends_its_call_with_what_is_wrong_11_1() {
        let pending = Pending::default();
        for (result, words) in [
            (
                Map::from_iter([("method".to_owned(), Value::from("configure"))]),
                "is \"configure\" and must be \"event\"",
            ),
            (Map::new(), "has no \"method\""),
            (Map::from_iter([("method".to_owned(), Value::from(7))]), "has no \"method\""),
        ] {
            let (id, answer) = pending.open("event", soon()).unwrap();
            let fault = pending.resolve(&id, Ok(result)).unwrap_err();
            assert!(fault.contains(words), "{fault}");
            let Err(CallError::Undecodable(why)) = answer.await.unwrap() else { panic!("it was an answer") };
            assert!(why.contains(words), "{why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_to_a_ping_is_no_fault() {
        let pending = Pending::default();
        let id = pending.open_ping("ping", Instant::now()).unwrap();
        pending.open_ping("ping", soon()).unwrap();
        assert_eq!(pending.resolve(&id, Ok(Map::new())), Ok(()));
    }

    #[tokio::test]
    async fn what_was_given_up_is_remembered_within_bounds() {
        let pending = Pending::default();
        for _ in 0..2 * MAX_REMEMBERED {
            let (id, _answer) = pending.open("event", soon()).unwrap();
            pending.abandon(&id);
        }
        assert_eq!(pending.lock().given_up.len(), MAX_REMEMBERED);
    }

    #[tokio::test]
    async fn an_answer_reaches_its_call_once() {
        let pending = Pending::default();
        let (id, answer) = pending.open("event", soon()).unwrap();
        assert_eq!(pending.resolve(&id, Ok(event())), Ok(()));
        assert!(pending.resolve(&id, Ok(event())).is_err(), "a second answer is nobody's");
        assert_eq!(answer.await.unwrap(), Ok(event()));
    }

    #[tokio::test]
    async fn ids_are_canonical_xids_as_11_2_demands() {
        let (id, _answer) = Pending::default().open("event", soon()).unwrap();
        assert!(id.parse::<crate::domain::RunId>().is_ok(), "{id}");
    }

    #[tokio::test]
    async fn a_closed_table_fails_what_waits_and_what_comes() {
        let pending = Pending::default();
        let (_, answer) = pending.open("event", soon()).unwrap();
        pending.close();
        assert!(answer.await.is_err());
        assert_eq!(pending.open_ping("ping", soon()), Err(CallError::NotConnected));
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_call_keeps_the_plugin_busy_until_its_deadline() {
        let pending = Pending::default();
        let until = soon();
        let (id, _answer) = pending.open("event", until).unwrap();
        let (sooner, _answer) = pending.open("event", Instant::now()).unwrap();
        pending.abandon(&id);
        pending.abandon(&sooner);
        assert_eq!(pending.busy_until(Instant::now()), Some(until));
        assert_eq!(pending.busy_until(until), None);
        assert_eq!(pending.resolve(&id, Ok(event())), Ok(()), "an answer that comes late is no fault");
        assert!(pending.resolve(&id, Ok(event())).is_err(), "but a second one is");
    }

    #[tokio::test]
    async fn a_call_that_was_answered_is_not_abandoned_any_more() {
        let pending = Pending::default();
        let (id, _answer) = pending.open("event", soon()).unwrap();
        assert_eq!(pending.resolve(&id, Ok(event())), Ok(()));
        pending.abandon(&id);
        assert_eq!(pending.busy_until(Instant::now()), None);
    }

    #[tokio::test]
    async fn a_ping_keeps_nobody_busy() {
        let pending = Pending::default();
        pending.open_ping("ping", soon()).unwrap();
        assert_eq!(pending.busy_until(Instant::now()), None);
    }

    #[tokio::test]
    async fn calls_are_bounded_and_leave_room_for_pings() {
        let pending = Pending::default();
        let calls: Vec<_> = (0..MAX_PENDING).map(|_| pending.open("event", soon()).unwrap()).collect();
        assert_eq!(pending.open("event", soon()).err(), Some(CallError::QueueFull));
        pending.abandon(&calls[0].0);
        let _again = pending.open("event", soon()).unwrap();
        assert!(pending.open_ping("ping", soon()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_bounded_and_those_whose_time_is_up_make_room() {
        let pending = Pending::default();
        for _ in 0..MAX_PENDING + ROOM_FOR_PINGS {
            pending.open_ping("ping", soon()).unwrap();
        }
        assert_eq!(pending.open_ping("ping", soon()), Err(CallError::QueueFull));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(pending.open_ping("ping", soon()).is_ok());
    }
}
