//! Times as Go writes them.

use std::time::Duration;

/// Go's units in nanoseconds, those first that begin like another. Beyond Go, whole days are a unit too.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;
/// Digits after the point that count; a nanosecond is the smallest there is.
const MAX_FRACTION: usize = 18;

/// Reads `100ms`, `5s`, `1m30s`, `1.5s` as Go does, and beyond Go whole days (`30d`). `None` for anything else: negative
/// times and those of more than 292 years, which Go can't hold, included.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return days.checked_mul(DAY).map(Duration::from_secs);
    }
    let (mut rest, mut total) = (text, 0_u128);
    while !rest.is_empty() {
        let (part, after) = part(rest)?;
        (total, rest) = (total.checked_add(part)?, after);
    }
    let nanoseconds = i64::try_from(total).ok().filter(|_| !text.is_empty())?;
    Some(Duration::from_nanos(nanoseconds.unsigned_abs()))
}

/// A number with its unit, in nanoseconds, and what follows it.
fn part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, rest) = UNITS.iter().find_map(|(name, unit)| Some((*unit, rest.strip_prefix(name)?)))?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let fraction = &fraction[..fraction.len().min(MAX_FRACTION)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = fraction.bytes().fold(0, |value, digit| value * 10 + u128::from(digit - b'0'));
    Some((u128::from(whole) * unit + fraction * unit / scale, rest))
}

/// The digits that a text begins with, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
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
        let cases = [
            ("100ms", 100),
            ("5s", 5000),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("1h2m3s", 3_723_000),
            (".5s", 500),
            ("1.s", 1000),
            ("+2s", 2000),
            ("1us", 0),
            ("0.000000001h", 0),
            ("2000\u{b5}s", 2),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text).map(|time| time.as_millis()), Some(milliseconds), "{text}");
        }
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse("0.0000000019s"), Some(Duration::from_nanos(1)));
        assert_eq!(parse("9223372036854775807ns"), Some(Duration::from_nanos(i64::MAX.unsigned_abs())));
        assert_eq!(parse("2d"), Some(Duration::from_secs(2 * DAY)));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "+",
            ".",
            ".s",
            "5",
            "-5s",
            "5 s",
            "5 parsecs",
            "s",
            "-0.1ms",
            "1h-2m",
            "1.2.3s",
            "9223372036854775808ns",
            "99999999999999999999s",
            "99999999999999999999d",
        ] {
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
