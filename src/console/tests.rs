//! Pages over the service in memory of `rest`, which answers as it is told.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use tower::ServiceExt;

use super::router;
use crate::rest::{
    Options,
    tests::{app, fake::Fake},
};

/// The console and the service behind it.
pub(super) struct Console {
    router: Router,
    pub(super) fake: Arc<Fake>,
}

/// A response that has been read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Console {
    pub(super) fn new() -> Self {
        let fake = Arc::new(Fake::new());
        let (app, _) = app(&fake, Options::default());
        Self { router: router(app), fake }
    }

    /// A page as the holder of a token sees it: `admin` or `viewer`.
    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(request(token, "GET", path).body(Body::empty()).unwrap()).await
    }

    /// What a form is answered with that has these fields.
    pub(super) async fn post(&self, token: &str, path: &str, fields: &str) -> Answer {
        let request = request(token, "POST", path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(fields.to_owned())).unwrap()).await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

pub(super) fn request(token: &str, method: &str, path: &str) -> axum::http::request::Builder {
    let cookie = format!("plugd-session={token}");
    let own = "https://plugd.example";
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "plugd.example")
        .header("origin", own)
        .header("cookie", cookie)
}
