//! Cutting an upload short so that the service sees an error, never an end.
//!
//! A gRPC client can end a stream of messages only cleanly, which would make half an archive look like a whole one. And
//! to drop the call is no better: the service's side of tonic reads a cancelled request as its end. So the shim makes
//! the request's body fail, which is an error to a service in memory and resets the stream over a network.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Bytes, HttpBody},
    http::Request,
};
use hyper::body::Frame;
use tonic::{Status, body::Body};

use super::error::Problem;

/// Why an upload was cut short, if it was. As an extension of a request it makes the end of the request's body an error
/// once it is set.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<OnceLock<Problem>>);

impl Cut {
    /// Cuts the upload short; the first reason stays.
    pub(super) fn cut(&self, problem: Problem) {
        self.0.get_or_init(|| problem);
    }

    /// Why the upload was cut short.
    pub(super) fn reason(&self) -> Option<Problem> {
        self.0.get().cloned()
    }
}

/// Makes the body of a request that carries a [`Cut`] obey it.
pub(super) fn make_cuttable(request: Request<Body>) -> Request<Body> {
    match request.extensions().get::<Cut>().cloned() {
        Some(cut) => request.map(|body| Body::new(Cuttable { body, cut, is_over: false })),
        None => request,
    }
}

struct Cuttable {
    body: Body,
    cut: Cut,
    is_over: bool,
}

impl HttpBody for Cuttable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.is_over = frame.is_none();
        match frame {
            None if this.cut.reason().is_some() => {
                Poll::Ready(Some(Err(Status::data_loss("the upload was cut short"))))
            }
            frame => Poll::Ready(frame),
        }
    }
}
