//! A plugin that plugd runs.

use std::fs;

use plugd::api::v1::ReportedState::{Active, Inactive};
use rustix::process::Signal;
use serde_json::Value;

use super::{Home, api_of, take_usual_port, url_of};
use crate::harness::{Plugd, Run, chaos_manifest, is_interrupted_or_ok, program, state_of};

/// The manifest of the example `chaos` in this version and mode.
fn version(version: &str, mode: &[&str]) -> Value {
    let mut manifest = chaos_manifest(mode);
    manifest["version"] = version.into();
    manifest
}

#[tokio::test]
async fn dev_runs_a_folder_and_updates_it_when_a_file_changes() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let first = api.list().await.unwrap().pop().unwrap();
    assert_eq!(first.version, "1.0.0");

    let mut manifest = chaos_manifest(&["tame"]);
    manifest["version"] = "2.0.0".into();
    home.write(&manifest);

    dev.find("updating: version 1.0.0 -> version 2.0.0").await;
    dev.find("runs the new package").await;
    let second = api.list().await.unwrap().pop().unwrap();
    assert_eq!((second.id, second.version.as_str()), (first.id.clone(), "2.0.0"));
    dev.interrupt();
    assert!(is_interrupted_or_ok(dev.ended().await));
    assert_eq!(Plugd::processes_of(&first.id), []);
}

#[tokio::test]
async fn what_dev_prints_can_be_pasted_into_another_terminal() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&["--data-dir", "it's-mine"]);
    let list = dev.find("in another terminal: ").await;
    let list = list.split_once("in another terminal: ").unwrap().1.to_owned();
    let show = dev.find("PluginService/GetPlugin").await;
    let stop = dev.find("SetActiveState").await;
    for line in [list, show, stop] {
        let mut shell = program("sh");
        let pasted = shell.args(["-c", &line]).current_dir("/").env("PATH", "/usr/bin:/bin").run().await;
        assert!(pasted.text().contains("Chaos"), "{line}");
    }
}

#[tokio::test]
async fn a_terminal_that_is_closed_ends_the_session() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let id = api.list().await.unwrap().pop().unwrap().id;
    dev.signal(Signal::HUP);
    assert!(dev.ended().await.success());
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn a_terminal_that_is_frozen_does_not_stop_the_session() {
    let home = Home::new(&["flood-logs", "2000"]);
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let id = api.list().await.unwrap().pop().unwrap().id;
    // The plugin prints more than a pipe holds, and nobody reads on.
    api.logs(&id).await.until("flooded 2000").await;
    api.deactivate(&id).await.unwrap();
    api.activate(&id).await.unwrap();
    dev.interrupt();
    assert!(dev.ended_unread().await.success());
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn dev_builds_before_it_packages_and_again_after_each_change() {
    let home = Home::new(&["tame"]);
    fs::rename(home.plugin().join("manifest.json"), home.plugin().join("source.json")).unwrap();
    let mut dev = home.dev(&["--build", "cp source.json manifest.json"]);
    let api = api_of(&mut dev).await;
    fs::write(home.plugin().join("source.json"), "{").unwrap();
    dev.find("building: cp source.json manifest.json").await;
    dev.find("error: ").await;
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["version"] = "2.0.0".into();
    fs::write(home.plugin().join("source.json"), manifest.to_string()).unwrap();
    dev.find("runs the new package").await;
    assert_eq!(api.list().await.unwrap().pop().unwrap().version, "2.0.0");
}

#[tokio::test]
async fn what_an_editor_leaves_behind_is_not_deployed() {
    let home = Home::new(&["tame"]);
    fs::write(home.plugin().join(".main.py.swp"), "x").unwrap();
    fs::write(home.plugin().join("main.py~"), "x").unwrap();
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let plugin = api.list().await.unwrap().pop().unwrap();
    let mut files: Vec<_> = fs::read_dir(home.path().join(".plugd-dev/plugin/plugins").join(&plugin.id))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".plugd") && name != "logs" && name != ".sdxlock")
        .collect();
    files.sort();
    assert_eq!(files, ["manifest.json"]);
}

#[tokio::test]
async fn dev_follows_a_manifest_that_gets_another_id() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let old = api.list().await.unwrap().pop().unwrap().id;

    let mut manifest = chaos_manifest(&["tame"]);
    manifest["id"] = "other".into();
    home.write(&manifest);

    dev.find(&format!("another id: {old} is stopped")).await;
    dev.find("runs the new package").await;
    let plugins = api.list().await.unwrap();
    let states: Vec<_> = plugins.iter().map(|plugin| (plugin.id == old, state_of(plugin))).collect();
    assert_eq!(states, [(true, Inactive), (false, Active)]);
}

#[tokio::test]
async fn a_plugin_that_somebody_deleted_is_installed_anew() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let old = api.list().await.unwrap().pop().unwrap().id;
    api.delete(&old).await.unwrap();
    home.write(&version("2.0.0", &["tame"]));
    dev.find("runs the new package").await;
    let new = api.list().await.unwrap().pop().unwrap();
    assert_eq!((new.id == old, new.version.as_str()), (false, "2.0.0"));
}

