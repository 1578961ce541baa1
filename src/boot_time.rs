//! The clock that also counts while the host is suspended, which the timers of a runtime don't: who was asleep for longer than
//! a lease lasts must know it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long ago the host was booted, the time that it was suspended counted.
pub fn since_boot() -> Duration {
    // The kernel's clocks are never negative.
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}
