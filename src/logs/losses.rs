//! Lines that are lost: counted each, said now and then.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The least time between two warnings about one plugin.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The lost lines of one plugin since plugd started.
#[derive(Debug, Default)]
pub(super) struct Losses {
    lines: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl Losses {
    /// How many there are.
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Counts some more.
    pub(super) fn add(&self, lines: u64) {
        self.lines.fetch_add(lines, Relaxed);
    }

    /// Says that lines are lost and why, unless that was said a moment ago.
    pub(super) fn warn(&self, folder: &Path, why: &str) {
        if self.is_due(Instant::now()) {
            tracing::warn!(folder = %folder.display(), lost = self.lines(), why, "lines that a plugin prints are lost");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = warned.is_none_or(|warned| now.duration_since(warned) >= WARN_EVERY);
        if is_due {
            *warned = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_due_now_and_then() {
        let (losses, start) = (Losses::default(), Instant::now());
        let is_due = |seconds| losses.is_due(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 21].map(is_due), [true, false, false, true, false, true]);
    }
}
