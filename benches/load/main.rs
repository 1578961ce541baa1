//! plugd against what is possible: each figure is measured twice in the same run, for plugd and for a bare server or loop
//! that does nothing but what can't be left out. `make bench` runs it; it takes about a minute.
//!
//! What it loads is on the loopback, in processes of its own, and ends with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that can't go on has failed"
)]

mod activation;
mod bare;
mod figures;
mod server;
mod unary;
mod watch;

use std::env;

use figures::Report;

/// Set for the process that is the bare server.
const BARE: &str = "PLUGD_BENCH_BARE";

#[tokio::main]
async fn main() {
    if env::var_os(BARE).is_some() {
        return bare::serve().await;
    }
    let plugd = server::Plugd::start().await;
    let bare = server::Bare::start().await;
    let mut report = Report::default();
    unary::measure(&plugd, &bare, &mut report).await;
    watch::measure(&plugd, &bare, &mut report).await;
    activation::measure(&plugd, &mut report).await;
    println!("{report}");
}
