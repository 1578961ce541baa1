//! Streams that outlive their connection: when they break they are opened anew where they were.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status, Streaming};

use super::{client::Api, failure::Failure};
use crate::api::v1::{
    Plugin, PluginEvent, WatchStateRequest, WatchStateResponse, watch_state_request::Start, watch_state_response::Frame,
};

/// A stream of messages that can be opened where it was.
pub(super) trait Resumable {
    type Message: Send;

    /// Opens the stream after the message that was taken last.
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
        // A server that never answered may not be a plugd.
        if !has_begun && is_of_transport(&broken) || !stream.broken(&broken) {
            return Err(broken.into());
        }
        if timeout(backoff, stop.cancelled()).await.is_ok() {
            return Ok(());
        }
        backoff = (backoff * 2).min(LONGEST);
    }
}

/// Reads one connection's part of a stream; returns the error that it ended with, if any.
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

/// Who is told the states of plugins.
pub(super) trait Watcher {
    /// Takes all plugins as they are.
    fn snapshot(&mut self, plugins: BTreeMap<String, Plugin>, cursor: &str) -> Result<(), Failure>;

    /// Takes a change.
    fn event(&mut self, event: PluginEvent) -> Result<(), Failure>;

    /// Takes note that the stream works.
    fn live(&mut self) {}

    /// Takes note that the stream broke, and that it is opened anew: where it was or, if the server no longer knows that place,
    /// with a snapshot.
    fn broken(&mut self, why: &Status, is_lost: bool);
}

/// The stream of the states of plugins.
pub(super) struct States<W> {
    request: WatchStateRequest,
    /// It has told a place from which it can be resumed.
    has_place: bool,
    /// The plugins of the snapshot that is coming in.
    snapshot: BTreeMap<String, Plugin>,
    watcher: W,
}

impl<W> States<W> {
    pub(super) fn new(request: WatchStateRequest, watcher: W) -> Self {
        Self { request, has_place: false, snapshot: BTreeMap::new(), watcher }
    }
}

impl<W: Watcher + Send> Resumable for States<W> {
    type Message = WatchStateResponse;

    async fn open(&mut self, api: &Api) -> Result<Response<Streaming<WatchStateResponse>>, Status> {
        api.streams().watch_state(self.request.clone()).await
    }

    fn take(&mut self, message: WatchStateResponse) -> Result<bool, Failure> {
        let cursor = message.cursor.as_deref().unwrap_or_default();
        let is_new = !matches!(message.frame, Some(Frame::Opened(_)));
        match message.frame {
            Some(Frame::Snapshot(chunk)) => {
                self.snapshot.extend(chunk.plugins.into_iter().map(|plugin| (plugin.id.clone(), plugin)));
            }
            Some(Frame::SnapshotEnd(_)) => self.watcher.snapshot(std::mem::take(&mut self.snapshot), cursor)?,
            Some(Frame::Events(batch)) => batch.read()?.into_iter().try_for_each(|event| self.watcher.event(event))?,
            None | Some(Frame::Opened(_) | Frame::Heartbeat(_)) => {}
        }
        self.watcher.live();
        if let Some(cursor) = message.cursor {
            (self.request.start, self.has_place) = (Some(Start::Cursor(cursor)), true);
        }
        Ok(is_new)
    }

    fn broken(&mut self, why: &Status) -> bool {
        let is_lost = why.code() == Code::OutOfRange && self.has_place;
        let goes_on = is_lost || is_passing(why);
        if is_lost {
            (self.request.start, self.has_place) = (None, false);
        }
        if goes_on {
            self.snapshot.clear();
            self.watcher.broken(why, is_lost);
        }
        goes_on
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_tried_again() {
        assert!(is_passing(&Status::unavailable("draining")));
        assert!(is_passing(&Status::cancelled("draining")));
        assert!(is_passing(&Status::from_error(Box::new(std::io::Error::other("reset")))));
        assert!(!is_passing(&Status::permission_denied("no")));
        assert!(!is_passing(&Status::out_of_range("compacted")));
    }
}
