//! The listener: one port for HTTP/1.1, HTTP/2 without an upgrade (prior knowledge) and WebSockets.
//!
//! A loop of our own, because neither tonic's nor axum's gives all of: upgrades, no Nagle delay, HTTP/2 keepalive and
//! limits, a bound on connections and a bound on how long stopping takes.

mod connection;
mod http;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use connection::Connection;

/// Limits of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Connections at once, WebSockets included; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// HTTP/2 streams at once a connection.
    pub max_streams: u32,
    /// Longest head of a request, in bytes.
    pub max_header_bytes: u32,
    /// In which a new connection must say something, and an HTTP/1.1 client must send the head of its (next) request.
    pub header_timeout: Duration,
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

/// Serves `app` until `shutdown`, then lets running requests finish for a while. Connections that were upgraded are not
/// waited for: whoever serves them closes them.
pub async fn serve(listener: TcpListener, app: Router, options: Options, shutdown: CancellationToken) -> ServerReport {
    let mut server = Server::new(listener, app, options, shutdown.clone());
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = server.connections.join_next(), if !server.connections.is_empty() => {}
            accepted = accept(&server.listener, &server.permits) => server.take(accepted).await,
        }
    }
    server.drain().await
}

struct Server {
    listener: TcpListener,
    app: Router,
    options: Options,
    shutdown: CancellationToken,
    builder: Arc<http::Builder>,
    permits: Arc<Semaphore>,
    connections: JoinSet<()>,
    accepted: u64,
}

impl Server {
    fn new(listener: TcpListener, app: Router, options: Options, shutdown: CancellationToken) -> Self {
        let builder = Arc::new(http::builder(&options));
        let permits = Arc::new(Semaphore::new(options.max_connections));
        Self { listener, app, options, shutdown, builder, permits, connections: JoinSet::new(), accepted: 0 }
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, OwnedSemaphorePermit)>) {
        match accepted {
            Ok((stream, permit)) => self.spawn(stream, permit),
            Err(error) if is_of_the_client(&error) => debug!(%error, "a client went before it was accepted"),
            Err(error) => self.back_off(&error).await,
        }
    }

    fn spawn(&mut self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        self.accepted += 1;
        let (app, builder, shutdown) = (self.app.clone(), Arc::clone(&self.builder), self.shutdown.clone());
        let header_timeout = self.options.header_timeout;
        self.connections.spawn(async move {
            let opened = timeout(header_timeout, Connection::open(stream, permit));
            let connection = tokio::select! {
                opened = opened => opened,
                () = shutdown.cancelled() => return,
            };
            match connection {
                Ok(Ok(connection)) => http::serve(&builder, connection, app, shutdown).await,
                Ok(Err(error)) => debug!(%error, "a connection ended before its first request"),
                Err(_) => debug!("a connection said nothing"),
            }
        });
    }

    /// Out of descriptors or memory: the connection stays in the kernel's queue, so trying again at once would spin.
    async fn back_off(&self, error: &io::Error) {
        warn!(%error, "accepting connections fails");
        let _ = timeout(ACCEPT_BACKOFF, self.shutdown.cancelled()).await;
    }

    async fn drain(self) -> ServerReport {
        let Self { listener, mut connections, accepted, options, .. } = self;
        // From here on the kernel refuses new connections.
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        let is_drained = timeout(options.drain_timeout, all).await.is_ok();
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

/// Accepts only what may be served, so that a flood waits in the kernel's queue.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
