//! Following the state of plugins: one watch that outlives its streams. It resumes where it was, and begins anew with a
//! snapshot when the server no longer knows that place.

use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::{
    client::Api,
    failure::Failure,
    retry::{Backoff, ended, is_of_transport, is_passing},
};
use crate::api::v1::{
    Cursor, WatchStateRequest, WatchStateResponse, watch_state_request::Start, watch_state_response::Frame,
};

/// Something that takes the frames of a watch.
pub(super) trait Sink {
    /// Takes a frame, in order, each once.
    ///
    /// # Errors
    /// It can't go on.
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure>;

    /// The place where the watch was is no longer known: a snapshot follows, from which changes are to be found.
    fn lost(&mut self, why: &Status);

    /// The stream broke and is opened again.
    fn broken(&mut self, why: &Status);
}

/// Watches until `stop`, and resumes by itself.
///
/// # Errors
/// The server refuses the watch, or the sink can't go on.
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
    resumes: Option<Cursor>,
    /// Was any stream opened?
    has_begun: bool,
}

impl Place {
    fn request(&self) -> WatchStateRequest {
        match &self.resumes {
            Some(cursor) => WatchStateRequest { start: Some(Start::After(cursor.clone())), ..self.request.clone() },
            None => self.request.clone(),
        }
    }

    fn forget(&mut self) {
        self.resumes = None;
        self.request.start = None;
    }

    /// A cursor counts once the snapshot is complete: the frames of a part of one can't be resumed from.
    fn advance(&mut self, response: &WatchStateResponse) {
        let is_snapshot = self.resumes.is_none() && self.request.start.is_none();
        let is_whole = match response.frame {
            None | Some(Frame::Snapshot(_)) => false,
            Some(Frame::Opened(_)) => !is_snapshot,
            Some(Frame::SnapshotEnd(_) | Frame::Events(_) | Frame::Heartbeat(_)) => true,
        };
        if let (true, Some(cursor)) = (is_whole, &response.cursor) {
            self.resumes = Some(cursor.clone());
        }
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
        let whole = frame.clone();
        sink.frame(frame)?;
        place.advance(&whole);
    }
    Ok(ended())
}
