//! The host's clock jumps.

use std::{fs, path::PathBuf};

use super::{lone::Lone, repeat, rounds, skip};
use crate::harness::{Plugd, status_of};

const SCENARIO: &str = "clock jumps, of an hour to 30 years, both ways";

/// Offsets of the clock, one after the other.
const JUMPS: [&str; 6] = ["+1h", "-1h", "+400d", "-400d", "-30y", "+30y"];

/// The library that gives a program another clock, where Debian puts it.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
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
        fs::write(home.path().join("next"), JUMPS[round % JUMPS.len()]).unwrap();
        fs::rename(home.path().join("next"), &clock).unwrap();
        log.until("request ping").await;
        api.activate(&toggled.id).await.unwrap();
        toggled.stop(&api).await;
        let last = api.live().await.cursor.revision;
        let events = watch.until(|event| event.revision >= last).await;
        toggled.assert_one_at_a_time(&events);
        let now = api.get(&steady.id).await.unwrap();
        assert_eq!((status_of(&now).run_id(), status_of(&now).degraded), (status_of(&first).run_id(), false));
    })
    .await;
    let jumped = log.line().await.unwrap().unwrap().time.unwrap().seconds;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(jumped.unsigned_abs()) > 3000, "plugd had the other clock");
}
