//! Times as Go writes them.

use std::time::Duration;

use jiff::SignedDuration;

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Reads `100ms`, `5s`, `1m30s`, `1.5s`, and beyond Go whole days (`30d`). `None` for anything else, negative ones
/// included.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return days.checked_mul(DAY).map(Duration::from_secs);
    }
    Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()
}

/// Writes a time so that [`parse`] reads it again.
pub(super) fn show(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()),
        nanoseconds if nanoseconds % 1_000_000 == 0 => format!("{}ms", time.as_millis()),
        _ => format!("{}ns", time.as_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        let cases =
            [("100ms", 100), ("5s", 5000), ("1m", 60_000), ("1m30s", 90_000), ("1.5s", 1500), ("1h2m3s", 3_723_000)];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse("2d"), Some(Duration::from_secs(2 * DAY)));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in ["", "5", "-5s", "5 parsecs", "s", "-0.1ms", "99999999999999999999d"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_survives_its_text_form() {
        for nanoseconds in [0, 1, 1_000_000, 1_500_000_000, 90_000_000_000] {
            let time = Duration::from_nanos(nanoseconds);
            assert_eq!(parse(&show(time)), Some(time));
        }
    }
}
