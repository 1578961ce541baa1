//! A leader whose answers tell what came to it.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{ConnectInfo, WebSocketUpgrade, ws};
use futures_util::{SinkExt, Stream, StreamExt, stream};
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use super::*;

/// Messages of the long answer, and bytes of each.
pub(super) const MESSAGES: usize = 10_000;
pub(super) const MESSAGE: usize = 1000;

/// The revision at which the leader is.
pub(super) const REVISION_OF_LEADER: u64 = 7;

pub(super) struct LeadingNode {
    pub(super) server: Server,
    pub(super) seen: Arc<Seen>,
    _kill: DropGuard,
}

/// What has come to a leader, and what it has made.
pub(super) struct Seen {
    /// Messages of the long answer that were asked for.
    pub(super) made: AtomicUsize,
    /// Bytes of uploads that were read.
    pub(super) read: AtomicUsize,
    /// Calls that were given up by their clients.
    pub(super) given_up: AtomicUsize,
    /// Calls that hang.
    pub(super) hanging: AtomicUsize,
    /// Has a permit once uploads may be read.
    pub(super) may_read: Semaphore,
    /// Ends WebSockets, which outlive the server that they came through.
    killed: CancellationToken,
}

impl LeadingNode {
    pub(super) async fn start() -> Self {
        Self::with(None).await
    }

    pub(super) async fn with(files: Option<Files>) -> Self {
        let seen = Arc::new(Seen {
            made: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
            hanging: AtomicUsize::new(0),
            may_read: Semaphore::new(0),
            killed: CancellationToken::new(),
        });
        let kill = seen.killed.clone().drop_guard();
        Self { server: Server::start(app(&seen), files).await, seen, _kill: kill }
    }

    /// The same after a restart: its connections have ended.
    pub(super) async fn restarted(self) -> Self {
        let server = self.server.replaced(app(&self.seen)).await;
        Self { server, ..self }
    }
}

fn app(seen: &Arc<Seen>) -> App {
    let (nodes, seen) = (Nodes::new(mk_token("t"), || REVISION_OF_LEADER), Arc::clone(seen));
    App::new(move |request| {
        let (nodes, seen) = (nodes.clone(), Arc::clone(&seen));
        async move { nodes.answer(request, |request| answer(seen, request)).await }
    })
}

async fn answer(seen: Arc<Seen>, request: Request) -> Response {
    match request.uri().path() {
        "/tell" => ended(stream::iter([Bytes::from(told(&request))])),
        "/refuse" => Status::not_found("no such thing").into_http::<tonic::body::Body>().map(Body::new),
        "/stream" => {
            let made = move |_| {
                seen.made.fetch_add(1, Ordering::Relaxed);
                Bytes::from_static(&[b'm'; MESSAGE])
            };
            ended(stream::iter(0..MESSAGES).map(made))
        }
        "/upload" => upload(&seen, request.into_body()).await,
        "/hang" => {
            let _hanging = Hanging::begin(seen);
            std::future::pending().await
        }
        "/half" => {
            let hanging = Hanging::begin(seen);
            let first = stream::iter([Bytes::from_static(b"half")]);
            ended(first.chain(stream::pending()).inspect(move |_| _ = &hanging))
        }
        "/rpc" => echo(&seen, request).await,
        other => panic!("nobody asks for {other}"),
    }
}

/// Each header, and the client's address.
fn told(request: &Request) -> String {
    let headers = request.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().unwrap().0.ip();
    headers.chain([format!("from {peer}\nof {}\n", request.uri().path_and_query().unwrap())]).collect()
}

/// An answer of these pieces that ends well.
fn ended(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
    let frames = pieces.map(Frame::data).chain(stream::iter([Frame::trailers(trailers)])).map(Ok::<_, axum::Error>);
    let body = Body::new(http_body_util::StreamBody::new(frames));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

async fn upload(seen: &Seen, body: Body) -> Response {
    let _ = seen.may_read.acquire().await.unwrap();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => drop(seen.read.fetch_add(piece.len(), Ordering::Relaxed)),
            Err(_) => {
                seen.given_up.fetch_add(1, Ordering::Relaxed);
                return Status::cancelled("").into_http::<tonic::body::Body>().map(Body::new);
            }
        }
    }
    ended(stream::empty())
}

/// Notes that the call was given up when it is dropped.
struct Hanging(Arc<Seen>);

impl Hanging {
    fn begin(seen: Arc<Seen>) -> Self {
        seen.hanging.fetch_add(1, Ordering::Relaxed);
        Self(seen)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// A WebSocket that first says what came with the request, then the same as its client. It refuses plugins without a token.
async fn echo(seen: &Seen, request: Request) -> Response {
    use axum::extract::FromRequestParts;
    let head = told(&request);
    if request.uri().query().is_none() {
        return (StatusCode::UNAUTHORIZED, "unauthorised").into_response();
    }
    let (mut parts, _) = request.into_parts();
    let upgraded = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgraded) => upgraded,
        Err(refused) => return refused.into_response(),
    };
    let killed = seen.killed.clone();
    upgraded.on_upgrade(async move |socket| killed.run_until_cancelled(repeat(head, socket)).await.unwrap_or_default())
}

async fn repeat(head: String, mut socket: ws::WebSocket) {
    let mut said = socket.send(ws::Message::text(head)).await;
    while let (Ok(()), Some(Ok(message))) = (&said, socket.recv().await) {
        said = socket.send(message).await;
    }
    let _ = socket.close().await;
}
