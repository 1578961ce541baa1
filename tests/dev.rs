//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

use std::fs;

use crate::harness::{Running, chaos_manifest, is_interrupted_or_ok, program, search_path};

#[tokio::test]
async fn dev_runs_a_folder_and_updates_it_when_a_file_changes() {
    let home = tempfile::tempdir().unwrap();
    let plugin = home.path().join("plugin");
    fs::create_dir(&plugin).unwrap();
    fs::write(plugin.join("manifest.json"), chaos_manifest(&["tame"]).to_string()).unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["dev", "--listen", "127.0.0.1:0", "plugin"]).current_dir(home.path()).env("PATH", search_path());
    let mut dev = Running::start(&mut command);

    let serving = dev.find("serving on http://127.0.0.1:").await;
    let url = serving.split("serving on ").nth(1).unwrap().trim().to_owned();
    let token = dev.find("token ").await.split_whitespace().last().unwrap().to_owned();
    let api = crate::harness::Api::at(&url, Some(&token));
    let first = api.list().await.unwrap().pop().unwrap();
    assert_eq!(first.version, "1.0.0");

    let mut manifest = chaos_manifest(&["tame"]);
    manifest["version"] = "2.0.0".into();
    fs::write(plugin.join("manifest.json"), manifest.to_string()).unwrap();

    dev.find("runs the new package").await;
    let second = api.list().await.unwrap().pop().unwrap();
    assert_eq!((second.id, second.version.as_str()), (first.id.clone(), "2.0.0"));
    dev.interrupt();
    assert!(is_interrupted_or_ok(dev.ended().await));
    assert_eq!(crate::harness::Plugd::processes_of(&first.id), []);
}
