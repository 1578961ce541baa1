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

/// When a call's time is over, if its client said so. In the extensions of every request.
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
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Deadline> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT, text.as_bytes().try_into().unwrap());
        Deadline::of(&headers)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_s_deadline_is_read_in_every_unit() {
        let left = |text| of(text).unwrap().bound(Duration::MAX);
        assert_eq!(left("2M"), Duration::from_secs(120));
        assert_eq!(left("1500m"), Duration::from_millis(1_500));
        assert_eq!(left("99999999H"), Duration::from_secs(99_999_999 * 3_600));
        assert_eq!(Deadline::of(&HeaderMap::new()), Ok(Deadline(None)));
    }

    #[test]
    fn a_timeout_that_can_not_be_read_is_refused_with_what_is_expected() {
        for text in ["", "S", "5", "5x", "-1S", "+1S", "1.5S", "123456789S", "5S ", "\u{fffd}"] {
            let error = of(text).unwrap_err();
            assert_eq!(
                (error.reason, error.violations[0].field.as_str()),
                (Reason::InvalidArgument, TIMEOUT),
                "{text}"
            );
            assert!(error.message.contains("H, M, S, m, u or n"), "{}", error.message);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_the_shorter_of_what_is_asked_and_the_call_s_deadline() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let endless = Deadline::default();
        assert_eq!(wait(None, endless), Ok(Wait::UpTo(MAX_WAIT)));
        assert_eq!(wait(seconds(0), endless), Ok(Wait::No), "the commit is enough");
        let deadline = of("2S").unwrap();
        assert_eq!(wait(None, deadline), Ok(Wait::UpTo(Duration::from_secs(2))));
        assert_eq!(wait(seconds(9), deadline), Ok(Wait::UpTo(Duration::from_secs(2))));
        assert_eq!(wait(seconds(1), deadline), Ok(Wait::UpTo(Duration::from_secs(1))));
        for wrong in [-1, 301] {
            assert_eq!(wait(seconds(wrong), endless).unwrap_err().violations[0].field, "wait");
        }
    }

    /// As after an upload.
    #[tokio::test(start_paused = true)]
    async fn the_time_that_a_call_has_taken_is_no_more_of_its_deadline() {
        let deadline = of("60S").unwrap();
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(Deadline::default().bound(MAX_WAIT), MAX_WAIT, "it has none");
        assert_eq!(deadline.bound(MAX_WAIT), Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(deadline.bound(MAX_WAIT), Duration::ZERO);
    }
}
