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
    let at = clock.at(17);
    let heard = clock.liveness.hear(at);
    assert!(heard.is_news);
    assert_eq!(heard.after_ping, Some(Duration::from_secs(2)));
    assert!(!clock.liveness.hear(at).is_news, "a second frame answers nothing");
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
    let at = clock.at(26);
    assert!(clock.liveness.hear(at).is_news);
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
    let at = clock.at(26);
    clock.liveness.hear(at);
    assert_eq!(clock.misses(60, |_| None), [40, 55]);
}

#[test]
fn connections_with_the_same_interval_wake_together_and_none_too_early_or_much_too_late() {
    let (interval, start) = (Duration::from_millis(640), Instant::now());
    let at =
        |late| Liveness::new(interval, Duration::from_secs(1), start + Duration::from_micros(late)).wake_with_others();
    let wakes: Vec<Instant> = (0..10_000).step_by(500).map(at).collect();
    let mut times = wakes.clone();
    times.dedup();
    assert!((1..=2).contains(&times.len()), "within 10 ms there are at most two such times: {times:?}");
    for (late, wake) in (0..).step_by(500).zip(wakes) {
        let due = start + interval + Duration::from_micros(late);
        assert!(wake >= due && wake < due + Duration::from_millis(10));
    }
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

#[test]
fn the_first_is_told_at_once_and_a_flood_ever_more_rarely() {
    let start = Instant::now();
    let mut faults = Faults::new(start);
    let mut reports = Vec::new();
    // One each tenth of a second for ten minutes.
    for tenth in 0..6000 {
        let now = start + Duration::from_millis(100) * tenth;
        faults.note("x");
        reports.extend(faults.take_due(now).map(|report| (tenth, told(report).0)));
    }
    assert_eq!(reports[..4], [(0, 1), (10, 10), (30, 20), (70, 40)]);
    assert!(reports.len() < 20, "{reports:?}");
    let reported: u64 = reports.iter().map(|(_, count)| count).sum();
    assert_eq!(reported + told(faults.take_rest().unwrap()).0, 6000, "none is lost");
    assert_eq!(faults.total(), 6000);
}

#[test]
fn a_plugin_that_kept_still_is_heard_at_once_again() {
    let start = Instant::now();
    let mut faults = Faults::new(start);
    for seconds in [0, 1, 3, 7] {
        faults.note("x");
        assert!(faults.take_due(start + Duration::from_secs(seconds)).is_some(), "{seconds}");
    }
    for seconds in [1000, 1001] {
        faults.note("x");
        assert!(faults.take_due(start + Duration::from_secs(seconds)).is_some(), "{seconds}");
    }
}

#[test]
fn there_is_nothing_to_wake_for_without_a_fault_and_words_are_bounded() {
    let mut faults = Faults::new(Instant::now());
    assert_eq!((faults.wake(), faults.take_due(Instant::now())), (None, None));
    faults.note(&"é".repeat(1000));
    assert!(faults.wake().is_some());
    assert_eq!(told(faults.take_rest().unwrap()).1.chars().count(), MAX_WORDS);
}

fn told(report: RunEvent) -> (u64, String) {
    match report {
        RunEvent::ProtocolBroken { count, last } => (count, last),
        other => panic!("{other:?}"),
    }
}
