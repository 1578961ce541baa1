//! How long a caller waits.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::convert;
use crate::{
    domain::{Error, Result},
    supervisor::{MAX_WAIT, Wait},
};

/// What a request says about waiting; `patience` is what is left of the call's own deadline, which nothing else enforces.
pub(super) fn wait(asked: Option<prost_types::Duration>, patience: Duration) -> Result<Wait> {
    let asked = asked.map(|asked| convert::duration("wait", asked)).transpose()?;
    match asked {
        Some(Duration::ZERO) => Ok(Wait::No),
        Some(asked) if asked > MAX_WAIT => Err(Error::field("wait", "must be at most 5 minutes")),
        asked => Ok(Wait::UpTo(asked.map_or(patience, |asked| asked.min(patience)))),
    }
}

/// As long as the call's deadline allows, up to five minutes.
pub(super) fn patience(metadata: &MetadataMap) -> Duration {
    deadline(metadata).map_or(MAX_WAIT, |deadline| deadline.min(MAX_WAIT))
}

/// The same after the time that a call has taken since then.
pub(super) fn patience_since(began: Instant, metadata: &MetadataMap) -> Duration {
    deadline(metadata).map_or(MAX_WAIT, |deadline| deadline.saturating_sub(began.elapsed()).min(MAX_WAIT))
}

/// The `grpc-timeout` of a call: up to eight digits and a unit.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Option<Duration> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", tonic::metadata::MetadataValue::from_static(text));
        deadline(&metadata)
    }

    #[test]
    fn a_call_s_deadline_is_read_in_every_unit() {
        assert_eq!(of("2M"), Some(Duration::from_secs(120)));
        assert_eq!(of("1500m"), Some(Duration::from_millis(1_500)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for text in ["", "S", "5", "5x", "-1S", "123456789S"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_wait_is_the_shorter_of_what_is_asked_and_the_call_s_deadline() {
        let mut metadata = MetadataMap::new();
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(wait(None, patience(&metadata)), Ok(Wait::UpTo(MAX_WAIT)));
        assert_eq!(wait(seconds(0), patience(&metadata)), Ok(Wait::No), "the commit is enough");
        metadata.insert("grpc-timeout", tonic::metadata::MetadataValue::from_static("2S"));
        assert_eq!(wait(None, patience(&metadata)), Ok(Wait::UpTo(Duration::from_secs(2))));
        assert_eq!(wait(seconds(9), patience(&metadata)), Ok(Wait::UpTo(Duration::from_secs(2))));
        assert_eq!(wait(seconds(1), patience(&metadata)), Ok(Wait::UpTo(Duration::from_secs(1))));
        for wrong in [-1, 301] {
            assert_eq!(wait(seconds(wrong), MAX_WAIT).unwrap_err().violations[0].field, "wait");
        }
    }
    /// As after an upload.
    #[tokio::test(start_paused = true)]
    async fn the_time_that_a_call_has_taken_is_no_more_of_its_deadline() {
        let mut metadata = MetadataMap::new();
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(patience_since(began, &metadata), MAX_WAIT, "it has none");
        metadata.insert("grpc-timeout", tonic::metadata::MetadataValue::from_static("60S"));
        assert_eq!(patience_since(began, &metadata), Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(patience_since(began, &metadata), Duration::ZERO);
    }
}
