//! The handle of one connection to a plugin.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Bounded, CallError, CloseReason, Metrics, NotQueued, Queued, envelope,
    pending::Pending,
    queue::{MAX_BYTES, MAX_MESSAGES},
};

/// Longest message to a plugin, in bytes: the Python SDK accepts no more (CONTRACT 10.4).
pub(super) const MAX_OUTBOUND: usize = 1 << 20;
/// Proves life.
const PING: &str = "ping";

/// One connection to a plugin: call it, ask whether it lives, close it. Cheap to clone; outlives its connection, after
/// which everything fails at once.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    id: u64,
    user_agent: String,
    metrics: Metrics,
    queue: Bounded<String>,
    /// The plugin has pinged: what the library has queued for that is to be sent.
    owes_pong: Notify,
    pending: Pending,
    /// Counts the plugin's text frames.
    heard: watch::Sender<u64>,
    /// Why it should be closed; set once, before `closing`.
    close_reason: OnceLock<CloseReason>,
    closing: CancellationToken,
    gone: CancellationToken,
    /// How it ended; set once, before `gone`.
    end: OnceLock<String>,
}

impl Session {
    /// A session, and the messages that are to be sent on it.
    pub(super) fn new(user_agent: String, metrics: Metrics) -> (Self, mpsc::Receiver<Queued<String>>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (queue, outgoing) = Bounded::new(MAX_MESSAGES, MAX_BYTES);
        let shared = Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            user_agent,
            metrics,
            queue,
            owes_pong: Notify::new(),
            pending: Pending::default(),
            heard: watch::Sender::new(0),
            close_reason: OnceLock::new(),
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
            end: OnceLock::new(),
        };
        (Self(Arc::new(shared)), outgoing)
    }

    /// Unique while plugd runs.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The plugin's `User-Agent`, or nothing.
    pub fn user_agent(&self) -> &str {
        &self.0.user_agent
    }

    /// Calls the plugin and waits for its answer. Dropping the future gives the answer up.
    pub async fn call(
        &self,
        method: &str,
        params: Option<Value>,
        limit: Duration,
    ) -> Result<Map<String, Value>, CallError> {
        let params = params.map(|params| params.to_string());
        self.call_with(method, params.as_deref(), limit).await
    }

    /// The same with parameters that are JSON already.
    pub async fn call_with(
        &self,
        method: &str,
        params: Option<&str>,
        limit: Duration,
    ) -> Result<Map<String, Value>, CallError> {
        let begun = Instant::now();
        let answer = self.ask(method, params, limit).await;
        self.0.metrics.called_plugin(&answer, begun.elapsed());
        answer
    }

    async fn ask(&self, method: &str, params: Option<&str>, limit: Duration) -> Result<Map<String, Value>, CallError> {
        let (id, answer) = self.0.pending.open(method, Instant::now() + limit)?;
        // A call that was not sent does not keep the plugin busy, so only a call that was sent is abandoned.
        self.send(&id, envelope::request(&id, method, params))?;
        let _abandon = AbandonOnDrop { pending: &self.0.pending, id: &id };
        match timeout(limit, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(self.lost())),
            Err(_) => Err(CallError::TimedOut(limit)),
        }
    }

    /// What is measured of it.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Asks whether the plugin lives. True if it says anything within this time.
    pub async fn ping(&self, limit: Duration) -> bool {
        let mut heard = self.0.heard.subscribe();
        if self.send_ping(limit).is_err() {
            return false;
        }
        let spoke = self.0.gone.run_until_cancelled(timeout(limit, heard.changed())).await;
        spoke.is_some_and(|spoke| spoke.is_ok())
    }

    /// Closes the connection. The first reason counts.
    pub fn close(&self, why: CloseReason) {
        let _ = self.0.close_reason.set(why);
        self.0.closing.cancel();
    }

    /// Waits until the connection has ended.
    pub async fn ended(&self) {
        self.0.gone.cancelled().await;
    }

    /// Waits until somebody wants the connection closed.
    pub(super) async fn closing(&self) -> CloseReason {
        self.0.closing.cancelled().await;
        self.0.close_reason.get().copied().unwrap_or(CloseReason::Closed)
    }

    /// Sends a ping that need not be waited for.
    pub(super) fn send_ping(&self, limit: Duration) -> Result<(), CallError> {
        let id = self.0.pending.open_ping(PING, Instant::now() + limit)?;
        self.send(&id, envelope::request(&id, PING, None))
    }

    fn send(&self, id: &str, message: String) -> Result<(), CallError> {
        self.try_queue(message).inspect_err(|_| self.0.pending.forget(id))
    }

    fn try_queue(&self, message: String) -> Result<(), CallError> {
        let bytes = message.len();
        check_length(bytes)?;
        Ok(self.0.queue.try_send(message, bytes)?)
    }

    /// Sends an answer if there is room for it now. False if there was none.
    pub(super) fn try_answer(&self, message: String) -> bool {
        self.try_queue(message).is_ok()
    }

    /// Sends an answer as soon as there is room for it. A plugin that leaves too much unread is closed: it would never
    /// know which of its calls were not answered.
    pub(super) async fn answer(&self, message: String) {
        let bytes = message.len();
        // If the connection has ended there is nobody to tell.
        if self.0.queue.send(message, bytes).await == Err(NotQueued::Full) {
            self.close(CloseReason::Unread);
        }
    }

    /// The plugin has sent a WebSocket ping.
    pub(super) fn owe_pong(&self) {
        self.0.owes_pong.notify_one();
    }

    /// Waits until a pong is owed.
    pub(super) async fn owes_pong(&self) {
        self.0.owes_pong.notified().await;
    }

    /// The plugin answered a call.
    pub(super) fn resolve(&self, response: envelope::Response) -> Result<(), String> {
        self.0.pending.resolve(&response.id, response.outcome)
    }

    /// The plugin said something. Comes after [`Self::resolve`], so that who waits for a sign finds its answer placed.
    pub(super) fn hear(&self) {
        self.0.heard.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Until when the plugin may be busy.
    pub(super) fn busy_until(&self) -> Option<Instant> {
        self.0.pending.busy_until(Instant::now())
    }

    fn lost(&self) -> CallError {
        CallError::Lost(self.0.end.get().cloned().unwrap_or_else(|| "its connection ended".to_owned()))
    }

    /// The connection has ended: whatever waits for it fails.
    pub(super) fn end(&self) {
        self.0.pending.close();
        self.0.gone.cancel();
    }

    /// The same, and how it ended.
    pub(super) fn end_for(&self, why: &str) {
        let _ = self.0.end.set(why.to_owned());
        self.end();
    }
}

/// Whether a call with these parameters, in JSON, is short enough for every plugin.
pub fn check_size(method: &str, params: &str) -> Result<(), CallError> {
    // Every id of ours is as long as this one.
    let id = xid::Id::default().to_string();
    check_length(envelope::request(&id, method, Some(params)).len())
}

fn check_length(bytes: usize) -> Result<(), CallError> {
    if bytes > MAX_OUTBOUND { Err(CallError::TooLarge { bytes, limit: MAX_OUTBOUND }) } else { Ok(()) }
}

/// Gives a call's place back, also when its future is dropped. What was answered is gone from the table by then.
struct AbandonOnDrop<'a> {
    pending: &'a Pending,
    id: &'a str,
}

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        self.pending.abandon(self.id);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("user_agent", &self.user_agent())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests/session.rs"]
mod tests;
