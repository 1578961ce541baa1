//! register, update-manifest, rotate-token, and plugins that are not there.

use std::fs;

use plugd::api::v1::ReportedState::Active;
use serde_json::json;

use super::{error_of, json_of, run};
use crate::harness::{Plugd, Running, external_manifest, program};

/// Writes a manifest; returns its path.
fn manifest(plugd: &Plugd, name: &str, text: &str) -> String {
    let path = plugd.scratch().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs the example `chaos` with a line that a command printed for its environment.
fn dial(line: &str) -> Running {
    let chaos = std::path::Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples/chaos");
    let (name, url) = line.split_once('=').unwrap();
    Running::start(program(chaos).arg("tame").env(name, url.trim_matches('\'')))
}

#[tokio::test]
async fn register_and_rotate_token_print_the_same_form_with_which_a_plugin_dials_in() {
    let plugd = Plugd::start().await;
    let json_manifest = external_manifest("outside").to_string();
    let file = manifest(&plugd, "outside.json", &json_manifest);
    let mut watch = plugd.api().live().await;

    let said = run(&plugd, &["register", &file]).await;
    let (registered, id) = (said.text().to_owned(), said.stderr.split(' ').next().unwrap());
    let _plugin = dial(registered.lines().next().unwrap());
    watch.until_state(id, Active).await;
    let again = run(&plugd, &["rotate-token", "outside"]).await;
    let cycled = again.text().to_owned();
    let url = |text: &str, line: usize| text.lines().nth(line).unwrap().split_once('=').unwrap().1.to_owned();
    for (said, text) in [(&said, &registered), (&again, &cycled)] {
        assert_eq!(said.stderr, format!("{id} outside is connecting\n"));
        assert!(text.starts_with("STORYDEN_RPC_URL='ws://"), "{text}");
        assert_eq!((url(text, 0), text.lines().count()), (url(text, 1), 2));
    }
    assert_ne!(url(&registered, 0), url(&cycled, 0));
    let _again = dial(cycled.lines().nth(1).unwrap());
    watch.until_state(id, Active).await;

    let shown = json_of(&plugd, &["rotate-token", id]).await;
    let token = shown["token"].as_str().unwrap();
    assert_eq!(shown["rpc_url"], format!("ws://{}/rpc?token={token}", plugd.address()));
}

#[tokio::test]
async fn a_manifest_in_yaml_is_registered_once_and_replaced() {
    let plugd = Plugd::start().await;
    let yaml = "id: outside\nauthor: me\nname: Outside\nversion: '1'\ncomand: x\n";
    let file = manifest(&plugd, "outside.yaml", yaml);
    let registered = run(&plugd, &["register", &file]).await;
    assert!(registered.stderr.contains("Outside is connecting"), "{registered:?}");
    assert!(registered.stderr.contains("did you mean \"command\"?"), "{}", registered.stderr);

    let refused = run(&plugd, &["register", &file, "-o", "json"]).await;
    assert_eq!(error_of(&refused)["exit_code"], 6);
    assert!(refused.stderr.contains("plugd update-manifest"), "{}", refused.stderr);
    let second = json_of(&plugd, &["register", &file, "--again"]).await;
    run(&plugd, &["delete", second["id"].as_str().unwrap()]).await.text();

    let newer = manifest(&plugd, "newer.yaml", &yaml.replace("'1'", "'2'"));
    let updated = json_of(&plugd, &["update-manifest", "outside", &newer]).await;
    assert_eq!((&updated["version"], &updated["mode"]), (&json!("2"), &json!("external")));
}

#[tokio::test]
async fn what_plugd_runs_has_no_manifest_or_token_of_its_own_to_change() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let file = manifest(&plugd, "outside.json", &external_manifest("outside").to_string());
    let refused = run(&plugd, &["update-manifest", &id, &file]).await;
    assert_eq!(refused.code(), Some(9));
    assert!(refused.stderr.contains("update the package instead"), "{}", refused.stderr);
    assert_eq!(run(&plugd, &["rotate-token", &id]).await.code(), Some(9));
    assert_eq!(run(&plugd, &["register", "/no/such/file.json"]).await.code(), Some(3));
}

#[tokio::test]
async fn a_call_to_an_external_plugin_that_is_away_says_that_it_has_to_dial_in() {
    let plugd = Plugd::start().await;
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let supervised = plugd.api().install(&["tame"]).await;
    for command in [["call", &outside, "greet"], ["call", &supervised, "greet"]] {
        let refused = run(&plugd, &command).await;
        assert_eq!(refused.code(), Some(9));
        assert!(refused.stderr.contains("an external one has to dial in by itself"), "{}", refused.stderr);
    }
    let refused = run(&plugd, &["config", "set", &outside, "a=1"]).await;
    assert!(refused.stderr.contains("an external one has to dial in by itself"), "{}", refused.stderr);
    let refused = run(&plugd, &["activate", &outside]).await;
    assert!(refused.stderr.contains("start or stop them there"), "{}", refused.stderr);
}
