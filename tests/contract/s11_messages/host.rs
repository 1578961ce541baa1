//! What plugins ask of plugd and of the application (CONTRACT 11.4). `access_get` is held in `s13_identity`.

use std::time::Duration;

use serde_json::json;

use super::super::support::{Application, Wire, access, call_plugin, register};
use crate::harness::{Body, Plugd};

const SESSION: &str = "9m4e2mr0ui3e8a215n4g";

#[tokio::test]
async fn get_config_gives_all_that_is_stored_or_the_keys_that_exist_11_4() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let path = format!("/api/plugins/{}/configuration", plugin.id);
    let stored = json!({"greeting": "hi", "count": 2, "ratio": 0.5, "loud": false, "odd": null, "deep": {"a": [1]}});
    let rest = plugd.rest();
    let update = tokio::spawn({
        let stored = stored.clone();
        async move { rest.patch(&path, Body::Json(stored)).await }
    });
    let request = wire.request().await;
    assert_eq!((&request["method"], &request["params"]), (&json!("configure"), &stored));
    wire.answer(&request, json!({"ok": true})).await;
    assert_eq!(update.await.unwrap().expect(200), stored);

    let config = async |wire: &mut Wire, params| wire.call("1", "get_config", params).await["result"]["config"].clone();
    assert_eq!(config(&mut wire, json!({})).await, stored);
    assert_eq!(config(&mut wire, json!({"keys": []})).await, stored);
    let some = json!({"count": 2, "odd": null});
    assert_eq!(config(&mut wire, json!({"keys": ["odd", "unknown", "count"]})).await, some);
}

/// CONTRACT 19, row 12. It says what is missing.
#[tokio::test]
async fn an_unknown_method_is_32601_with_the_id_echoed_11_4() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let answer = wire.call("opaque!", "invented", json!({"a": 1})).await;
    assert_eq!(answer["error"]["code"], -32601);
    assert!(answer["error"]["message"].as_str().unwrap().contains("\"invented\""), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("ServeHost"), "{answer}");
}

/// CONTRACT 19, row 13: a call that takes long holds up no other.
#[tokio::test]
async fn calls_of_a_plugin_are_answered_side_by_side_11_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["robot_run"]).await;
    let (plugin, mut wire) = register(&plugd, &access(&["USE_ROBOTS"]), "").await;
    wire.ask("slow", "robot_run", json!({"message": "think"})).await;
    let call = application.call().await;
    assert_eq!(
        (&call.plugin_id, &call.manifest_id, call.method.as_str()),
        (&plugin.id, &"outside".to_owned(), "robot_run")
    );
    for number in 0..50 {
        wire.call(&number.to_string(), "get_config", json!({})).await;
    }
    let api = plugd.api();
    let id = plugin.id.clone();
    let ping = tokio::spawn(async move { call_plugin(&api, &id, ("tool", json!({})), Duration::from_secs(20)).await });
    let request = wire.request().await;
    wire.answer(&request, json!({})).await;
    ping.await.unwrap().unwrap();
    application.reply(&call, &json!({"session_id": SESSION, "output": {"status": "completed", "summary": ""}})).await;
    let answer = wire.frame().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["session_id"]), (&json!("slow"), &json!(SESSION)));
}

#[tokio::test]
async fn a_failure_of_the_application_keeps_its_code_and_message_11_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({"name": "x"})).await;
    let call = application.call().await;
    application.fail(&call, -32050, "not today").await;
    assert_eq!(wire.frame().await.unwrap()["error"], json!({"code": -32050, "message": "not today"}));
}

/// What fails inside the host is -32000.
#[tokio::test]
async fn an_application_that_goes_away_fails_its_open_calls_at_once_with_32000_11_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({})).await;
    application.call().await;
    drop(application);
    let failed = wire.frame().await.unwrap();
    assert_eq!((&failed["id"], &failed["error"]["code"]), (&json!("a"), &json!(-32000)));
    assert_eq!(wire.call("b", "greet", json!({})).await["error"]["code"], -32601);
}

/// plugd's own decision: a name comes before `*`; equals take turns.
#[tokio::test]
async fn a_named_method_comes_before_any_and_two_applications_take_turns_11_4() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    Application::serve(&api, &["*"]).await.answer_as("any");
    Application::serve(&api, &["greet"]).await.answer_as("one");
    Application::serve(&api, &["greet"]).await.answer_as("two");
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let mut by = Vec::new();
    for turn in 0..4 {
        by.push(wire.call(&turn.to_string(), "greet", json!({})).await["result"]["by"].clone());
        let other = wire.call("other", "something.else", json!({})).await;
        assert_eq!(other["result"], json!({"by": "any", "method": "something.else"}));
    }
    assert!(by.iter().all(|name| name == "one" || name == "two"), "{by:?}");
    assert!(by[0] != by[1] && by[0] == by[2] && by[1] == by[3], "{by:?}");
}

/// The application is told when the plugin that asked is gone.
#[tokio::test]
async fn a_call_whose_plugin_has_gone_is_cancelled_11_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({})).await;
    let call = application.call().await;
    drop(wire);
    assert_eq!(application.cancelled().await, call.call_id);
}
