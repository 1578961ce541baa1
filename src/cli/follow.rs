//! Streams that outlive their connection: opened anew where they were when they break. And the one of plugins' states.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status, Streaming};

use super::{client::Api, failure::Failure};
use crate::api::v1::{
    Plugin, WatchStateRequest, WatchStateResponse, watch_state_request::Start, watch_state_response::Frame,
};

/// A stream of messages that can be opened where it was.
pub(super) trait Resumable {
    type Message: Send;

    /// Opens it after what was taken last.
    fn open(&mut self, api: &Api) -> impl Future<Output = Result<Response<Streaming<Self::Message>>, Status>> + Send;

    /// Takes a message, in order, each once. True if it brings something new. An error ends the stream.
    fn take(&mut self, message: Self::Message) -> Result<bool, Failure>;

    /// Says why it broke. False if it is not to be opened anew.
    fn broken(&mut self, why: &Status) -> bool;

    /// Whether it has come to an end when the server ends it.
    fn is_finite(&self) -> bool {
        false
    }
}

/// Reads a stream until its end or `stop`.
pub(super) async fn resume(
    api: &Api,
    stream: &mut (impl Resumable + Send),
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let (mut backoff, mut has_begun) = (FIRST, false);
    loop {
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            end = read(api, stream, &mut backoff, &mut has_begun) => end?,
        };
        let broken = match end {
            None if stream.is_finite() => return Ok(()),
            None => Status::unavailable("the stream ended"),
            Some(status) => status,
        };
        // What answers there may be no plugd.
        if !has_begun && is_of_transport(&broken) || !stream.broken(&broken) {
            return Err(broken.into());
        }
        if timeout(backoff, stop.cancelled()).await.is_ok() {
            return Ok(());
        }
        backoff = (backoff * 2).min(LONGEST);
    }
}

/// One connection's part of a stream: the error it ended with, if any.
async fn read(
    api: &Api,
    stream: &mut impl Resumable,
    backoff: &mut Duration,
    has_begun: &mut bool,
) -> Result<Option<Status>, Failure> {
    let mut messages = match stream.open(api).await {
        Ok(opened) => opened.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    *has_begun = true;
    loop {
        let message = match messages.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        };
        if stream.take(message)? {
            *backoff = FIRST;
        }
    }
}

/// How long a stream that broke is left alone: this, doubled each time up to the longest.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Whether a stream that ended so can be resumed: UNAVAILABLE, a call on a channel that drains (CANCELLED), and whatever
/// the connection itself broke with.
pub(super) fn is_passing(status: &Status) -> bool {
    is_of_transport(status) || matches!(status.code(), Code::Unavailable | Code::Cancelled)
}

/// Whether this is no answer of a server, but how the connection broke.
fn is_of_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// What takes the frames of a watch.
pub(super) trait Sink: Send {
    /// Takes a frame, in order, each once. An error ends the watch.
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure>;

    /// The stream broke, or its place is no longer known and a snapshot follows from which changes are to be found.
    fn broken(&mut self, _remark: &str) {}
}

/// Takes each plugin as it is then, however that is known.
impl<F: FnMut(Plugin) + Send> Sink for F {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        match frame.frame {
            Some(Frame::Snapshot(chunk)) => chunk.plugins.into_iter().for_each(self),
            Some(Frame::Events(batch)) => batch.events.into_iter().filter_map(|event| event.plugin).for_each(self),
            _ => {}
        }
        Ok(())
    }
}

/// A watch: it begins anew with a snapshot when the server no longer knows its place.
struct Watch<'a, S> {
    request: WatchStateRequest,
    has_place: bool,
    sink: &'a mut S,
}

/// Watches the state of plugins until `stop`.
pub(super) async fn follow(
    api: &Api,
    request: WatchStateRequest,
    sink: &mut impl Sink,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    resume(api, &mut Watch { request, has_place: false, sink }, stop).await
}

impl<S: Sink> Resumable for Watch<'_, S> {
    type Message = WatchStateResponse;

    async fn open(&mut self, api: &Api) -> Result<Response<Streaming<WatchStateResponse>>, Status> {
        api.streams().watch_state(self.request.clone()).await
    }

    fn take(&mut self, frame: WatchStateResponse) -> Result<bool, Failure> {
        let (is_new, cursor) = (!matches!(frame.frame, Some(Frame::Opened(_))), frame.cursor.clone());
        self.sink.frame(frame)?;
        if let Some(cursor) = cursor {
            (self.request.start, self.has_place) = (Some(Start::Cursor(cursor)), true);
        }
        Ok(is_new)
    }

    fn broken(&mut self, why: &Status) -> bool {
        let is_lost = why.code() == Code::OutOfRange && self.has_place;
        if is_lost {
            (self.request.start, self.has_place) = (None, false);
            self.sink.broken(&format!("changes were missed ({}); going on from a snapshot", why.message()));
        } else if is_passing(why) {
            self.sink.broken(&format!("the watch broke off ({}); resuming", why.message()));
        }
        is_lost || is_passing(why)
    }
}

#[cfg(test)]
mod tests;
