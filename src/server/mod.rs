//! The listener: one port for HTTP/1.1, HTTP/2 and WebSockets, encrypted or not. HTTP/2 needs no upgrade, and without
//! encryption none can be negotiated: clients know (prior knowledge).
//!
//! A loop of our own, because neither tonic's nor axum's gives all of: upgrades, no Nagle delay, HTTP/2 keepalive and
//! limits, a bound on connections and a bound on how long stopping takes.

mod activity;
mod connection;
mod guest;
mod http;
mod linger;
#[cfg(test)]
mod tests;
pub mod trace;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use connection::Connection;
pub use guest::Guest;
use guest::Strangers;

use crate::tls::ServerTls;

/// Limits of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Connections at once, WebSockets included. A further one takes the place of one that was not let in; see [`Guest`].
    /// If all were, it waits, and those after it wait in the kernel's queue.
    pub max_connections: usize,
    /// HTTP/2 streams at once a connection.
    pub max_streams: u32,
    /// Longest head of a request, in bytes.
    pub max_header_bytes: u32,
    /// In which a new connection must say something, and an HTTP/1.1 client must send the head of its (next) request.
    pub header_timeout: Duration,
    /// A connection without an open request for this long is told to end; it may take up to twice as long. HTTP/1.1 has
    /// the header timeout, so this is for HTTP/2.
    pub idle_timeout: Duration,
    /// How often a silent HTTP/2 client is pinged.
    pub keepalive_interval: Duration,
    /// In which it must answer.
    pub keepalive_timeout: Duration,
    /// How long requests may go on once the listener stops; then their connections are dropped.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_streams: 256,
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What the listener did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerReport {
    /// Connections that it took.
    pub accepted: u64,
    /// Connections that were still at work when the time to drain was over, and were dropped.
    pub dropped: usize,
}

/// Where connections come from, and whether they are encrypted.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<ServerTls>,
}

impl Listener {
    /// Takes connections from `socket`, encrypted with `tls`.
    #[must_use]
    pub fn new(socket: TcpListener, tls: Option<ServerTls>) -> Self {
        Self { socket, tls }
    }

    /// How the next connection is encrypted.
    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())))
    }
}

/// Serves `app` until `shutdown`, then lets running requests finish for a while. Connections that were upgraded are not
/// waited for: whoever serves them closes them.
pub async fn serve(listener: Listener, app: Router, options: Options, shutdown: CancellationToken) -> ServerReport {
    let mut server = Server::new(listener, app, options, shutdown.clone());
    // Accepted, and without a place yet.
    let mut waiting = None;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = server.connections.join_next(), if !server.connections.is_empty() => {}
            Ok(place) = Arc::clone(&server.places).acquire_owned(), if waiting.is_some() => {
                if let Some(stream) = waiting.take() {
                    server.spawn(stream, place);
                }
            }
            accepted = server.listener.socket.accept(), if waiting.is_none() => waiting = server.take(accepted).await,
        }
    }
    server.drain().await
}

struct Server {
    listener: Listener,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    connections: JoinSet<()>,
    accepted: u64,
}

/// What all connections share.
struct Shared {
    app: Router,
    options: Options,
    builder: http::Builder,
    shutdown: CancellationToken,
}

impl Server {
    fn new(listener: Listener, app: Router, options: Options, shutdown: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(options.max_connections));
        let shared = Arc::new(Shared { app, options, builder: http::builder(&options), shutdown });
        Self { listener, shared, places, strangers: Arc::default(), connections: JoinSet::new(), accepted: 0 }
    }

    /// What was accepted, which now needs a place; one is made for it if there is none.
    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<TcpStream> {
        match accepted {
            Ok((stream, _)) => {
                if self.places.available_permits() == 0 {
                    self.strangers.evict_oldest();
                }
                return Some(stream);
            }
            Err(error) if is_of_the_client(&error) => debug!(%error, "a client went before it was accepted"),
            Err(error) => self.back_off(&error).await,
        }
        None
    }

    fn spawn(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        self.accepted += 1;
        let (shared, stay) = (Arc::clone(&self.shared), self.strangers.enter(self.accepted));
        let tls = self.listener.acceptor();
        self.connections.spawn(async move {
            let guest = stay.guest();
            let opened = timeout(shared.options.header_timeout, Connection::open(stream, tls, place));
            let connection = tokio::select! {
                opened = opened => opened,
                () = guest.evicted() => return,
                () = shared.shutdown.cancelled() => return,
            };
            match connection {
                Ok(Ok(connection)) => http::serve(&shared, connection, guest).await,
                Ok(Err(error)) => debug!(%error, "a connection ended before its first request"),
                Err(_) => debug!("a connection said nothing"),
            }
        });
    }

    /// Out of descriptors or memory: the connection stays in the kernel's queue, so trying again at once would spin.
    async fn back_off(&self, error: &io::Error) {
        warn!(%error, "accepting connections fails");
        let _ = timeout(ACCEPT_BACKOFF, self.shared.shutdown.cancelled()).await;
    }

    async fn drain(self) -> ServerReport {
        let Self { listener, mut connections, accepted, shared, .. } = self;
        // From here on the kernel refuses new connections.
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        let is_drained = timeout(shared.options.drain_timeout, all).await.is_ok();
        let dropped = connections.len();
        if !is_drained {
            warn!(dropped, "connections were still at work and are dropped");
            connections.shutdown().await;
        }
        ServerReport { accepted, dropped }
    }
}

/// Until accepting is tried again.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(500);

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
