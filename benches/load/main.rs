//! plugd against what is possible: each figure is measured in the same run, in turn, for plugd and for a bare server or loop
//! that does nothing but what can't be left out. `make bench` runs it; it takes a quarter of an hour. Names of groups as arguments
//! choose some: `cargo bench --bench load -- activation watch`.
//!
//! What it loads is on the loopback, in processes of its own, and ends with it.
//!
//! Not measured, as nothing outside of plugd sees it by itself: reports a second. How long one takes until it is seen is in `watch`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that can't go on has failed"
)]

mod activation;
mod bare;
mod bus;
mod chart;
mod cluster;
mod commits;
mod crash;
mod crowd;
mod external;
mod failover;
mod figures;
mod logs;
mod managers;
mod nodes;
mod output;
mod packages;
mod plugins;
mod processes;
mod rest;
mod resume;
mod server;
mod spawn;
mod unary;
mod watch;

use std::{env, fs, panic::AssertUnwindSafe, path::Path, time::Duration};

use figures::Report;
use futures_util::FutureExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// Set for the process that is the bare server.
const BARE: &str = "PLUGD_BENCH_BARE";

/// How long a group may take. One that can't go on keeps no figure of another from being told.
const MOST: Duration = Duration::from_secs(400);

/// Descriptors that 5,000 plugins and as many watchers need.
const MANY_FILES: u64 = 64 << 10;

/// What can be chosen, in the order in which it is measured.
const GROUPS: [&str; 14] = [
    "unary",
    "rest",
    "watch",
    "commits",
    "resume",
    "bus",
    "crash",
    "logs",
    "packages",
    "managers",
    "crowd",
    "cluster",
    "failover",
    "activation",
];

#[tokio::main]
async fn main() {
    if env::var_os(BARE).is_some() {
        return bare::serve().await;
    }
    open_many_files();
    // Cargo adds `--bench`.
    let asked: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|asked| !GROUPS.contains(&asked.as_str())) {
        panic!("there is no group {unknown}: {}", GROUPS.join(", "));
    }
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let mut report = Report::default();
    for group in GROUPS.into_iter().filter(|group| asked.is_empty() || asked.iter().any(|asked| asked == group)) {
        eprintln!("measuring {group}");
        let measured = AssertUnwindSafe(timeout(MOST, measure(group, &mut report))).catch_unwind();
        let measured = tokio::select! {
            measured = measured => measured,
            // What was started ends as it is dropped.
            _ = terminated.recv() => break,
        };
        match measured {
            Ok(Ok(())) => {}
            Ok(Err(_)) => report.skip(group, "the rest of it takes too long"),
            Err(_) => report.skip(group, "the rest of it failed"),
        }
    }
    println!("{report}");
    write(&report);
}

async fn measure(group: &str, report: &mut Report) {
    match group {
        "unary" => unary::measure(report).await,
        "rest" => rest::measure(report).await,
        "watch" => watch::measure(report).await,
        "commits" => commits::measure(report).await,
        "resume" => resume::measure(report).await,
        "bus" => bus::measure(report).await,
        "crash" => crash::measure(report).await,
        "logs" => logs::measure(report).await,
        "packages" => packages::measure(report).await,
        "managers" => managers::measure(report).await,
        "crowd" => crowd::measure(report).await,
        "cluster" => cluster::measure(report).await,
        "failover" => failover::measure(report).await,
        _ => activation::measure(report).await,
    }
}

/// Thousands of connections are open at the same time, and plugd has four descriptors for each plugin. Who may not have so many
/// gets what the host allows.
fn open_many_files() {
    let most = getrlimit(Resource::Nofile).maximum.map(|most| most.max(MANY_FILES));
    if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_err() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}

/// How many descriptors this process and those that it starts may have.
pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn write(report: &Report) {
    let folder = server::target().join("bench");
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: String| fs::write(Path::new(&folder).join(name), text).unwrap();
    write("bench.json", format!("{:#}\n", output::to_json(report)));
    write("bench.svg", chart::bars(report));
    write("growth.svg", chart::growth(report));
}
