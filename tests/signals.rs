//! What plugd makes of signals, and of a parent that ignored or blocked them.

use std::{fs, path::Path};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Api, Plugd, Running, deafen, serve};

/// Bits of the signals that programs die of when somebody wants them to.
const DEADLY: u64 =
    1 << (Signal::HUP.as_raw() - 1) | 1 << (Signal::INT.as_raw() - 1) | 1 << (Signal::TERM.as_raw() - 1);

/// A plugd, and the address that it said.
async fn started(home: &Path, settings: &[(&str, &str)], is_deaf: bool) -> (Running, String) {
    let mut command = serve(home, &[]);
    command.envs(settings.iter().copied());
    if is_deaf {
        deafen(command.as_std_mut());
    }
    let mut plugd = Running::start_reading_stderr(&mut command);
    let url = plugd.find("plugd serves on ").await.rsplit(' ').next().unwrap().to_owned();
    (plugd, url)
}

fn client(home: &Path, url: &str) -> Api {
    Api::at(url, Some(fs::read_to_string(home.join("data/admin.token")).unwrap().trim()))
}

fn mk_home() -> TempDir {
    tempfile::Builder::new().prefix("plugd-it-").tempdir().unwrap()
}

/// A set of signals of a process, as the kernel tells it.
fn signals(pid: u32, set: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

#[tokio::test]
async fn a_plugd_of_a_parent_that_ignored_and_blocked_signals_stops_all_the_same() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = mk_home();
        let (plugd, _) = started(home.path(), &[], true).await;
        plugd.signal(signal);
        assert!(plugd.ended().await.success(), "{signal:?}");
    }
}

#[tokio::test]
async fn plugins_of_a_deaf_parents_plugd_hear_the_signal_that_stops_them() {
    let home = mk_home();
    let (plugd, url) = started(home.path(), &[("PLUGD_GRACE", "1h")], true).await;
    let api = client(home.path(), &url);
    let id = api.run(&["tame"]).await;
    let [plugin] = &Plugd::processes_of(&id)[..] else { panic!("one process") };
    assert_eq!((signals(plugin.pid, "SigBlk"), signals(plugin.pid, "SigIgn") & DEADLY), (0, 0));

    // Not by the kill that comes after an hour.
    api.deactivate(&id).await.unwrap();

    plugd.signal(Signal::TERM);
    assert!(plugd.ended().await.success());
}
