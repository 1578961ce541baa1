//! The command line against a real server.

use serde_json::{Value, json};

use crate::harness::{Output, Plugd, Run, Running, chaos, cli, is_interrupted_or_ok, repository};

async fn run(plugd: &Plugd, args: &[&str]) -> Output {
    cli(plugd, args).run().await
}

async fn json_of(plugd: &Plugd, args: &[&str]) -> Value {
    run(plugd, &[args, &["-o", "json"]].concat()).await.json()
}

#[tokio::test]
async fn a_plugins_life_from_the_command_line() {
    let plugd = Plugd::start().await;
    let package = plugd.scratch().join("chaos.zip");
    std::fs::write(&package, chaos(&["tame"])).unwrap();

    let installed = json_of(&plugd, &["install", package.to_str().unwrap()]).await;
    let id = installed["id"].as_str().unwrap();
    assert_eq!(installed["status"]["state"], "inactive");
    let mut watch = Running::start(&mut cli(&plugd, &["watch", "-o", "json"]));
    watch.find(r#""kind":"snapshot""#).await;
    let listed = json_of(&plugd, &["list"]).await;
    assert_eq!(listed, json!([installed]));
    let table = run(&plugd, &["list"]).await;
    assert!(table.text().contains(id) && table.text().contains("inactive"), "{}", table.text());

    let active = json_of(&plugd, &["activate", id]).await;
    assert_eq!(active["status"]["state"], "active");
    let change: Value = serde_json::from_str(&watch.find(r#""state":"active""#).await).unwrap();
    assert_eq!((change["kind"].as_str(), change["plugin_id"].as_str()), (Some("changed"), Some(id)));
    assert_eq!(change["revision"], active["revision"]);
    assert_eq!(json_of(&plugd, &["get", "chaos"]).await["id"], id, "found by its manifest id");

    let mut log = Running::start(&mut cli(&plugd, &["logs", id, "--follow"]));
    log.find("connected").await;
    let called = json_of(&plugd, &["call", id, "robot_tool_call", r#"{"arguments": {"a": 1}}"#]).await;
    assert_eq!(called["output"], json!({"a": 1}));
    log.find("request robot_tool_call").await;
    log.interrupt();
    assert!(is_interrupted_or_ok(log.ended().await));

    assert_eq!(json_of(&plugd, &["restart", id]).await["status"]["state"], "active");
    assert_eq!(json_of(&plugd, &["deactivate", id]).await["status"]["state"], "inactive");
    let logged = run(&plugd, &["logs", id, "--tail", "1"]).await;
    assert_eq!(logged.text().lines().count(), 1);
    run(&plugd, &["delete", id]).await.text();
    watch.find(r#""kind":"removed""#).await;
    watch.interrupt();
    assert!(is_interrupted_or_ok(watch.ended().await));
    assert_eq!(json_of(&plugd, &["list"]).await, json!([]));
}

#[tokio::test]
async fn a_folder_is_installed_as_a_package_and_its_program_runs_from_it() {
    let plugd = Plugd::start().await;
    let folder = plugd.scratch().join("greeter");
    std::fs::create_dir(&folder).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples/greeter");
    std::fs::copy(program, folder.join("greeter")).unwrap();
    std::fs::copy(repository("examples/greeter/manifest.json"), folder.join("manifest.json")).unwrap();

    let installed = json_of(&plugd, &["install", folder.to_str().unwrap(), "--activate"]).await;

    assert_eq!(installed["status"]["state"], "active");
}

#[tokio::test]
async fn tokens_from_the_command_line() {
    let plugd = Plugd::start().await;
    let created = json_of(&plugd, &["token", "create", "ci", "--role", "viewer", "--ttl", "1h"]).await;
    let (id, secret) = (created["id"].as_str().unwrap(), created["secret"].as_str().unwrap());
    let as_viewer = async |args: &[&str]| cli(&plugd, args).env("PLUGD_TOKEN", secret).run().await;

    assert_eq!(as_viewer(&["list", "-o", "json"]).await.json(), json!([]));
    assert_eq!(as_viewer(&["token", "list"]).await.code(), Some(4));
    let listed = json_of(&plugd, &["token", "list"]).await;
    let roles: Vec<_> = listed.as_array().unwrap().iter().map(|token| token["role"].clone()).collect();
    assert_eq!(roles, ["admin", "viewer"]);
    assert!(!listed.to_string().contains(secret));

    run(&plugd, &["token", "revoke", id]).await.text();
    assert_eq!(as_viewer(&["list"]).await.code(), Some(4));
    assert_eq!(run(&plugd, &["token", "revoke", id]).await.code(), Some(3));
}

#[tokio::test]
async fn exit_codes_say_what_kind_of_failure_it_was() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "10ms"), ("PLUGIN_MAX_RESTART_ATTEMPTS", "1")]).await;
    let failing = plugd.api().install(&["exit", "42"]).await;
    let hanging = plugd.api().install(&["hang"]).await;

    let failed = run(&plugd, &["activate", &failing]).await;
    assert_eq!(failed.code(), Some(5));
    assert!(failed.stderr.contains("exit status 42") && failed.stderr.contains("hint:"), "{}", failed.stderr);
    assert_eq!(run(&plugd, &["activate", &hanging, "--timeout", "50ms"]).await.code(), Some(7));
    assert_eq!(run(&plugd, &["activate", "nobody"]).await.code(), Some(3));
    assert_eq!(run(&plugd, &["no-such-command"]).await.code(), Some(2));
    assert_eq!(run(&plugd, &["install", "/no/such/file"]).await.code(), Some(3));
    let garbage = plugd.scratch().join("garbage.zip");
    std::fs::write(&garbage, "garbage").unwrap();
    let refused = run(&plugd, &["install", garbage.to_str().unwrap()]).await;
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("The provided plugin file is invalid"), "{}", refused.stderr);
    let denied = cli(&plugd, &["list"]).env("PLUGD_TOKEN", "nonsense").run().await;
    assert_eq!(denied.code(), Some(4));
    let away = cli(&plugd, &["list"]).env("PLUGD_SERVER", "http://127.0.0.1:1").run().await;
    assert_eq!(away.code(), Some(8));
}

#[tokio::test]
async fn a_watch_goes_on_by_itself_after_a_restart_of_plugd_on_the_same_address() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let mut watch = Running::start(&mut cli(&plugd, &["watch", "-o", "json"]));
    watch.find(r#""kind":"snapshot""#).await;
    plugd.kill_9().await;
    plugd.restart_on_the_same_address().await;
    plugd.api().activate(&id).await.unwrap();
    watch.find(r#""state":"active""#).await;
    watch.interrupt();
    assert!(is_interrupted_or_ok(watch.ended().await));
}

#[tokio::test]
async fn the_token_is_found_in_the_data_folder() {
    let plugd = Plugd::start().await;
    let folder = plugd.data_dir();
    let mut command = cli(&plugd, &["--data-dir", folder.to_str().unwrap(), "list", "-o", "json"]);
    assert_eq!(command.env_remove("PLUGD_TOKEN").run().await.json(), json!([]));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.join("admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