#[tokio::test]
async fn the_log_of_a_session_begins_with_it_and_is_whole() {
    let home = Home::new(&["tame"]);
    let mut first = home.dev(&[]);
    first.find("log | pid ").await;
    first.find("connected").await;
    first.interrupt();
    assert!(is_interrupted_or_ok(first.ended().await));

    let mut second = home.dev(&[]);
    let lines = second.until("connected").await;
    assert_eq!(lines.iter().filter(|line| line.contains("log | pid ")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_package_that_was_taken_back_is_a_line_of_the_session_with_the_reason() {
    let home = Home::new(&["tame"]);
    let quick = ["--max-restart-attempts", "0", "--backoff", "10ms"];
    let mut dev = home.dev(&quick);
    let api = api_of(&mut dev).await;
    let mut manifest = chaos_manifest(&["exit", "42"]);
    manifest["version"] = "2.0.0".into();
    home.write(&manifest);

    dev.find("dev | error: the plugin failed: exit status 42; the package before this one is put back").await;
    dev.find("correct it and save a file").await;
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["version"] = "3.0.0".into();
    home.write(&manifest);
    dev.find("runs the new package").await;
    assert_eq!(api.list().await.unwrap().pop().unwrap().version, "3.0.0");
    assert!(!home.stderr().contains("WARN"), "{}", home.stderr());
}

#[tokio::test]
async fn a_package_that_was_taken_back_is_told_once_and_not_said_to_run() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&["--max-restart-attempts", "0", "--backoff", "10ms"]);
    let api = api_of(&mut dev).await;
    home.write(&version("2.0.0", &["exit", "42"]));
    // The line of the first package may come only now.
    let mut lines = dev.until("correct it").await;
    lines.extend(dev.until("connecting -> active").await);
    home.write(&version("3.0.0", &["tame"]));
    lines.extend(dev.until("runs the new package").await);
    for (text, count) in [("runs the new package", 1), ("correct it", 1), ("is put back", 1), ("error: ", 1)] {
        assert_eq!(lines.iter().filter(|line| line.contains(text)).count(), count, "{text}: {lines:#?}");
    }
    assert_eq!(api.list().await.unwrap().pop().unwrap().version, "3.0.0");
}

#[tokio::test]
async fn a_save_while_a_broken_package_is_tried_again_takes_its_place_at_once() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&["--backoff", "1h", "--max-backoff", "1h"]);
    let api = api_of(&mut dev).await;
    home.write(&version("2.0.0", &["exit", "42"]));
    dev.find("-> restarting").await;
    home.write(&version("3.0.0", &["tame"]));
    dev.find("runs the new package").await;
    assert_eq!(api.list().await.unwrap().pop().unwrap().version, "3.0.0");
}

#[tokio::test]
async fn a_plugin_that_somebody_stopped_gets_the_new_package_and_stays_stopped() {
    let home = Home::new(&["tame"]);
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let id = api.list().await.unwrap().pop().unwrap().id;
    api.deactivate(&id).await.unwrap();
    home.write(&version("2.0.0", &["tame"]));
    dev.find("has the new package, and stays inactive").await;
    let plugin = api.list().await.unwrap().pop().unwrap();
    assert_eq!((state_of(&plugin), plugin.version.as_str()), (Inactive, "2.0.0"));
    api.activate(&id).await.unwrap();
    home.write(&version("3.0.0", &["tame"]));
    dev.find("runs the new package").await;
}

#[tokio::test]
async fn a_folder_without_a_manifest_is_waited_for_and_a_broken_one_may_be_mended() {
    let home = Home::new(&["tame"]);
    let whole = version("1.0.0", &["tame"]);
    fs::remove_file(home.plugin().join("manifest.json")).unwrap();
    let mut dev = home.dev(&[]);
    dev.find("there is no manifest.json").await;
    dev.find("correct it and save a file: it is tried again then").await;
    home.write(&whole);
    dev.find(" runs as ").await;
    fs::write(home.plugin().join("manifest.json"), "{").unwrap();
    dev.find("is no manifest").await;
    home.write(&whole);
    dev.find("runs the new package").await;
}

#[tokio::test]
async fn what_the_author_of_a_manifest_did_not_mean_is_told() {
    let home = Home::new(&["tame"]);
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["versoin"] = "2".into();
    home.write(&manifest);
    let mut dev = home.dev(&[]);
    dev.find("dev | warning: the manifest's \"versoin\" is not known").await;
    dev.find(" runs as ").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let _taken = take_usual_port();
    let home = Home::new(&["tame"]);
    let mut dev = home.session(&[]);
    assert!(!url_of(&mut dev).await.ends_with(":8000"));
    assert!(home.stderr().contains("127.0.0.1:8000 is taken by another program"), "{}", home.stderr());
}
