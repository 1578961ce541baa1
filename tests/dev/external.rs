//! A plugin that the session runs itself.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{Home, url_of};
use crate::harness::{Plugd, Running, cli, is_interrupted_or_ok, repository, search_path};

/// The example plugin in Python.
fn python_echo() -> Home {
    let home = Home::new(&["tame"]);
    for file in ["main.py", "protocol.py", "manifest.json"] {
        fs::copy(repository("examples/python-echo").join(file), home.plugin().join(file)).unwrap();
    }
    home
}

fn manifest(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.plugin().join("manifest.json")).unwrap()).unwrap()
}

/// The processes that run in this folder.
fn pids_in(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let runs_there = |pid: &String| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    entries.filter(|name| name.parse::<u32>().is_ok()).filter(runs_there).collect()
}

#[tokio::test]
async fn a_command_dials_in_again_after_each_change_and_ends_with_the_session() {
    let home = python_echo();
    let mut dev = home.dev(&["--external", "--", "python3", "-u", "main.py"]);
    url_of(&mut dev).await;
    dev.find("is registered").await;
    dev.find("-> active").await;
    let first = pids_in(&home.plugin());
    assert_eq!(first.len(), 1);

    let mut changed = manifest(&home);
    changed["id"] = "another-id".into();
    changed["version"] = "2.0.0".into();
    home.write(&changed);

    dev.find("a file changed: starting anew").await;
    dev.find("manifest changed, version 2.0.0").await;
    dev.find("-> active").await;
    let second = pids_in(&home.plugin());
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");
    dev.interrupt();
    assert!(is_interrupted_or_ok(dev.ended().await));
    assert_eq!(pids_in(&home.plugin()), [""; 0]);
}

#[tokio::test]
async fn a_command_that_does_not_care_for_ctrl_c_is_killed_with_all_that_it_started() {
    let home = python_echo();
    let stubborn = "trap '' INT; sleep 1000 & echo both of us run; wait";
    let mut dev = home.dev(&["--external", "--", "sh", "-c", stubborn]);
    dev.find("both of us run").await;
    assert_eq!(pids_in(&home.plugin()).len(), 2);
    dev.interrupt();
    dev.find("stopping").await;
    assert!(is_interrupted_or_ok(dev.ended().await));
    assert_eq!(pids_in(&home.plugin()), [""; 0]);
}

#[tokio::test]
async fn without_a_command_the_manifests_own_is_run_and_may_be_mended() {
    let home = python_echo();
    let good = manifest(&home);
    let mut dev = home.dev(&["--external"]);
    dev.find("-> active").await;
    let mut bad = good.clone();
    bad["command"] = "/no/such/program".into();
    home.write(&bad);
    dev.find("can't run \"/no/such/program\"").await;
    dev.find("correct it and save a file").await;
    home.write(&good);
    dev.find("-> active").await;
}

#[tokio::test]
async fn a_folder_may_be_run_by_plugd_and_by_its_author_in_turns() {
    let home = python_echo();
    for args in [&[][..], &["--external"], &[]] {
        let mut dev = home.dev(args);
        dev.find("-> active").await;
        dev.interrupt();
        assert!(is_interrupted_or_ok(dev.ended().await));
    }
}

#[tokio::test]
async fn a_data_folder_that_was_named_keeps_what_is_in_it() {
    let home = python_echo();
    let mut dev = home.dev(&["--data-dir", "named"]);
    dev.find("-> active").await;
    dev.interrupt();
    assert!(is_interrupted_or_ok(dev.ended().await));
    let mut dev = home.dev(&["--data-dir", "named", "--external"]);
    url_of(&mut dev).await;
    assert_eq!(dev.ended().await.code(), Some(6));
    assert!(home.stderr().contains("already, and is supervised"), "{}", home.stderr());
}

#[tokio::test]
async fn nothing_to_run_is_an_error() {
    let home = python_echo();
    home.write(&json!({"id": "x", "author": "me", "name": "X"}));
    let dev = home.dev(&["--external"]);
    assert_eq!(dev.ended().await.code(), Some(2));
    assert!(home.stderr().contains("there is no command to run"), "{}", home.stderr());
}

#[tokio::test]
async fn a_server_that_runs_already_gets_the_plugin_and_keeps_it() {
    let plugd = Plugd::start().await;
    let home = python_echo();
    let mut command = cli(&plugd, &["dev", "plugin", "--external"]);
    let mut dev = Running::start(command.current_dir(home.path()).env("PATH", search_path()));
    dev.find("-> active").await;
    dev.interrupt();
    assert!(is_interrupted_or_ok(dev.ended().await));
    let plugin = plugd.api().list().await.unwrap().pop().unwrap();
    assert_eq!(plugin.name, "Python echo");
}
