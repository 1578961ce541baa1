//! What one chatty plugin prints, until it is in its log, against a shell that writes the same into a file.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use plugd::api::v1::ActiveState;
use serde_json::json;
use tokio::process::Command;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms},
    plugins::{install, package, set},
    server::{Plugd, greeter},
};

/// Megabytes that it prints before it connects: a pipe holds next to nothing, so nearly all of it was read by then.
const MEGABYTES: f64 = 64.0;
const PRINT: &str =
    "yes 2026-11-30T12:00:00Z info a line of a log, as long as lines of logs are, more or less | head -c 64000000";

pub(crate) async fn measure(report: &mut Report) {
    // Printing takes a while, and plugd is to wait for the connection.
    let plugd = Plugd::start_with(&["--connect-timeout", "120s"]);
    let client = plugd.client().await;
    let script = format!("{PRINT}; exec {}", greeter().display());
    let manifest =
        json!({"id": "chatty", "author": "bench", "name": "Chatty", "command": "sh", "args": ["-c", script]});
    let id = install(client.clone(), &package(&manifest, &[])).await;
    let folder = tempfile::tempdir().unwrap();
    let (mut of_plugd, mut of_bare, mut cpu) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let used = plugd.cpu();
        let time = set(client.clone(), &id, ActiveState::Active).await;
        cpu.add(vec![ms(plugd.cpu() - used) / MEGABYTES]);
        of_plugd.add(vec![MEGABYTES / time.as_secs_f64()]);
        set(client.clone(), &id, ActiveState::Inactive).await;
        let time = bare(&folder.path().join("log")).await;
        of_bare.add(vec![MEGABYTES / time.as_secs_f64()]);
    }
    report.median(("output of a chatty plugin", "MB/s"), &of_plugd, Some(("cat > file", &of_bare)), Goal::Rate(0.5));
    report.median(("plugd's CPU a MB of output", "ms"), &cpu, None, Goal::Seen);
}

async fn bare(log: &std::path::Path) -> Duration {
    let began = Instant::now();
    let script = format!("{PRINT} | cat > {}", log.display());
    let status = Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).status().await;
    assert!(status.unwrap().success());
    began.elapsed()
}
