//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// The first wait, doubled so many times, and never longer than the longest.
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_maximum_and_never_overflows() {
        let seconds = |times| doubled(Duration::from_secs(1), times, Duration::from_secs(60)).as_secs();
        assert_eq!([seconds(0), seconds(1), seconds(2), seconds(5), seconds(6)], [1, 2, 4, 32, 60]);
        assert_eq!(seconds(u32::MAX), 60);
    }
}
