//! What plugd notices of a plugin on its connection: that it keeps silent, and that it breaks the protocol. The time comes from
//! outside.

use std::{sync::LazyLock, time::Duration};

use tokio::time::Instant;

use crate::domain::{RunEvent, text::shorten};

/// Times in each interval at which connections wake together.
const SHARED_TIMES: u32 = 64;
/// Where they are counted from.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Ping,
    /// Report that the last one was missed.
    Miss,
    Wait,
}

/// One connection's signs of life.
#[derive(Debug)]
pub(super) struct Liveness {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    /// Until when a ping that is under way may be answered.
    deadline: Option<Instant>,
    has_missed: bool,
    /// Until when further misses are not counted.
    excused_until: Option<Instant>,
}

impl Liveness {
    /// Pings every `interval`, the first one an interval from now; each may be answered within `timeout`.
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        let next_ping = now + interval;
        Self { interval, timeout, next_ping, deadline: None, has_missed: false, excused_until: None }
    }

    /// When the next step is due.
    pub(super) fn wake(&self) -> Instant {
        self.deadline.unwrap_or(self.next_ping)
    }

    /// The same, moved to the next of the times that all connections with this interval share, a 64th of it later at the most:
    /// waking once for several costs less than once for each.
    pub(super) fn wake_with_others(&self) -> Instant {
        let step = self.interval / SHARED_TIMES;
        let since = self.wake().saturating_duration_since(*BEGINNING);
        let late = since.as_nanos().checked_rem(step.as_nanos()).filter(|late| *late > 0);
        let wait = late.map(|late| step - Duration::from_nanos(u64::try_from(late).unwrap_or_default()));
        self.wake() + wait.unwrap_or_default()
    }

    /// The step that is due. `busy_until` is when the last of the calls in flight must have been answered.
    pub(super) fn tick(&mut self, now: Instant, busy_until: Option<Instant>) -> Step {
        let due = self.wake();
        if now < due {
            Step::Wait
        } else if self.deadline.take().is_some() {
            self.miss(now, busy_until)
        } else {
            self.deadline = Some(now + self.timeout);
            // Counted from when it was due: being late does not add up.
            self.next_ping = (due + self.interval.max(self.timeout)).max(now);
            Step::Ping
        }
    }

    /// A plugin that handles one message at a time (the Python SDK, CONTRACT 11.3) can't answer a ping while it works
    /// on a call. So the first miss excuses the next ones until the calls then in flight must have ended. Later calls
    /// don't extend that, or a steady flow of them would hide a dead plugin.
    fn miss(&mut self, now: Instant, busy_until: Option<Instant>) -> Step {
        if self.excused_until.is_some_and(|until| now < until) {
            return Step::Wait;
        }
        self.excused_until = busy_until;
        self.has_missed = true;
        Step::Miss
    }

    /// A text frame came.
    pub(super) fn hear(&mut self, now: Instant) -> Heard {
        let left = self.deadline.take().map(|deadline| deadline.saturating_duration_since(now));
        let after_ping = left.map(|left| self.timeout.saturating_sub(left));
        let is_news = after_ping.is_some() || self.has_missed;
        self.has_missed = false;
        self.excused_until = None;
        Heard { is_news, after_ping }
    }
}

/// What a text frame says of its plugin's life.
pub(super) struct Heard {
    /// It answers a ping, or is the first sign of life after a miss.
    pub(super) is_news: bool,
    /// How long after a ping it came, if it answers one.
    pub(super) after_ping: Option<Duration>,
}

/// How long the next report waits after the first one. Twice as long after each, up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between reports of a plugin that goes on.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Longest words that are kept of a fault, in characters.
const MAX_WORDS: usize = 300;

/// What the plugin did against the protocol on one connection.
#[derive(Debug)]
pub(super) struct Faults {
    total: u64,
    unreported: u64,
    /// What was wrong the last time.
    last: String,
    /// Until when nothing is reported.
    quiet_until: Instant,
    pause: Duration,
}

impl Faults {
    pub(super) fn new(now: Instant) -> Self {
        Self { total: 0, unreported: 0, last: String::new(), quiet_until: now, pause: PAUSE }
    }

    pub(super) fn note(&mut self, what: &str) {
        self.total += 1;
        self.unreported += 1;
        self.last = shorten(what, MAX_WORDS);
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// When the next report is due; none if there is nothing to report.
    pub(super) fn wake(&self) -> Option<Instant> {
        (self.unreported > 0).then_some(self.quiet_until)
    }

    /// The report that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<RunEvent> {
        if now < self.quiet_until {
            return None;
        }
        let report = self.take_rest()?;
        // A plugin that has broken nothing for as long as it would have had to wait is reported at once again.
        let has_kept_still = now >= self.quiet_until + self.pause;
        self.pause = if has_kept_still { PAUSE } else { self.pause };
        self.quiet_until = now + self.pause;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Some(report)
    }

    /// What is left to report at the end.
    pub(super) fn take_rest(&mut self) -> Option<RunEvent> {
        let count = std::mem::take(&mut self.unreported);
        (count > 0).then(|| RunEvent::ProtocolBroken { count, last: std::mem::take(&mut self.last) })
    }
}

#[cfg(test)]
#[path = "tests/observe.rs"]
mod tests;
