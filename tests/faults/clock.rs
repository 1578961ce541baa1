//! The host's clock jumps.

use std::{fs, path::PathBuf};

use plugd::api::v1::LogLine;

use super::{lone::Lone, repeat, rounds, skip};
use crate::harness::{LogStream, Plugd, status_of, within};

const SCENARIO: &str = "clock jumps, of an hour to 30 years, both ways";

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// By how many seconds the clock is off, one after the other.
const JUMPS: [i64; 6] = [HOUR, -HOUR, 400 * DAY, -400 * DAY, -30 * YEAR, 30 * YEAR];

/// The library that gives a program another clock, where Debian puts it.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

/// Waits for a ping that was logged while plugd's clock was off by so many seconds.
async fn pinged(log: &mut LogStream, jump: i64) {
    let is_of_it = |line: LogLine| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let off = line.time.unwrap().seconds - i64::try_from(now).unwrap();
        line.text.starts_with("request ping") && (off - jump).abs() < HOUR / 2
    };
    within("a ping", async { while !is_of_it(log.line().await.unwrap().unwrap()) {} }).await;
}

/// Nothing that is measured in time takes notice: pings, backoffs, what is stable.
#[tokio::test]
async fn the_clock_jumps() {
    let Some(library) = library() else {
        return skip(SCENARIO, "libfaketime is missing");
    };
    let home = tempfile::tempdir().unwrap();
    let clock = home.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let plugd = Plugd::with(&[
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("PLUGD_PING_INTERVAL", "100ms"),
        ("PLUGD_PING_TIMEOUT", "1s"),
    ])
    .await;
    let api = plugd.api();
    let (steady, toggled) = (Lone::install(&plugd, "tame").await, Lone::install(&plugd, "tame").await);
    let first = api.activate(&steady.id).await.unwrap();
    let mut log = api.logs(&steady.id).await;
    let mut watch = api.live().await;
    repeat(SCENARIO, rounds(JUMPS.len(), 10 * JUMPS.len()), async |round| {
        let jump = JUMPS[round % JUMPS.len()];
        fs::write(home.path().join("next"), format!("{jump:+}")).unwrap();
        fs::rename(home.path().join("next"), &clock).unwrap();
        pinged(&mut log, jump).await;
        api.activate(&toggled.id).await.unwrap();
        toggled.stop(&api).await;
        let last = api.live().await.cursor.revision;
        let events = watch.until(|event| event.revision >= last).await;
        toggled.assert_one_at_a_time(&events);
        let now = api.get(&steady.id).await.unwrap();
        assert_eq!((status_of(&now).run_id(), status_of(&now).degraded), (status_of(&first).run_id(), false));
    })
    .await;
}
