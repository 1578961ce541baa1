//! list, get, activate, deactivate, restart, delete.

use serde_json::{Value, json};

use super::{chaos_file, json_of, run};
use crate::harness::{Plugd, Running, cli, is_interrupted_or_ok};

#[tokio::test]
async fn a_plugins_life_from_the_command_line() {
    let plugd = Plugd::start().await;
    let installed = json_of(&plugd, &["install", &chaos_file(plugd.scratch(), &["tame"])]).await;
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
async fn lists_are_narrowed_by_state_and_widened_by_columns() {
    let plugd = Plugd::start().await;
    let stopped = plugd.api().install(&["tame"]).await;
    let running = plugd.api().run(&["tame"]).await;

    let ids = async |args: &[&str]| {
        let listed = json_of(&plugd, &[&["list"], args].concat()).await;
        listed.as_array().unwrap().iter().map(|plugin| plugin["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--state", "active"]).await, std::slice::from_ref(&running));
    assert_eq!(ids(&["--state", "active", "--state", "inactive"]).await, [stopped.as_str(), &running]);
    let wide = run(&plugd, &["list", "--wide"]).await;
    assert!(wide.text().starts_with("ID ") && wide.text().contains("VERSION") && wide.text().contains("1.0.0"));
    let status = run(&plugd, &["status", &running]).await;
    let names: Vec<&str> = status.text().lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert!(["id", "state", "pid", "package"].iter().all(|name| names.contains(name)), "{names:?}");
}

#[tokio::test]
async fn who_does_not_wait_is_answered_at_once() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["hang"]).await;
    let begun = json_of(&plugd, &["activate", &id, "--no-wait"]).await;
    assert_eq!(begun["active_state"], "active");
    assert_ne!(begun["status"]["state"], "active");
    assert_eq!(json_of(&plugd, &["restart", &id, "--no-wait"]).await["active_state"], "active");
    assert_eq!(json_of(&plugd, &["deactivate", &id, "--timeout", "30s"]).await["status"]["state"], "inactive");
}

#[tokio::test]
async fn several_plugins_are_started_stopped_and_deleted_by_one_command() {
    let plugd = Plugd::start().await;
    let ids = [plugd.api().install(&["tame"]).await, plugd.api().install(&["tame"]).await];
    let [one, other] = [ids[0].as_str(), &ids[1]];
    let states = async || {
        let listed = json_of(&plugd, &["list"]).await;
        listed.as_array().unwrap().iter().map(|plugin| plugin["status"]["state"].clone()).collect::<Vec<_>>()
    };
    let activated = run(&plugd, &["activate", one, other]).await;
    assert_eq!(activated.text().lines().filter(|line| line.ends_with("is active")).count(), 2, "{activated:?}");
    run(&plugd, &["deactivate", other]).await.text();
    let restarted = run(&plugd, &["restart", "--all"]).await;
    assert!(restarted.text().contains(one) && !restarted.text().contains(other), "only one runs: {restarted:?}");
    let partly = run(&plugd, &["deactivate", one, "nobody"]).await;
    assert_eq!(partly.code(), Some(3), "{partly:?}");
    assert!(partly.stderr.contains("1 of 2 plugins are not deactivated"), "{partly:?}");
    assert_eq!(states().await, ["inactive", "inactive"]);

    assert_eq!(run(&plugd, &["delete", "--all"]).await.code(), Some(2), "nobody is asked");
    assert_eq!(run(&plugd, &["delete"]).await.code(), Some(2));
    assert_eq!(states().await.len(), 2);
    run(&plugd, &["delete", "--all", "--yes"]).await.text();
    assert!(states().await.is_empty());
}
