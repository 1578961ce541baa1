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
use axum::{Router, extract::Request, response::Response};
use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::warn;

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

/// A socket that takes connections, and the certificate that they are encrypted with, if they are.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
    open: Gauge,
}

impl Listener {
    /// Listens on this address; encrypted, if there are files for it.
    pub async fn bind(address: SocketAddr, files: Option<Files>) -> anyhow::Result<Self> {
        let certificates = files.map(Certificates::open).transpose()?;
        let socket = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
        let address = socket.local_addr().context("can't find out where it listens")?;
        Ok(Self { socket, address, certificates, open: Gauge::default() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as clients write it.
    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Its connections that are open.
    pub fn open(&self) -> Gauge {
        self.open.clone()
    }

    /// Where files are sent that the certificate is to be read from at once; nowhere if nothing is encrypted.
    pub fn renewals(&self) -> Option<watch::Sender<Files>> {
        self.certificates.as_ref().map(Certificates::renewals)
    }
}

/// What answers requests. Whatever it is made of, an answer is one future, boxed once.
#[derive(Clone)]
pub struct App(Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>);

impl App {
    /// Requests are answered by this function.
    pub fn new<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        Self(Arc::new(move |request| answer(request).boxed()))
    }

    /// Answers a request.
    pub fn answer(&self, request: Request) -> BoxFuture<'static, Response> {
        (self.0)(request)
    }
}

impl From<Router> for App {
    fn from(router: Router) -> Self {
        Self::new(move |request| {
            let router = router.clone();
            async {
                let Ok(answer) = router.oneshot(request).await;
                answer
            }
        })
    }
}

/// Serves `app` until `shutdown`, then lets running requests finish for a while; answers how many connections were still at
/// work then, and dropped. Connections that were upgraded are not waited for: `link`, which serves them, closes
/// them.
pub async fn serve(listener: Listener, app: impl Into<App>, options: Options, shutdown: CancellationToken) -> usize {
    let Listener { socket, certificates, open, .. } = listener;
    let shared = Arc::new(Shared {
        app: app.into(),
        builder: connection::builder(&options),
        tls: certificates.as_ref().map(Certificates::server),
        places: Arc::new(Semaphore::new(options.max_connections)),
        options,
        open,
        shutdown,
    });
    let connections = tokio::select! {
        connections = accept_all(&shared, socket) => connections,
        Some(never) = OptionFuture::from(certificates.map(Certificates::keep_current)) => never,
    };
    drain(connections, options.drain_timeout).await
}

/// What all connections share.
struct Shared {
    app: App,
    options: Options,
    open: Gauge,
    builder: connection::Builder,
    tls: Option<ServerTls>,
    /// For connections that have asked for something.
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Shared {
    /// How the next connection is encrypted.
    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())))
    }
}

/// Takes connections until `shutdown`; from then on the kernel refuses new ones.
async fn accept_all(shared: &Arc<Shared>, socket: TcpListener) -> JoinSet<()> {
    let new = Arc::new(Semaphore::new(MAX_NEW));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return connections,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = accept(&socket, &new) => match accepted {
                Ok((stream, new)) => drop(connections.spawn(connection::serve(Arc::clone(shared), stream, new))),
                Err(error) => {
                    warn!(%error, "accepting connections fails");
                    // Out of descriptors or memory, the connection stays in the kernel's queue, so trying again at once would
                    // spin.
                    let _ = timeout(ACCEPT_BACKOFF, shared.shutdown.cancelled()).await;
                }
            }
        }
    }
}

/// The next connection, once there may be another new one.
async fn accept(socket: &TcpListener, new: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    let new = Arc::clone(new).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return Ok((stream, new)),
            // The client went before it was accepted.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits so long until the connections have ended by themselves, and drops those that have not.
async fn drain(mut connections: JoinSet<()>, patience: Duration) -> usize {
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(patience, all).await.is_ok() {
        return 0;
    }
    let dropped = connections.len();
    warn!(dropped, "connections were still at work and are dropped");
    connections.shutdown().await;
    dropped
}
