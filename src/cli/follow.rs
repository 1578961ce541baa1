//! Following the state of plugins: one watch that outlives its streams. It resumes where it was, and begins anew with a
//! snapshot when the server no longer knows that place.

use std::time::Duration;

use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::{client::Api, failure::Failure};
use crate::api::v1::{
    Plugin, WatchStateRequest, WatchStateResponse, watch_state_request::Start, watch_state_response::Frame,
};

/// Something that takes the frames of a watch.
pub(super) trait Sink {
    /// Takes a frame, in order, each once. An error ends the watch.
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure>;

    /// The place where the watch was is no longer known: a snapshot follows, from which changes are to be found.
    fn lost(&mut self, _why: &Status) {}

    /// The stream broke and is opened again.
    fn broken(&mut self, _why: &Status) {}
}

/// Takes each plugin as it is then, however that is known.
impl<F: FnMut(Plugin)> Sink for F {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        match frame.frame {
            Some(Frame::Snapshot(chunk)) => chunk.plugins.into_iter().for_each(self),
            Some(Frame::Events(batch)) => batch.events.into_iter().filter_map(|event| event.plugin).for_each(self),
            _ => {}
        }
        Ok(())
    }
}

/// Watches until `stop`, and resumes by itself.
pub(super) async fn follow(
    api: &Api,
    request: WatchStateRequest,
    sink: &mut impl Sink,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut place = Place { request, resumes: None, has_begun: false };
    let mut backoff = Backoff::default();
    loop {
        let broken = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            broken = stream(api, &mut place, sink, &mut backoff) => broken?,
        };
        if !place.has_begun && is_of_transport(&broken) {
            return Err(broken.into());
        }
        if is_passing(&broken) {
            sink.broken(&broken);
        } else if broken.code() == Code::OutOfRange && place.resumes.is_some() {
            place.forget();
            sink.lost(&broken);
        } else {
            return Err(broken.into());
        }
        if !backoff.wait(stop).await {
            return Ok(());
        }
    }
}

/// Where the watch is.
struct Place {
    request: WatchStateRequest,
    /// The cursor of the last frame after which nothing is missing.
    resumes: Option<String>,
    /// Was any stream opened?
    has_begun: bool,
}

impl Place {
    fn request(&self) -> WatchStateRequest {
        match &self.resumes {
            Some(cursor) => WatchStateRequest { start: Some(Start::Cursor(cursor.clone())), ..self.request.clone() },
            None => self.request.clone(),
        }
    }

    fn forget(&mut self) {
        self.resumes = None;
        self.request.start = None;
    }

    /// The cursor of a frame if nothing is missing after it: the frames of a part of a snapshot can't be resumed from.
    fn cursor(&self, response: &WatchStateResponse) -> Option<String> {
        let is_snapshot = self.resumes.is_none() && self.request.start.is_none();
        let is_whole = match response.frame {
            None | Some(Frame::Snapshot(_)) => false,
            Some(Frame::Opened(_)) => !is_snapshot,
            Some(Frame::SnapshotEnd(_) | Frame::Events(_) | Frame::Heartbeat(_)) => true,
        };
        response.cursor.clone().filter(|_| is_whole)
    }
}

/// One stream to its end: how it broke.
async fn stream(api: &Api, place: &mut Place, sink: &mut impl Sink, backoff: &mut Backoff) -> Result<Status, Failure> {
    let opened = api.streams().watch_state(place.request()).await;
    let mut frames: Streaming<WatchStateResponse> = match opened {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(status),
    };
    place.has_begun = true;
    while let Some(frame) = frames.next().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(status) => return Ok(status),
        };
        if !matches!(frame.frame, Some(Frame::Opened(_))) {
            backoff.reset();
        }
        let cursor = place.cursor(&frame);
        sink.frame(frame)?;
        place.resumes = cursor.or(place.resumes.take());
    }
    Ok(ended())
}

/// The first delay.
const FIRST: Duration = Duration::from_millis(250);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(5);

/// Delays that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// Starts anew: something worked.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The next delay.
    pub(super) fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(LONGEST);
        delay
    }

    /// Waits for the next delay. False if `stop` came first.
    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        timeout(self.next(), stop.cancelled()).await.is_err()
    }
}

/// Can a stream that ended so be resumed? UNAVAILABLE, a call on a channel that drains (CANCELLED), and whatever the
/// connection itself broke with.
pub(super) fn is_passing(status: &Status) -> bool {
    is_of_transport(status) || matches!(status.code(), Code::Unavailable | Code::Cancelled)
}

/// Is this no answer of a server, but how the connection broke? A stream that begins so is not tried again: what answers
/// there may be no plugd.
pub(super) fn is_of_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// How a stream that ended without an error is taken: as one to be resumed.
pub(super) fn ended() -> Status {
    Status::unavailable("the stream ended")
}

#[cfg(test)]
mod tests;
