//! Archives on their way from a request's body to the service, in chunks.
//!
//! A gRPC client can end a stream of messages only cleanly, which would make half an archive look like a whole one. And to
//! drop the call is no better: the service's side of tonic reads a cancelled request as its end. So when the archive fails,
//! the body of the call is made to fail, which is an error to a service in memory and resets the stream over a network.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http,
};
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    future::ready as at_once,
    stream::{self, BoxStream},
};
use http_body_util::{BodyStream, StreamBody};
use tonic::{Response, Status, body::Body};
use tower::BoxError;
use tracing::Instrument;

use super::{App, body, error::Problem, request::Api};

/// The media type of an archive.
pub(super) const ZIP: &str = "application/zip";

/// What browsers call a zip file: those on Windows ask its registry, which has a name of before there was one.
const ZIPS: [&str; 3] = [ZIP, "application/x-zip-compressed", "application/x-zip"];

/// Largest chunk sent to the service, in bytes.
const CHUNK: usize = 256 * 1024;

/// Why an archive failed on its way, if it did. As an extension of a call it makes the end of the call's body an error.
#[derive(Clone, Default)]
struct Failure(Arc<OnceLock<Problem>>);

/// An archive of which the first bytes have arrived.
pub(crate) struct Upload {
    body: BoxStream<'static, Result<Bytes, BoxError>>,
    limit: usize,
    /// Bytes that its headers declare and that have not come.
    missing: usize,
    pending: Bytes,
    failure: Failure,
}

impl FromRequest<App> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let limit = app.options.max_body;
        let body = body::bounded(&parts.headers, body, limit)?.into_data_stream();
        let missing = body::declared_length(&parts.headers).unwrap_or_default();
        let upload = Self::begin(body, limit, missing).await?;
        let is_zip = body::media_type(&parts.headers).is_some_and(|media| ZIPS.contains(&media.as_str()));
        if is_zip { Ok(upload) } else { Err(body::wrong_type(ZIP)) }
    }
}

impl Upload {
    /// The archive whose bytes come so, at least as many as are missing. When there are more than the limit, the stream fails.
    ///
    /// # Errors
    /// There are none.
    pub(crate) async fn begin<E: Into<BoxError> + 'static>(
        bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        limit: usize,
        missing: usize,
    ) -> Result<Self, Problem> {
        let body = bytes.map_err(Into::into).boxed();
        let mut upload = Self { body, limit, missing, pending: Bytes::new(), failure: Failure::default() };
        if upload.fill().await {
            return Ok(upload);
        }
        Err(upload.failure.0.get().cloned().unwrap_or_else(body::empty))
    }

    /// Sends the header and the archive in one call, and waits for its answer. The call is made in a task of its own: when
    /// the client goes away, that task sees the body fail and passes this on, whereas a call that is dropped might look
    /// finished.
    ///
    /// # Errors
    /// What failed of the archive, else what the service answered.
    pub(crate) async fn send<M: Send + 'static, R: Send + 'static, F>(
        self,
        api: &Api,
        (header, chunk): (M, fn(Bytes) -> M),
        call: impl FnOnce(tonic::Request<Messages<M>>) -> F,
    ) -> Result<R, Problem>
    where
        F: Future<Output = Result<Response<R>, Status>> + Send + 'static,
    {
        let failure = self.failure.clone();
        let messages = stream::once(at_once(header)).chain(self.chunks().map(chunk));
        let mut request = api.request(Messages(messages.boxed()));
        request.extensions_mut().insert(failure.clone());
        let answer = tokio::spawn(call(request).in_current_span()).await;
        match failure.0.get() {
            Some(problem) => Err(problem.clone()),
            None => Ok(answer.map_err(|_| Problem::internal())??.into_inner()),
        }
    }

    fn chunks(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut upload| async move {
            let has_more = upload.fill().await;
            let length = upload.pending.len().min(CHUNK);
            has_more.then(|| (upload.pending.split_to(length), upload))
        })
    }

    /// Waits until there are pending bytes; `false` at the end, and when the archive failed.
    async fn fill(&mut self) -> bool {
        while self.pending.is_empty() {
            let fault = match self.body.next().await {
                Some(Ok(bytes)) => {
                    self.missing = self.missing.saturating_sub(bytes.len());
                    self.pending = bytes;
                    continue;
                }
                Some(Err(error)) => body::fault(&*error, self.limit),
                None if self.missing > 0 => body::broken(),
                None => return false,
            };
            self.failure.0.get_or_init(|| fault);
            return false;
        }
        true
    }
}

/// The messages of an upload. A type with a name, because the compiler loses the lifetime of a boxed stream in a task.
pub(crate) struct Messages<M>(BoxStream<'static, M>);

impl<M> Stream for Messages<M> {
    type Item = M;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Makes the body of a call fail when the archive that it carries failed.
pub(super) fn fail_with_archive(call: http::Request<Body>) -> http::Request<Body> {
    let Some(failure) = call.extensions().get::<Failure>().cloned() else { return call };
    // It is known at the end of the body.
    let end = stream::iter([failure]).filter(|failure| at_once(failure.0.get().is_some()));
    let end = end.map(|_| Err(Status::data_loss("the upload was cut short")));
    call.map(|body| Body::new(StreamBody::new(BodyStream::new(body).chain(end))))
}
