//! Streams that outlive their connection: when they break they are opened anew where they were.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status, Streaming};

use super::{client::Api, failure::Failure};

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
