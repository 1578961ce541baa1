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

use plugd::api::v1::WatchStateRequest;

use crate::harness::{Cursor, Plugd, Watch, repeat, rounds, skip, tell_times, within};

/// A watch that goes on where another was.
async fn resumed(plugd: &Plugd, cursor: &Cursor) -> Watch {
    let request = WatchStateRequest { start: Some(cursor.start()), ..Default::default() };
    plugd.api().watch(request).await.unwrap()
}

/// Waits until health says this.
async fn ready(plugd: &Plugd, status: u16) {
    within("another health", async { while plugd.rest().get("/readyz").await.status != status {} }).await;
}
