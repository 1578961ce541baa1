//! Whether a connection has a request that is not answered to its end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    open: AtomicUsize,
}

impl Activity {
    /// A request has come. It is open until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Waits until no request was open for this long, and at most for twice as long: requests are many, and none of them
    /// should have to set a timer.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            let is_quiet = self.begun.load(Ordering::Relaxed) == before;
            if is_quiet && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

/// A request that is open.
pub(super) struct Open(Arc<Activity>);

impl Open {
    /// Stays open until this body is sent or given up.
    pub(super) fn until_sent(self, body: Body) -> Watched {
        Watched { body, _open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response, and its request.
pub(super) struct Watched {
    body: Body,
    _open: Open,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
