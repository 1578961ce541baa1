//! A way to the API server on which a request, or its answer, is held up.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        Method, StatusCode,
        header::{AUTHORIZATION, TRANSFER_ENCODING},
    },
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use kube::{Client, client};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::within;

/// The largest request.
const MAX_BODY: usize = 1 << 20;
/// How the API server says that it has forgotten what somebody would go on from.
const FORGOTTEN: &[u8] = b"\"code\":410";

/// An address that leads to the API server.
pub(crate) struct Gate {
    inner: Arc<Inner>,
    folder: TempDir,
    _serving: AbortOnDropHandle<()>,
}

struct Inner {
    client: Client,
    is_open: watch::Sender<bool>,
    forgotten: AtomicUsize,
    wanted: Mutex<Option<Wanted>>,
}

/// What is held up next.
struct Wanted {
    method: Method,
    at: At,
    reached: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

/// Where a request is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The API server does not have it.
    Request,
    /// The API server has done it, and nobody hears that.
    Answer,
}

/// A request that is held up. It is lost when this is dropped.
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    released: oneshot::Sender<()>,
}

impl Gate {
    /// One that is open.
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cluster = format!(r#"{{name: gate, cluster: {{server: "http://{}"}}}}"#, listener.local_addr().unwrap());
        let context = "{name: gate, context: {cluster: gate, user: nobody, namespace: default}}";
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{cluster}]\nusers: [{{name: nobody, user: {{}}}}]\ncontexts: [{context}]\n\
             current-context: gate\n"
        );
        fs::write(folder.path().join("kubeconfig"), text).unwrap();
        let inner = Arc::new(Inner {
            client: Client::try_default().await.unwrap(),
            is_open: watch::Sender::new(true),
            forgotten: AtomicUsize::new(0),
            wanted: Mutex::new(None),
        });
        let router = axum::Router::new().fallback(pass).with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, folder, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The configuration of a client that goes this way.
    pub(crate) fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").to_str().unwrap().to_owned()
    }

    /// Holds up the next request of this method.
    pub(crate) fn hold(&self, method: Method, at: At) -> Held {
        let ((reached, is_reached), (release, released)) = (oneshot::channel(), oneshot::channel());
        *self.inner.wanted.lock().unwrap() = Some(Wanted { method, at, reached, released });
        Held { reached: is_reached, released: release }
    }

    /// Leads nowhere until what this returns is dropped, also by a panic. What is under way is cut off.
    pub(crate) fn close(&self) -> Closed<'_> {
        self.inner.is_open.send_replace(false);
        Closed(self)
    }

    /// How often the API server has said that it has forgotten what somebody would go on from.
    pub(crate) fn forgotten(&self) -> usize {
        self.inner.forgotten.load(Ordering::Relaxed)
    }
}

/// Keeps the gate closed.
pub(crate) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.inner.is_open.send_replace(true);
    }
}

impl Held {
    /// Waits until the request is held up.
    pub(crate) async fn reached(&mut self) {
        within("that the request comes", &mut self.reached).await.unwrap();
    }

    /// Lets it go on, whoever waits for it.
    pub(crate) fn release(self) {
        self.released.send(()).unwrap();
    }
}

/// What is under way arrives though who asked has gone.
async fn pass(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    tokio::spawn(inner.pass(request)).await.unwrap()
}

impl Inner {
    async fn pass(self: Arc<Self>, request: Request) -> Response {
        let wanted = self.wanted.lock().unwrap().take_if(|wanted| wanted.method == request.method());
        let (before, after) = match wanted {
            Some(wanted) if wanted.at == At::Request => (Some(wanted), None),
            wanted => (None, wanted),
        };
        if !*self.is_open.borrow() || !goes_on(before).await {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let (mut head, body) = request.into_parts();
        // Who asks is nobody: the client of this says who it is.
        head.headers.remove(AUTHORIZATION);
        let body = client::Body::from(to_bytes(body, MAX_BODY).await.unwrap());
        let sent = self.client.send(Request::from_parts(head, body)).await;
        let goes_on = goes_on(after).await;
        match sent {
            Ok(answer) if goes_on => self.until_closed(answer),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }

    /// The answer, which ends when the way is closed.
    fn until_closed(self: Arc<Self>, answer: Response<client::Body>) -> Response {
        let mut is_open = self.is_open.subscribe();
        let closed = async move { drop(is_open.wait_for(|is_open| !is_open).await) };
        let (mut head, body) = answer.into_parts();
        head.headers.remove(TRANSFER_ENCODING);
        let pieces = body.into_data_stream().inspect_ok(move |piece| {
            if piece.windows(FORGOTTEN.len()).any(|part| part == FORGOTTEN) {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
        });
        Response::from_parts(head, Body::from_stream(pieces.take_until(closed)))
    }
}

/// Holds up what is to be; whether it goes on.
async fn goes_on(wanted: Option<Wanted>) -> bool {
    let Some(Wanted { reached, released, .. }) = wanted else { return true };
    reached.send(()).is_ok() && released.await.is_ok()
}
