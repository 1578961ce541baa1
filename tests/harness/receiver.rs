//! A receiver of webhooks, in the test's own process.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::wait::eventually;

/// What was posted, once.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Posted {
    /// The event.
    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    answer: Arc<Mutex<Option<StatusCode>>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// One that takes everything, at this address.
    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (posted, answer) = (Arc::<Mutex<Vec<Posted>>>::default(), Arc::new(Mutex::new(Some(StatusCode::OK))));
        let (kept, said) = (posted.clone(), answer.clone());
        let take = move |headers: HeaderMap, body: Bytes| {
            let (kept, said) = (kept.clone(), said.clone());
            async move {
                let body = String::from_utf8(body.to_vec()).unwrap();
                let answer = *said.lock().unwrap();
                kept.lock().unwrap().push(Posted { headers, body });
                match answer {
                    Some(status) => (status, [("location", "/elsewhere")]),
                    None => std::future::pending().await,
                }
            }
        };
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
        Self { address, posted, answer, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?key=secret", self.address)
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, status: StatusCode) {
        *self.answer.lock().unwrap() = Some(status);
    }

    /// Never answers from now on.
    pub(crate) fn fall_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }

    /// Everything that was posted so far.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// Waits until so much was posted.
    pub(crate) async fn until(&self, count: usize) -> Vec<Posted> {
        eventually("enough is posted", || Some(self.posted()).filter(|posted| posted.len() >= count)).await
    }

    /// Listens no longer; nobody is answered any more.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        self.serving.abort();
        // It lets go of its address only once it has ended.
        let _ = (&mut self.serving).await;
        self.address
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
