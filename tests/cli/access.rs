//! token, and the tokens that commands show.

use serde_json::json;

use super::{json_of, run};
use crate::harness::{Plugd, Run, Running, cli, is_interrupted_or_ok, program};

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
    assert_eq!(roles, ["admin", "link", "viewer"], "the link was printed at the start");
    assert!(!listed.to_string().contains(secret));

    let wrong = run(&plugd, &["token", "create", "ci", "--role", "viewer", "--ttl", "month"]).await;
    assert!(wrong.stderr.contains("30d"), "{}", wrong.stderr);
    run(&plugd, &["token", "revoke", id]).await.text();
    assert_eq!(as_viewer(&["list"]).await.code(), Some(4));
    assert_eq!(run(&plugd, &["token", "revoke", id]).await.code(), Some(3));
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

#[tokio::test]
async fn a_token_is_revoked_by_its_name_unless_several_have_it() {
    let plugd = Plugd::start().await;
    run(&plugd, &["token", "create", "ci", "--role", "host"]).await.text();
    let revoked = run(&plugd, &["token", "revoke", "ci"]).await;
    assert!(revoked.text().ends_with(" ci is revoked\n"), "{}", revoked.text());
    for _ in 0..2 {
        run(&plugd, &["token", "create", "twin", "--role", "host"]).await.text();
    }
    let refused = run(&plugd, &["token", "revoke", "twin"]).await;
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("\"twin\" may be any of 2 tokens"), "{}", refused.stderr);
}

#[tokio::test]
async fn who_did_what_is_told_by_plugin_token_and_method() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let created = json_of(&plugd, &["token", "create", "eyes", "--role", "viewer"]).await;
    let secret = created["secret"].as_str().unwrap();
    cli(&plugd, &["delete", &id]).env("PLUGD_TOKEN", secret).run().await;
    plugd.api().delete(&id).await.unwrap();
    let methods = async |args: &[&str]| {
        let events = json_of(&plugd, &[&["audit"], args].concat()).await;
        let events = events.as_array().unwrap().clone();
        let method =
            |event: &serde_json::Value| event["method"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        events.iter().map(method).collect::<Vec<_>>()
    };

    assert_eq!(methods(&[]).await, ["DeletePlugin", "DeletePlugin", "CreateToken", "InstallPlugin"]);
    assert_eq!(methods(&["--limit", "1"]).await, ["DeletePlugin"]);
    assert_eq!(methods(&["--plugin", &id]).await, ["DeletePlugin", "InstallPlugin"], "though it is deleted");
    assert_eq!(methods(&["--by", "eyes"]).await, ["DeletePlugin"]);
    assert_eq!(methods(&["--method", "CreateToken"]).await, ["CreateToken"]);
    let shown = run(&plugd, &["audit", "--by", created["id"].as_str().unwrap()]).await;
    let words: Vec<_> = shown.text().lines().last().unwrap().split_whitespace().skip(1).collect();
    assert_eq!(words, ["eyes", "viewer", "127.0.0.1", "DeletePlugin", "-", "PERMISSION_DENIED"]);
    let wrong = run(&plugd, &["audit", "--method", "GetPlugin"]).await;
    assert!(wrong.stderr.contains("must be a method that changes something"), "{}", wrong.stderr);
    assert_eq!(cli(&plugd, &["audit"]).env("PLUGD_TOKEN", secret).run().await.code(), Some(4));
}

#[tokio::test]
async fn a_role_that_is_not_enough_is_told_in_words() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let created = json_of(&plugd, &["token", "create", "eyes", "--role", "viewer"]).await;
    let secret = created["secret"].as_str().unwrap();
    let refused = cli(&plugd, &["delete", &id]).env("PLUGD_TOKEN", secret).run().await;
    assert_eq!(refused.code(), Some(4));
    assert!(refused.stderr.contains("this token is a viewer's: DeletePlugin needs an admin's"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("ROLE_"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_server_with_a_new_data_folder_says_where_the_token_is() {
    let home = tempfile::tempdir().unwrap();
    let mut serve = program(env!("CARGO_BIN_EXE_plugd"));
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "here"]).current_dir(home.path());
    let mut serve = Running::start_reading_stderr(&mut serve);
    serve.find("This is a new database. The administrator's token is in here/admin.token").await;
    serve.interrupt();
    assert!(is_interrupted_or_ok(serve.ended().await));
}

#[tokio::test]
async fn an_application_is_told_to_call_a_plugin_by_its_id() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let created = json_of(&plugd, &["token", "create", "app", "--role", "host"]).await;
    let secret = created["secret"].as_str().unwrap();
    let call =
        async |plugin: &str| cli(&plugd, &["call", plugin, "robot_tool_call"]).env("PLUGD_TOKEN", secret).run().await;
    let refused = call("chaos").await;
    assert_eq!(refused.code(), Some(4));
    assert!(refused.stderr.contains("give the plugin's id"), "{}", refused.stderr);
    call(&id).await.json();
}

#[tokio::test]
async fn who_has_no_token_is_told_what_was_tried() {
    let plugd = Plugd::start().await;
    let without = async |args: &[&str]| {
        let mut command = cli(&plugd, args);
        let refused = command.env_remove("PLUGD_TOKEN").current_dir(plugd.scratch().join("tmp")).run().await;
        assert_eq!(refused.code(), Some(4));
        refused.stderr
    };
    let said = without(&["list"]).await;
    for tried in ["--token", "PLUGD_TOKEN", "./data/admin.token", "--data-dir"] {
        assert!(said.contains(tried), "{tried}: {said}");
    }
    assert!(without(&["list", "--data-dir", "nowhere"]).await.contains("nowhere/admin.token"));
    let said = without(&["list", "--token", "nonsense"]).await;
    assert!(said.contains("not one of this server's"), "{said}");
}
