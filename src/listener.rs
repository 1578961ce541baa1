//! The listener: one port for HTTP/1.1, HTTP/2 and WebSockets, encrypted or not. HTTP/2 needs no upgrade, and without
//! encryption none can be negotiated: clients know (prior knowledge).
//!
//! The accept loop is our own, because neither tonic's nor axum's gives all of: upgrades, no Nagle delay, HTTP/2 keepalive
//! and limits, a bound on connections and a bound on how long stopping takes.
//!
//! A connection that has asked for nothing yet is new: there are at most [`MAX_NEW`] of these, and each has
//! [`Options::header_timeout`] to ask for something. With its first request it becomes one of at most
//! [`Options::max_connections`]. A WebSocket is neither any longer: only plugins have one, and each of them has one.

mod connection;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::tls::{Certificates, Files, ServerTls};

/// Connections at once that have asked for nothing yet. Further ones wait in the kernel's queue.
pub const MAX_NEW: usize = 1024;

/// Until accepting is tried again.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Connections at once that have asked for something, WebSockets apart. The first request of a further one waits.
    pub max_connections: usize,
    /// How long it waits until it is refused.
    pub place_timeout: Duration,
    /// HTTP/2 streams at once a connection.
    pub max_streams: u32,
    /// Longest head of a request, in bytes.
    pub max_header_bytes: u32,
    /// In which a new connection must ask for something, and an HTTP/1.1 client must send the head of its (next) request.
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
            place_timeout: Duration::from_secs(10),
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    pub accepted: u64,
    /// Connections that were still at work when the time to drain was over, and were dropped.
    pub dropped: usize,
}

/// A socket that takes connections, and the certificate that they are encrypted with, if they are.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
}

impl Listener {
    /// Listens on this address; encrypted, if there are files for it.
    pub async fn bind(address: SocketAddr, files: Option<Files>) -> anyhow::Result<Self> {
        let certificates = files.map(Certificates::open).transpose()?;
        let socket = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
        let address = socket.local_addr().context("can't find out where it listens")?;
        Ok(Self { socket, address, certificates })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as clients write it.
    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where files are sent that the certificate is to be read from at once; nowhere if nothing is encrypted.
    pub fn renewals(&self) -> Option<mpsc::Sender<Files>> {
        self.certificates.as_ref().map(Certificates::asks)
    }
}

/// Serves `app` until `shutdown`, then lets running requests finish for a while. Connections that were upgraded are not
/// waited for: whoever serves them closes them.
pub async fn serve(listener: Listener, app: Router, options: Options, shutdown: CancellationToken) -> Report {
    let Listener { socket, certificates, .. } = listener;
    let shared = Arc::new(Shared {
        app,
        builder: connection::builder(&options),
        tls: certificates.as_ref().map(Certificates::server),
        new: Arc::new(Semaphore::new(MAX_NEW)),
        places: Arc::new(Semaphore::new(options.max_connections)),
        options,
        shutdown,
    });
    let server = Server { shared, connections: JoinSet::new(), accepted: 0 };
    let renewing = async {
        if let Some(certificates) = certificates {
            certificates.keep_current().await;
        }
        std::future::pending().await
    };
    tokio::select! {
        report = server.run(socket) => report,
        never = renewing => never,
    }
}

struct Server {
    shared: Arc<Shared>,
    connections: JoinSet<()>,
    accepted: u64,
}

struct Shared {
    app: Router,
    options: Options,
    builder: connection::Builder,
    tls: Option<ServerTls>,
    /// For connections that have asked for nothing yet.
    new: Arc<Semaphore>,
    /// For those that have.
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Shared {
    /// How the next connection is encrypted.
    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())))
    }
}

impl Server {
    async fn run(mut self, socket: TcpListener) -> Report {
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.shutdown.cancelled() => break,
                _ = self.connections.join_next(), if !self.connections.is_empty() => {}
                accepted = accept(&socket, &shared.new) => match accepted {
                    Ok((stream, new)) => self.spawn(stream, new),
                    Err(error) => self.fail(&error).await,
                }
            }
        }
        // From here on the kernel refuses new connections.
        drop(socket);
        self.drain().await
    }

    fn spawn(&mut self, stream: TcpStream, new: OwnedSemaphorePermit) {
        self.accepted += 1;
        self.connections.spawn(connection::serve(Arc::clone(&self.shared), stream, new));
    }

    /// Out of descriptors or memory, the connection stays in the kernel's queue, so trying again at once would spin.
    async fn fail(&self, error: &io::Error) {
        if is_of_the_client(error) {
            return debug!(%error, "a client went before it was accepted");
        }
        warn!(%error, "accepting connections fails");
        let _ = timeout(ACCEPT_BACKOFF, self.shared.shutdown.cancelled()).await;
    }

    async fn drain(mut self) -> Report {
        let all = async { while self.connections.join_next().await.is_some() {} };
        let is_drained = timeout(self.shared.options.drain_timeout, all).await.is_ok();
        let dropped = self.connections.len();
        if !is_drained {
            warn!(dropped, "connections were still at work and are dropped");
            self.connections.shutdown().await;
        }
        Report { accepted: self.accepted, dropped }
    }
}

/// The next connection, once there may be another new one.
async fn accept(socket: &TcpListener, new: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let new = Arc::clone(new).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, new))
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
