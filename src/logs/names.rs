//! Names of the files in a plugin's log folder (CONTRACT 4).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, fmt::strtime, tz::TimeZone};

/// The file that is written now.
pub(super) const CURRENT: &str = "output.log";

const PREFIX: &str = "output-";
const SUFFIX: &str = ".log";
const FORMAT: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// The name of a file rotated at that time. Lexical order of names is the order of time.
pub(super) fn rotated(at: Timestamp) -> String {
    format!("{PREFIX}{}{SUFFIX}", at.strftime(FORMAT))
}

/// Is this a name that a rotation gives? Others in the folder are the plugin's own and left alone.
pub(super) fn is_rotated(name: &str) -> bool {
    rotated_at(name).is_some_and(|at| rotated(at) == name)
}

/// A name for a file rotated now that comes after that of the newest rotated one, whatever the clock says.
pub(super) fn next(now: Timestamp, newest: Option<&str>) -> String {
    let earliest = newest.and_then(rotated_at).and_then(|at| at.checked_add(SignedDuration::from_millis(1)).ok());
    rotated(earliest.map_or(now, |earliest| earliest.max(now)))
}

/// Files with a name before this one are older than `max_age`.
pub(super) fn oldest_kept(now: Timestamp, max_age: Duration) -> String {
    let max_age = SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX);
    rotated(now.checked_sub(max_age).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn rotated_at(name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let time = strtime::parse(FORMAT, text).ok()?.to_datetime().ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "output-2026-01-02T03-04-05.000.log";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_rotated_name_has_the_time_with_three_digits_of_milliseconds() {
        assert_eq!(rotated(at("2026-01-02T03:04:05Z")), NAME);
        assert_eq!(rotated(at("2026-01-02T03:04:05.0679Z")), "output-2026-01-02T03-04-05.067.log");
    }

    #[test]
    fn only_names_that_a_rotation_gives_are_taken_for_rotated() {
        assert!(is_rotated(NAME));
        for name in
            ["output.log", "output-debug.log", "output-2026-01-02T03-04-05.log", "x-2026-01-02T03-04-05.000.log"]
        {
            assert!(!is_rotated(name), "{name}");
        }
    }

    #[test]
    fn two_rotations_in_one_millisecond_and_a_clock_set_back_give_later_names() {
        let second = "output-2026-01-02T03-04-05.001.log";
        assert_eq!(next(at("2026-01-02T03:04:05Z"), Some(NAME)), second);
        assert_eq!(next(at("1999-01-02T03:04:05Z"), Some(NAME)), second);
        assert_eq!(next(at("2026-01-02T03:04:06Z"), Some(NAME)), "output-2026-01-02T03-04-06.000.log");
    }

    #[test]
    fn age_is_read_from_the_name() {
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(oldest_kept(at("2026-01-03T03:04:05Z"), day), NAME);
        assert_eq!(oldest_kept(at("2026-01-03T03:04:05Z"), Duration::MAX), "output-1970-01-01T00-00-00.000.log");
    }
}
