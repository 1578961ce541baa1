//! Waiting, bounded.

use std::{panic::Location, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// The longest that anything may take. No test passes or fails by it unless something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(180);

/// The longest that a program may take which makes hundreds of requests, on a busy host too.
pub(super) const LABOUR: Duration = Duration::from_secs(900);

/// How often a predicate about something that sends no events is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// What the future comes to; fails the test if it hangs.
#[track_caller]
pub(crate) fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    within_time(HANG, what, future)
}

/// The same for what may take this long.
#[track_caller]
pub(super) fn within_time<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        match timeout(limit, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: hangs: {what}"),
        }
    }
}

/// Looks until the predicate gives something; fails the test if it never does.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + HANG;
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            if let Some(value) = look() {
                return value;
            }
            assert!(Instant::now() < deadline, "{caller}: never: {what}");
        }
    }
}

/// The same where a look is an answer that has to be waited for.
#[track_caller]
pub(crate) fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let looking = async move {
        let mut ticks = interval(LOOK);
        // One that was late is not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(value) = look().await {
                return value;
            }
        }
    };
    within(what, looking)
}
