//! The connections to one leader. Calls share them: each takes as many as can't be in each other's way, and there are only as
//! many connections as that needs.

use std::{
    fmt::Display,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    RETRY,
    leader::{Place, Protocol, Stream},
    no_leader,
};
use crate::domain::{Error, Reason, Result};

/// Calls at once a connection. The leader takes 192 KiB of a call before anybody reads it, and 8 MiB of a connection
/// (`listener`): so the calls that nobody reads leave room for the others.
const CALLS: usize = 40;

/// Connections at once. Further calls are refused until one of those under way has ended.
const CONNECTIONS: usize = 64;

/// What the leader may send of one answer before the client has read it, in bytes.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for all of a connection, so that no answer has to wait until another one is read.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 40;

/// How long the leader may take until it can be sent a call.
pub(super) const REACH: Duration = Duration::from_millis(800);

/// How often a silent leader is asked for a sign of life, and in which time it must give one.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// The connections to a leader. When it is dropped they end, with all that is under way.
pub(super) struct Connections {
    place: Place,
    all: Mutex<Vec<Arc<Connection>>>,
    ended: CancellationToken,
    _end: DropGuard,
}

struct Connection {
    calls: Arc<Semaphore>,
    /// None until the first call has opened it.
    sender: OnceCell<SendRequest<Body>>,
}

impl Connection {
    fn new() -> Self {
        Self { calls: Arc::new(Semaphore::new(CALLS)), sender: OnceCell::new() }
    }

    fn has_ended(&self) -> bool {
        self.sender.get().is_some_and(SendRequest::is_closed)
    }
}

impl Connections {
    pub(super) fn new(place: Place) -> Self {
        let ended = CancellationToken::new();
        Self { place, all: Mutex::default(), _end: ended.clone().drop_guard(), ended }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Is cancelled when they end, and cancelling it ends them.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// A connection of one's own, which ends with the others. Without a deadline.
    pub(super) async fn dial(&self, protocol: Protocol) -> io::Result<Stream> {
        self.place.dial(protocol, self.ended()).await
    }

    /// Sends a call, and waits for the head of its answer. The place on its connection is to be kept until the answer's body has
    /// ended.
    ///
    /// # Errors
    /// The leader can't be reached, or has gone before it answered; too many calls are under way.
    pub(super) async fn send(&self, mut call: Request<Body>) -> Result<(Response<Incoming>, OwnedSemaphorePermit)> {
        let deadline = Instant::now() + REACH;
        loop {
            let (connection, place) = self.free_place()?;
            let sender = timeout_at(deadline, connection.sender.get_or_try_init(|| self.open())).await;
            let mut sender = sender.map_err(|_| unreachable_leader())??.clone();
            match sender.try_send_request(call).await {
                Ok(answer) => return Ok((answer, place)),
                Err(mut error) => match error.take_message() {
                    // The connection ended before the call was sent on it.
                    Some(unsent) if Instant::now() < deadline => call = unsent,
                    _ => {
                        tracing::debug!(error = %error.error(), "a call to the leader broke off");
                        return Err(broken());
                    }
                },
            }
        }
    }

    /// A connection that takes one more call.
    fn free_place(&self) -> Result<(Arc<Connection>, OwnedSemaphorePermit)> {
        let mut all = self.all();
        all.retain(|connection| !connection.has_ended());
        let free = |connection: &Arc<Connection>| {
            Some((Arc::clone(connection), Arc::clone(&connection.calls).try_acquire_owned().ok()?))
        };
        if let Some(found) = all.iter().find_map(free) {
            return Ok(found);
        }
        let another = (all.len() < CONNECTIONS).then(|| Arc::new(Connection::new()));
        let found = another.and_then(|another| free(&another)).ok_or_else(too_many)?;
        all.push(Arc::clone(&found.0));
        Ok(found)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self) -> Result<SendRequest<Body>> {
        let stream = self.dial(Protocol::Http2).await.map_err(unreached)?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(unreached)?;
        // Its end is seen by the calls on it.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn unreached(error: impl Display) -> Error {
    tracing::warn!(%error, "the plugd that leads can't be reached");
    unreachable_leader()
}

/// The leader went while it was at it.
pub(super) fn broken() -> Error {
    no_leader("the connection to the plugd that leads broke off; what was asked for may have been done")
}

pub(super) fn unreachable_leader() -> Error {
    no_leader("the plugd that leads can't be reached")
}

fn too_many() -> Error {
    Error::new(Reason::TooBusy, "too many calls to the plugd that leads are under way").after(RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::leader::Encryption, tls::Trust};

    #[test]
    fn more_calls_than_all_connections_take_are_refused_until_one_has_ended() {
        let encryption = Encryption::new(&Trust::default()).unwrap();
        let connections = Connections::new(Place::new("http://127.0.0.1:1", encryption).unwrap());
        let mut taken: Vec<_> = (0..CALLS * CONNECTIONS).map(|_| connections.free_place().unwrap()).collect();
        assert_eq!(connections.all().len(), CONNECTIONS);
        assert_eq!(connections.free_place().err().unwrap().reason, Reason::TooBusy);
        drop(taken.pop());
        assert!(connections.free_place().is_ok());
    }
}
