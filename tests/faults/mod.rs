//! Fault scenarios: what must hold while things go wrong, each tried again and again.
//!
//! `make test` tries each a few times. `make faults` tries each as often as its last number says, and prints a row for
//! each: how often it was tried, how often it did not hold, and how long the slowest took.

#![allow(clippy::print_stdout, reason = "the rows are for people")]

mod clock;
mod crowds;
mod deletions;
mod disk;
mod earlier;
mod escapes;
mod floods;
mod freezes;
mod kills;
mod limits;
mod lone;
mod nodes;
mod outages;
mod own_disk;
mod random;
mod starts;
mod updates;

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use plugd::api::v1::WatchStateRequest;

use crate::harness::{Cursor, Plugd, Watch, within};

/// Variable with the file that takes the rows; each scenario is tried often if there is one.
const TABLE: &str = "PLUGD_FAULTS";

/// Violations after which a scenario is not tried any more: where something hangs, each takes minutes.
const ENOUGH: usize = 3;

/// How often a scenario is tried: `few` times by `make test`, `many` times by `make faults`.
fn rounds(few: usize, many: usize) -> usize {
    if env::var_os(TABLE).is_some() { many } else { few }
}

/// Tries a scenario so many times; fails the test when it did not hold once. What a round asserts is what must hold.
async fn repeat(scenario: &str, rounds: usize, mut round: impl AsyncFnMut(usize)) {
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
fn skip(scenario: &str, reason: &str) {
    tell(&format!("| {scenario} | skipped: {reason} | | |"));
}

/// A watch that goes on where another was.
async fn resumed(plugd: &Plugd, cursor: &Cursor) -> Watch {
    let request = WatchStateRequest { start: Some(cursor.start()), ..Default::default() };
    plugd.api().watch(request).await.unwrap()
}

/// Waits until health says this.
async fn ready(plugd: &Plugd, status: u16) {
    within("another health", async { while plugd.rest().get("/readyz").await.status != status {} }).await;
}

fn tell(row: &str) {
    println!("{row}");
    if let Some(table) = env::var_os(TABLE) {
        let mut table = OpenOptions::new().create(true).append(true).open(table).unwrap();
        writeln!(table, "{row}").unwrap();
    }
}
