//! The body of an answer that the leader gives: passed on as it comes, and ended in gRPC's way when the connection to the leader
//! ends before it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Bytes, HttpBody},
    http::HeaderMap,
};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::connections::broken;
use crate::domain::Error;

/// A body on its way. Dropping it gives the call up, at the leader too.
pub(super) struct Relayed {
    /// None once it has broken.
    body: Option<Incoming>,
    /// Of its connection.
    _place: OwnedSemaphorePermit,
}

impl Relayed {
    pub(super) fn new(body: Incoming, place: OwnedSemaphorePermit) -> Self {
        Self { body: Some(body), _place: place }
    }
}

impl HttpBody for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "an answer of the leader broke off");
                self.body = None;
                Poll::Ready(Some(Ok(Frame::trailers(trailers(broken())))))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // What is announced may not come.
        SizeHint::default()
    }
}

/// How a stream of messages ends with this error.
fn trailers(error: Error) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Without one, gRPC's clients say that the stream broke, which is true too.
    let _ = Status::from(error).add_header(&mut trailers);
    trailers
}
