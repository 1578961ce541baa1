//! `plugd new X && plugd dev X`: it runs, whatever it is written in.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use plugd::api::v1::ReportedState::{Active, Inactive};

use super::{Home, api_of};
use crate::harness::{Run, is_interrupted_or_ok, program, state_of};

async fn runs_and_stops(template: &str) {
    let home = Home(tempfile::tempdir().unwrap());
    mk_cargo(home.path());
    let mut new = program(env!("CARGO_BIN_EXE_plugd"));
    new.args(["new", "plugin", "--template", template]).current_dir(home.path()).run().await.text();
    let mut dev = home.dev(&[]);
    let api = api_of(&mut dev).await;
    let plugin = api.list().await.unwrap().pop().unwrap();
    assert_eq!((state_of(&plugin), plugin.name.as_str()), (Active, "plugin"));

    let mut logs = api.logs(&plugin.id).await;
    logs.until("configured: Hello").await;

    let stopped = api.deactivate(&plugin.id).await.unwrap();

    assert_eq!(state_of(&stopped), Inactive);
    assert_eq!(logs.line().await.unwrap().unwrap().text, "stopping");
    dev.interrupt();
    assert!(is_interrupted_or_ok(dev.ended().await));
}

/// A Cargo that has built the template already: the example of the same files.
fn mk_cargo(home: &Path) {
    let example = Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples/new-rust");
    let cargo = home.join("bin/cargo");
    fs::create_dir(home.join("bin")).unwrap();
    let script =
        format!("#!/bin/sh\nset -eu\nmkdir -p target/release\ncp '{}' target/release/plugin\n", example.display());
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_new_plugin_in_python_runs() {
    runs_and_stops("python").await;
}

#[tokio::test]
async fn a_new_plugin_in_node_runs() {
    runs_and_stops("node").await;
}

#[tokio::test]
async fn a_new_plugin_in_rust_is_built_and_runs() {
    runs_and_stops("rust").await;
}
