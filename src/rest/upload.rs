//! Archives on their way from a request's body to the service, in chunks.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use futures_util::{
    Stream, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use tokio::task::JoinHandle;
use tonic::{Response, Status};
use tracing::Instrument;

use super::{App, api::Api, body, cut::Cut, error::Problem};

/// The media type of an archive.
pub(super) const ZIP: &str = "application/zip";

/// What browsers call a zip file: those on Windows ask its registry, which has a name of before there was one.
const ZIPS: [&str; 3] = [ZIP, "application/x-zip-compressed", "application/x-zip"];

/// Largest chunk sent to the service, in bytes.
const CHUNK: usize = 256 * 1024;

/// An archive of which the first bytes have arrived.
pub(super) struct Upload {
    archive: Archive,
    cut: Cut,
}

impl FromRequest<App> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let declared = body::declared_length(&parts.headers, app.options.max_body)?;
        let cut = Cut::default();
        let mut archive = Archive::new(body, declared, app.options.max_body, cut.clone());
        if !archive.fill().await {
            return Err(cut.reason().unwrap_or_else(Problem::empty_body));
        }
        require_zip(&parts.headers)?;
        Ok(Self { archive, cut })
    }
}

fn require_zip(headers: &HeaderMap) -> Result<(), Problem> {
    let is_zip = body::media_type(headers).is_some_and(|media| ZIPS.contains(&media.as_str()));
    if is_zip { Ok(()) } else { Err(Problem::unsupported_media_type(ZIP)) }
}

impl Upload {
    /// A client-streaming call of the header and the archive, and what will say whether the archive was cut short.
    pub(super) fn into_request<M: Send + 'static>(
        self,
        api: &Api,
        header: M,
        chunk: fn(Bytes) -> M,
    ) -> (tonic::Request<Messages<M>>, Cut) {
        let messages = stream::once(ready(header)).chain(self.archive.chunks().map(chunk));
        let mut request = api.request(Messages(messages.boxed()));
        request.extensions_mut().insert(self.cut.clone());
        (request, self.cut)
    }
}

/// The messages of an upload. A type with a name, because the compiler loses the lifetime of a boxed stream in a task.
pub(super) struct Messages<M>(BoxStream<'static, M>);

impl<M> Stream for Messages<M> {
    type Item = M;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Begins the call of an upload in a task of its own: when the client goes away, that task sees the body fail and passes
/// this on, whereas a call that is dropped might look finished.
pub(super) fn begin<R: Send + 'static>(
    call: impl Future<Output = Result<Response<R>, Status>> + Send + 'static,
) -> Call<R> {
    tokio::spawn(call.in_current_span())
}

/// Waits for the answer to an upload.
///
/// # Errors
/// What cut the archive short, else what the service answered.
pub(super) async fn outcome<R>(call: Call<R>, cut: &Cut) -> Result<R, Problem> {
    let answer = call.await;
    match cut.reason() {
        Some(problem) => Err(problem),
        None => Ok(answer.map_err(|_| Problem::internal())??.into_inner()),
    }
}

/// A call in a task of its own.
pub(super) type Call<R> = JoinHandle<Result<Response<R>, Status>>;

/// The bytes of a request's body, watched: they may not be too many, nor fewer than declared.
struct Archive {
    body: BodyDataStream,
    pending: Bytes,
    received: usize,
    declared: Option<usize>,
    limit: usize,
    cut: Cut,
}

impl Archive {
    fn new(body: Body, declared: Option<usize>, limit: usize, cut: Cut) -> Self {
        Self { body: body.into_data_stream(), pending: Bytes::new(), received: 0, declared, limit, cut }
    }

    fn chunks(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut archive| async move {
            let has_more = archive.fill().await;
            let length = archive.pending.len().min(CHUNK);
            has_more.then(|| (archive.pending.split_to(length), archive))
        })
    }

    /// Waits until there are pending bytes; `false` at the end, and when the archive was cut short.
    async fn fill(&mut self) -> bool {
        while self.pending.is_empty() {
            match body::next(&mut self.body).await {
                Ok(Some(bytes)) => self.take(bytes),
                Ok(None) if self.is_short() => self.cut.cut(Problem::broken_body()),
                Ok(None) => return false,
                Err(problem) => self.cut.cut(problem),
            }
            if self.cut.reason().is_some() {
                return false;
            }
        }
        true
    }

    fn take(&mut self, bytes: Bytes) {
        self.received = self.received.saturating_add(bytes.len());
        if self.received > self.limit {
            self.cut.cut(Problem::too_large(self.limit));
        } else {
            self.pending = bytes;
        }
    }

    fn is_short(&self) -> bool {
        self.declared.is_some_and(|declared| self.received < declared)
    }
}
