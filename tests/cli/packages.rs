//! install, update, rollback, download.

use std::fs;

use plugd::api::v1::ReportedState::Active;
use serde_json::json;

use super::{chaos_file, chaos_folder, error_of, json_of, run};
use crate::harness::{Plugd, Run, chaos, chaos_manifest, cli, external_manifest};

#[tokio::test]
async fn what_is_installed_already_is_installed_again_only_when_told_so() {
    let plugd = Plugd::start().await;
    let file = chaos_file(plugd.scratch(), &["tame"]);
    let first = json_of(&plugd, &["install", &file]).await;
    let id = first["id"].as_str().unwrap();

    let refused = run(&plugd, &["install", &file]).await;
    assert_eq!(refused.code(), Some(6));
    assert!(refused.stderr.contains(&format!("`plugd update {id} {file}`")), "{}", refused.stderr);
    assert!(refused.stderr.contains("--again"), "{}", refused.stderr);
    assert_eq!(plugd.api().list().await.unwrap().len(), 1);

    let updated = json_of(&plugd, &["install", &file, "--update", "--activate"]).await;
    assert_eq!((&updated["id"], &updated["status"]["state"]), (&json!(id), &json!("active")));
    let second = json_of(&plugd, &["install", &file, "--again"]).await;
    assert_ne!(second["id"], id);
    assert_eq!(run(&plugd, &["install", &file, "--update"]).await.code(), Some(6), "which of both?");
    assert_eq!(run(&plugd, &["install", &file, "--update", "--again"]).await.code(), Some(2));
}

#[tokio::test]
async fn a_package_is_installed_from_a_url_that_the_server_fetches() {
    let plugd = Plugd::with(&[("PLUGD_FETCH_PRIVATE", "true")]).await;
    let archive = chaos(&["tame"]);
    let router = axum::Router::new().route("/p.zip", axum::routing::get(move || async move { archive }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/p.zip", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let plugin = json_of(&plugd, &["install", &url, "--activate"]).await;
    assert_eq!(plugin["status"]["state"], "active");
    let again = run(&plugd, &["install", &url]).await;
    assert!(again.text().contains("Chaos is inactive"), "{}", again.text());
    assert!(again.stderr.starts_with("warning: the manifest id \"chaos\" was installed already"), "{}", again.stderr);
    assert_eq!(run(&plugd, &["install", &url, "--update"]).await.code(), Some(2));
    assert_eq!(run(&plugd, &["install", &format!("{url}x")]).await.code(), Some(9));
}

#[tokio::test]
async fn update_and_rollback_tell_from_which_version_to_which() {
    let plugd = Plugd::start().await;
    let [one, two] = ["1.0.0", "2.0.0"].map(|version| chaos_folder(plugd.scratch(), version));
    let id = json_of(&plugd, &["install", one.to_str().unwrap(), "--activate"]).await["id"].clone();
    let id = id.as_str().unwrap();

    let updated = run(&plugd, &["update", "chaos", two.to_str().unwrap()]).await;
    assert_eq!(updated.text(), format!("{id} Chaos is active: version 1.0.0 -> version 2.0.0\n"));
    let shown = run(&plugd, &["get", "chaos"]).await;
    assert!(shown.text().contains("previous package:") && shown.text().contains("configuration:"), "{}", shown.text());
    let back = json_of(&plugd, &["rollback", "chaos"]).await;
    assert_eq!((&back["previous_version"], &back["version"]), (&json!("2.0.0"), &json!("1.0.0")));
    let updated = run(&plugd, &["update", id, two.to_str().unwrap(), "--no-wait"]).await;
    assert!(updated.text().ends_with(": version 1.0.0 -> version 2.0.0\n"), "{}", updated.text());
    let back = run(&plugd, &["rollback", id, "--timeout", "30s"]).await;
    assert_eq!(back.text(), format!("{id} Chaos is active: version 2.0.0 -> version 1.0.0\n"));
}

#[tokio::test]
async fn an_update_that_fails_says_why_and_that_the_package_before_it_comes_back() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "10ms"), ("PLUGIN_MAX_RESTART_ATTEMPTS", "1")]).await;
    let id = plugd.api().run(&["tame"]).await;
    let bad = chaos_folder(plugd.scratch(), "2.0.0-bad");
    let mut manifest = chaos_manifest(&["exit", "7"]);
    manifest["version"] = "2.0.0-bad".into();
    fs::write(bad.join("manifest.json"), manifest.to_string()).unwrap();
    for command in [&["update", "chaos", bad.to_str().unwrap()][..], &["install", bad.to_str().unwrap(), "--update"]] {
        let mut watch = plugd.api().live().await;
        let failed = run(&plugd, command).await;
        assert_eq!(failed.code(), Some(5), "{}", failed.stderr);
        let said = "error: the plugin failed: exit status 7; the package before this one is put back\n";
        assert!(failed.stderr.contains(said), "{}", failed.stderr);
        assert!(failed.stderr.contains(&format!("`plugd logs {id}`")), "{}", failed.stderr);
        watch.until_state(&id, Active).await;
        assert_eq!(json_of(&plugd, &["get", &id]).await["version"], "1.0.0");
    }
}

#[tokio::test]
async fn a_download_is_what_was_uploaded_and_replaces_nothing_unless_told_so() {
    let plugd = Plugd::start().await;
    let archive = chaos(&["tame"]);
    plugd.api().upload(archive.clone()).await.unwrap();
    let file = plugd.scratch().join("chaos.zip");
    let here = async |args: &[&str]| cli(&plugd, args).current_dir(plugd.scratch()).run().await;

    assert_eq!(here(&["download", "chaos"]).await.text(), format!("chaos.zip ({} bytes)\n", archive.len()));
    assert_eq!(fs::read(&file).unwrap(), archive);
    fs::write(&file, "mine").unwrap();
    let refused = here(&["download", "chaos", "-o", "json"]).await;
    assert_eq!(error_of(&refused)["exit_code"], 6);
    assert_eq!(here(&["download", "chaos", "-O", "chaos.zip"]).await.code(), Some(6));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    here(&["download", "chaos", "-O", "chaos.zip", "--force"]).await.text();
    assert_eq!(fs::read(&file).unwrap(), archive);
    assert_eq!(here(&["download", "chaos", "-O", "-"]).await.stdout, archive);

    assert_eq!(here(&["download", "chaos", "other.zip"]).await.code(), Some(2));
    here(&["download", "chaos", "--unzip", "unpacked"]).await.text();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(plugd.scratch().join("unpacked/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["id"], "chaos");
    assert_eq!(here(&["download", "chaos", "--unzip", "unpacked"]).await.code(), Some(6));
    here(&["download", "chaos", "--unzip", "unpacked", "--force"]).await.text();
}

#[tokio::test]
async fn an_external_plugin_has_no_package() {
    let plugd = Plugd::start().await;
    let file = chaos_file(plugd.scratch(), &["tame"]);
    let id = plugd.api().register(&external_manifest("chaos")).await.unwrap().id;
    let commands: [&[&str]; 4] =
        [&["update", &id, &file], &["rollback", &id], &["download", &id], &["install", &file, "--update"]];
    for command in commands {
        let refused = run(&plugd, command).await;
        assert_eq!(refused.code(), Some(9), "{command:?}");
        assert!(refused.stderr.contains("this is an external plugin"), "{}", refused.stderr);
    }
}
