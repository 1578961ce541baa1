//! When to ask a plugin for a sign of life, and when its silence counts. Pure: the clock comes from outside.

use std::time::Duration;

use tokio::time::Instant;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Send a ping.
    Ping,
    /// Report that the last one was missed.
    Miss,
    /// Nothing yet.
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

    /// The step that is due. `busy_until` is when the last of the calls in flight must have been answered.
    pub(super) fn tick(&mut self, now: Instant, busy_until: Option<Instant>) -> Step {
        if now < self.wake() {
            Step::Wait
        } else if self.deadline.take().is_some() {
            self.miss(now, busy_until)
        } else {
            self.deadline = Some(now + self.timeout);
            self.next_ping = now + self.interval.max(self.timeout);
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

    /// A text frame came. True if it answers a ping, or is the first sign of life after a miss.
    pub(super) fn hear(&mut self) -> bool {
        let is_answer = self.deadline.take().is_some() || self.has_missed;
        self.has_missed = false;
        self.excused_until = None;
        is_answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock {
        start: Instant,
        liveness: Liveness,
    }

    impl Clock {
        fn new() -> Self {
            let start = Instant::now();
            Self { start, liveness: Liveness::new(Duration::from_secs(15), Duration::from_secs(10), start) }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn tick(&mut self, seconds: u64, busy_until: Option<u64>) -> Step {
            let (now, busy_until) = (self.at(seconds), busy_until.map(|until| self.at(until)));
            self.liveness.tick(now, busy_until)
        }

        /// Ticks whenever one is due, until `end`; the seconds at which a miss was reported.
        fn misses(&mut self, end: u64, busy_until: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
            let mut misses = Vec::new();
            loop {
                let now = (self.liveness.wake() - self.start).as_secs();
                if now > end {
                    return misses;
                }
                if self.tick(now, busy_until(now).filter(|until| *until > now)) == Step::Miss {
                    misses.push(now);
                }
            }
        }
    }

    #[test]
    fn a_ping_goes_out_every_interval_and_its_answer_is_reported_once() {
        let mut clock = Clock::new();
        assert_eq!(clock.tick(14, None), Step::Wait);
        assert_eq!(clock.tick(15, None), Step::Ping);
        assert!(clock.liveness.hear());
        assert!(!clock.liveness.hear(), "a second frame answers nothing");
        assert_eq!(clock.tick(29, None), Step::Wait);
        assert_eq!(clock.tick(30, None), Step::Ping);
    }

    #[test]
    fn silence_is_a_miss_after_every_timeout() {
        assert_eq!(Clock::new().misses(60, |_| None), [25, 40, 55]);
    }

    #[test]
    fn a_late_answer_clears_a_miss() {
        let mut clock = Clock::new();
        assert_eq!(clock.misses(26, |_| None), [25]);
        assert!(clock.liveness.hear());
    }

    #[test]
    fn a_busy_plugin_misses_once_until_its_call_must_have_ended() {
        assert_eq!(Clock::new().misses(120, |_| Some(100)), [25, 100, 115]);
    }

    #[test]
    fn a_steady_flow_of_calls_does_not_hide_a_dead_plugin() {
        assert_eq!(Clock::new().misses(90, |now| Some(now + 30)), [25, 55, 85]);
    }

    #[test]
    fn a_sign_of_life_ends_the_excuse() {
        let mut clock = Clock::new();
        assert_eq!(clock.misses(26, |_| Some(1000)), [25]);
        clock.liveness.hear();
        assert_eq!(clock.misses(60, |_| None), [40, 55]);
    }

    #[test]
    fn a_timeout_above_the_interval_never_has_two_pings_under_way() {
        let start = Instant::now();
        let mut liveness = Liveness::new(Duration::from_secs(1), Duration::from_secs(10), start);
        assert_eq!(liveness.tick(start + Duration::from_secs(1), None), Step::Ping);
        assert_eq!(liveness.tick(start + Duration::from_secs(2), None), Step::Wait);
        assert_eq!(liveness.tick(start + Duration::from_secs(11), None), Step::Miss);
        assert_eq!(liveness.tick(start + Duration::from_secs(11), None), Step::Ping);
    }
}
