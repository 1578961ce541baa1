//! Scenarios that are tried again and again, each with a row of the table of `make faults`.

#![allow(clippy::print_stdout, reason = "the rows are for people")]

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    panic::AssertUnwindSafe,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

/// Variable with the file that takes the rows; each scenario is tried often if there is one.
const TABLE: &str = "PLUGD_FAULTS";

/// What the file with the times of failovers has at its end, in place of the other's.
const PAUSES: &str = "pauses.md";

/// Violations after which a scenario is not tried any more: where something hangs, each takes minutes.
const ENOUGH: usize = 3;

/// How often a scenario is tried: `few` times by `make test`, `many` times by `make faults`.
pub(crate) fn rounds(few: usize, many: usize) -> usize {
    if env::var_os(TABLE).is_some() { many } else { few }
}

/// Tries a scenario so many times; fails the test when it did not hold once. What a round asserts is what must hold.
pub(crate) async fn repeat(scenario: &str, rounds: usize, mut round: impl AsyncFnMut(usize)) {
    let (mut tried, mut violations, mut slowest) = (0, 0, Duration::ZERO);
    while tried < rounds && violations < ENOUGH {
        let began = Instant::now();
        // The panic has said what it was.
        violations += usize::from(AssertUnwindSafe(round(tried)).catch_unwind().await.is_err());
        slowest = slowest.max(began.elapsed());
        tried += 1;
    }
    tell(&format!("| {scenario} | {tried} | {violations} | {:.2} s |", slowest.as_secs_f64()));
    assert_eq!(violations, 0, "{scenario}");
}

/// A scenario that can't be tried here, and why.
pub(crate) fn skip(scenario: &str, reason: &str) {
    tell(&format!("| {scenario} | skipped: {reason} | | |"));
}

/// Tells how long something took in each round, in a table of its own.
pub(crate) fn tell_times(what: &str, times: &[Duration]) {
    let mut times: Vec<_> = times.iter().map(Duration::as_secs_f64).collect();
    times.sort_unstable_by(f64::total_cmp);
    let within = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    let [half, most, all] = [50, 90, 100].map(within);
    let row = format!("| {what} | {} | {half:.2} s | {most:.2} s | {all:.2} s |", times.len());
    println!("{row}");
    add(env::var_os(TABLE).map(|table| PathBuf::from(table).with_extension(PAUSES)), &row);
}

fn tell(row: &str) {
    println!("{row}");
    add(env::var_os(TABLE).map(PathBuf::from), row);
}

/// Adds a row to a file, if there is to be one.
fn add(table: Option<PathBuf>, row: &str) {
    let Some(table) = table else { return };
    let mut table = OpenOptions::new().create(true).append(true).open(table).unwrap();
    writeln!(table, "{row}").unwrap();
}
