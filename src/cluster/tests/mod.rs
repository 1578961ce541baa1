//! Nodes on the loopback: real listeners and connections, and a leader that answers whatever is asked.

mod calls;
mod leader;
mod nodes;
mod sockets;
mod streams;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{self, HeaderMap},
    response::Response,
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpSocket, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Code, Status};

use super::*;
use crate::{
    listener::{self, App, Listener},
    tls::{Files, Trust},
};

/// No wait of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.expect("it took too long")
}

/// Waits until this is so.
async fn eventually(is_so: impl Fn() -> bool) {
    within(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            ticks.tick().await;
        }
    })
    .await;
}

fn mk_token(letter: &str) -> ClusterToken {
    ClusterToken::new(&letter.repeat(40)).unwrap()
}

/// A server on the loopback. Dropping it breaks its connections off, as when it is killed.
struct Server {
    url: String,
    address: SocketAddr,
    _serving: AbortOnDropHandle<usize>,
}

impl Server {
    async fn start(app: App, files: Option<Files>) -> Self {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), files).await.unwrap();
        Self::on(listener, app)
    }

    /// Another one in its place, as soon as that is free.
    async fn replaced(self, app: App) -> Self {
        let address = self.address;
        drop(self);
        let bound = async {
            loop {
                match Listener::bind(address, None).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        Self::on(within(bound).await, app)
    }

    fn on(listener: Listener, app: App) -> Self {
        let (url, address) = (listener.url(), listener.address());
        let serving = listener::serve(listener, app, listener::Options::default(), CancellationToken::new());
        Self { url, address, _serving: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    fn leads(&self, term: u64) -> Option<Leader> {
        Some(Leader { address: self.url.clone(), term })
    }
}

/// A node that does not lead.
struct Node {
    server: Server,
    leader: watch::Sender<Option<Leader>>,
    /// The revisions that answers waited for.
    waited: Arc<Mutex<Vec<u64>>>,
}

impl Node {
    async fn start(leader: Option<Leader>) -> Self {
        Self::with(leader, mk_token("t"), &Trust::default(), true).await
    }

    /// Whether it has every revision at once, or none ever.
    async fn with(leader: Option<Leader>, token: ClusterToken, trust: &Trust, is_current: bool) -> Self {
        let (leader, led) = watch::channel(leader);
        let waited = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&waited);
        let wait_for: WaitFor = Arc::new(move |revision| {
            noted.lock().unwrap().push(revision);
            if is_current { std::future::ready(()).boxed() } else { std::future::pending().boxed() }
        });
        let forwarder = Forwarder::new(token.clone(), trust, led, wait_for).unwrap();
        let nodes = Nodes::new(token, || 0);
        let app = App::new(move |request| {
            let (nodes, forwarder) = (nodes.clone(), forwarder.clone());
            async move {
                let forward = async |request: Request| match request.uri().path() {
                    "/rpc" => forwarder.upgrade(request).await,
                    _ => forwarder.call(request).await,
                };
                nodes.answer(request, forward).await
            }
        });
        Self { server: Server::start(app, None).await, leader, waited }
    }
}

/// A client's connection.
struct Client(http2::SendRequest<Body>);

impl Client {
    async fn of(server: &Server) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, server).await
    }

    /// One that comes from this address.
    async fn from(address: Ipv4Addr, server: &Server) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let stream = within(socket.connect(server.address)).await.unwrap();
        let (sender, connection) = within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn send(&mut self, request: Request) -> Response {
        within(self.0.send_request(request)).await.unwrap().map(Body::new)
    }

    async fn call(&mut self, path: &str) -> Answer {
        Answer::of(self.send(mk_call(path, Body::empty())).await).await
    }
}

fn mk_call(path: &str, body: impl Into<Body>) -> Request {
    let uri = format!("http://plugd.test{path}");
    let call = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    call.body(body.into()).unwrap()
}

/// All of an answer.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    status: Status,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap();
        let trailers = body.trailers().cloned();
        let status = trailers.and_then(|trailers| Status::from_header_map(&trailers));
        let status = status.or_else(|| Status::from_header_map(&head.headers)).expect("a status");
        Self { headers: head.headers, body: body.to_bytes(), status }
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// It says that there is nobody who leads, and to try again in a moment.
    #[track_caller]
    fn is_no_leader(&self, words: &str) {
        use tonic_types::StatusExt;
        assert_eq!((self.status.code(), self.body.len()), (Code::Unavailable, 0), "{:?}", self.status);
        assert!(self.status.message().contains(words), "{:?}", self.status);
        assert_eq!(self.status.get_details_error_info().unwrap().reason, "NO_LEADER");
        assert_eq!(self.status.get_details_retry_info().unwrap().retry_delay, Some(RETRY));
    }
}
