//! What a plugin does against the protocol: counted, and told at a rate that no plugin decides.

use std::time::Duration;

use tokio::time::Instant;

/// How long the next report waits after the first one. Twice as long after each, up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between reports of a plugin that goes on.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Longest words that are kept of a fault, in characters.
const MAX_WORDS: usize = 300;

/// Faults since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// How many.
    pub count: u64,
    /// What was wrong the last time, for the plugin's author.
    pub last: String,
}

/// The faults of one connection.
#[derive(Debug)]
pub(super) struct Tally {
    unreported: Option<Faults>,
    total: u64,
    /// Until when nothing is reported.
    quiet_until: Instant,
    pause: Duration,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self { unreported: None, total: 0, quiet_until: now, pause: PAUSE }
    }

    /// Takes note of one.
    pub(super) fn note(&mut self, what: &str) {
        self.total += 1;
        let count = self.unreported.take().map_or(0, |faults| faults.count) + 1;
        self.unreported = Some(Faults { count, last: what.chars().take(MAX_WORDS).collect() });
    }

    /// All so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// When the next report is due; none if there is nothing to report.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.unreported.as_ref().map(|_| self.quiet_until)
    }

    /// The report that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Faults> {
        if now < self.quiet_until {
            return None;
        }
        let faults = self.unreported.take()?;
        // A plugin that has kept still for as long as it would have had to wait is as good as new.
        let has_kept_still = now >= self.quiet_until + self.pause;
        self.pause = if has_kept_still { PAUSE } else { self.pause };
        self.quiet_until = now + self.pause;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Some(faults)
    }

    /// What is left to report at the end.
    pub(super) fn take_rest(&mut self) -> Option<Faults> {
        self.unreported.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_a_flood_ever_more_rarely() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let mut reports = Vec::new();
        // One each tenth of a second for ten minutes.
        for tenth in 0..6000 {
            let now = start + Duration::from_millis(100) * tenth;
            tally.note("x");
            reports.extend(tally.take_due(now).map(|faults| (tenth, faults.count)));
        }
        assert_eq!(reports[..4], [(0, 1), (10, 10), (30, 20), (70, 40)]);
        assert!(reports.len() < 20, "{reports:?}");
        let told: u64 = reports.iter().map(|(_, count)| count).sum();
        assert_eq!(told + tally.take_rest().unwrap().count, 6000, "none is lost");
        assert_eq!(tally.total(), 6000);
    }

    #[test]
    fn a_plugin_that_kept_still_is_heard_at_once_again() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        for seconds in [0, 1, 3, 7] {
            tally.note("x");
            assert!(tally.take_due(start + Duration::from_secs(seconds)).is_some(), "{seconds}");
        }
        for seconds in [1000, 1001] {
            tally.note("x");
            assert!(tally.take_due(start + Duration::from_secs(seconds)).is_some(), "{seconds}");
        }
    }

    #[test]
    fn there_is_nothing_to_wake_for_without_a_fault_and_words_are_bounded() {
        let mut tally = Tally::new(Instant::now());
        assert_eq!((tally.wake(), tally.take_due(Instant::now())), (None, None));
        tally.note(&"é".repeat(1000));
        assert!(tally.wake().is_some());
        assert_eq!(tally.take_rest().unwrap().last.chars().count(), MAX_WORDS);
    }
}
