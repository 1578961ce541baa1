//! How long a call may take, and how long it waits.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, codegen::http::HeaderMap};

use super::convert;
use crate::{
    domain::{Error, Reason, Result},
    supervisor::{MAX_WAIT, Wait},
};

/// The header in which a client says how long its call may take.
const TIMEOUT: &str = "grpc-timeout";

/// When a call's time is over, if its client said so. In the extensions of every request that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// The deadline of a call that comes now with these headers.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: its timeout can't be read.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(TIMEOUT) else { return Ok(Self::default()) };
        let timeout = value.to_str().ok().and_then(timeout).ok_or_else(|| {
            let expected = "one to eight digits and H, M, S, m, u or n are expected, like 500m";
            Error::field(TIMEOUT, format!("{value:?} is no length of time: {expected}"))
        })?;
        Ok(Self(Instant::now().checked_add(timeout)))
    }

    /// The deadline of a call.
    pub(super) fn of_call<T>(request: &Request<T>) -> Self {
        request.extensions().get().copied().unwrap_or_default()
    }

    /// When the call's time is over.
    pub(super) fn end(self) -> Option<Instant> {
        self.0
    }

    /// This long, or what is left for the call if that is less.
    pub(super) fn bound(self, time: Duration) -> Duration {
        self.0.map_or(time, |end| end.saturating_duration_since(Instant::now()).min(time))
    }
}

/// A timeout as gRPC writes it.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let amount: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3_600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// A call's time is over before it could be answered.
pub(super) fn out_of_time() -> Error {
    Error::new(Reason::DeadlineExceeded, "the time that the call had is over")
}

/// What a request says about waiting: for so long, or else for as long as the call may take, up to five minutes.
pub(super) fn wait(asked: Option<prost_types::Duration>, deadline: Deadline) -> Result<Wait> {
    let asked = asked.map(|asked| convert::duration("wait", asked)).transpose()?;
    match asked {
        Some(Duration::ZERO) => Ok(Wait::No),
        Some(asked) if asked > MAX_WAIT => Err(Error::field("wait", "must be at most 5 minutes")),
        asked => Ok(Wait::UpTo(deadline.bound(asked.unwrap_or(MAX_WAIT)))),
    }
}

#[cfg(test)]
mod tests;
