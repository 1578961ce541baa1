//! When and how soon a broken stream is opened again.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

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
#[must_use]
pub(super) fn is_passing(status: &Status) -> bool {
    is_of_transport(status) || matches!(status.code(), Code::Unavailable | Code::Cancelled)
}

/// Is this no answer of a server, but how the connection broke? A stream that begins so is not tried again: what answers
/// there may be no plugd.
#[must_use]
pub(super) fn is_of_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// How a stream that ended without an error is taken: as one to be resumed.
#[must_use]
pub(super) fn ended() -> Status {
    Status::unavailable("the stream ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_seconds_and_start_anew() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        assert!(is_passing(&Status::unavailable("draining")));
        assert!(is_passing(&Status::cancelled("draining")));
        assert!(is_passing(&Status::from_error(Box::new(std::io::Error::other("reset")))));
        assert!(!is_passing(&Status::permission_denied("no")));
        assert!(!is_passing(&Status::out_of_range("compacted")));
    }
}
