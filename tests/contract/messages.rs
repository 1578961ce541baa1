//! JSON-RPC as it travels (CONTRACT 10.4, 11).

use std::time::Duration;

use plugd::api::v1::ReportedState::Connecting;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::support::{Application, Wire, call_plugin, register, settle};
use crate::harness::{Body, Plugd};

/// CONTRACT 11.2 **[bug, must tolerate]**: ids are opaque and come back verbatim.
#[tokio::test]
async fn an_id_of_any_form_comes_back_as_it_was() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "Python/3.11 websockets/15.0.1").await;
    let long = "x".repeat(2000);
    // The last letter of a canonical xid would be 0 or g.
    for id in ["9m4e2mr0ui3e8a215n4v", "vvvvvvvvvvvvvvvvvvvv", "1", "", "ä\"\\\n\u{1F600}", &long] {
        let answer = wire.call(id, "get_config", json!({})).await;
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {"method": "get_config", "config": {}}}));
    }
}

/// CONTRACT 19, row 12; 11.1: an error has no result, or null.
#[tokio::test]
async fn an_unknown_method_is_32601_with_the_id_echoed() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let answer = wire.call("opaque!", "invented", json!({"a": 1})).await;
    assert_eq!(answer["error"]["code"], -32601);
    assert!(answer["error"]["message"].as_str().unwrap().contains("\"invented\""), "{answer}");
    assert!(answer.get("result").is_none_or(serde_json::Value::is_null), "{answer}");
}

/// CONTRACT 11.4.
#[tokio::test]
async fn get_config_gives_all_that_is_stored_or_the_keys_that_exist() {
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

/// CONTRACT 11.3 (a) **[must]**: plugd reads and answers while it waits for this very plugin.
#[tokio::test]
async fn a_plugin_that_calls_back_while_it_handles_a_call_is_answered() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "Go-http-client/1.1").await;
    let api = plugd.api();
    let id = plugin.id.clone();
    let tool = ("robot_tool_call", json!({"tool_id": "t"}));
    let called = tokio::spawn(async move { call_plugin(&api, &id, tool, Duration::from_secs(20)).await });
    let request = wire.request().await;
    let config = wire.call("a", "get_config", json!({})).await["result"]["config"].clone();
    let access = wire.call("b", "access_get", json!({})).await["result"]["error"]["code"].clone();
    wire.answer(&request, json!({"output": {"config": config, "access": access}})).await;
    let result = called.await.unwrap().unwrap();
    assert_eq!(result["output"], json!({"config": {}, "access": -32601}));
}

/// CONTRACT 19, row 13: a call that takes long holds up no other.
#[tokio::test]
async fn calls_of_a_plugin_are_answered_side_by_side() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["robot_run"]).await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
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
    application.reply(&call, &json!({"session_id": "s", "output": {"status": "completed", "summary": ""}})).await;
    let answer = wire.frame().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["session_id"]), (&json!("slow"), &json!("s")));
}

/// Bytes of the longest message that plugd takes.
const LIMIT: usize = 4 << 20;

/// CONTRACT 10.4 and 19, row 3.
#[tokio::test]
async fn a_frame_of_exactly_4_mib_is_taken() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let empty = json!({"jsonrpc": "2.0", "id": "big", "method": "get_config", "params": {"keys": [""]}}).to_string();
    let largest = empty.replace("[\"\"]", &format!("[\"{}\"]", "x".repeat(LIMIT - empty.len())));
    assert_eq!(largest.len(), LIMIT);
    wire.send(largest).await;
    assert_eq!(wire.frame().await.unwrap()["id"], "big");
}

/// CONTRACT 10.4: 1009 as soon as the frame says how long it is.
#[tokio::test]
async fn a_frame_that_announces_one_byte_more_is_closed_with_1009() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    wire.announce(LIMIT + 1).await;
    assert_eq!(wire.closed().await.0, 1009);
    settle(&plugd, &plugin.id, Connecting).await;
}

/// CONTRACT 10.4: only text frames mean something; what is no message harms nobody.
#[tokio::test]
async fn binary_frames_and_nonsense_do_not_end_the_connection() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.send(Message::binary(b"\x00\x01".to_vec())).await;
    for nonsense in ["", "{", "[]", "null", "\"text\"", r#"{"id":"nobody's","result":{}}"#, r#"{"jsonrpc":"2.0"}"#] {
        wire.send(nonsense.to_owned()).await;
    }
    wire.send(Message::Ping(b"are you there"[..].to_vec().into())).await;
    wire.ask("1", "get_config", json!({})).await;
    loop {
        let answer = wire.frame().await.expect("it was closed");
        if answer["id"] == "1" {
            assert_eq!(answer["result"]["method"], "get_config");
            break;
        }
        assert!(answer["error"]["code"].is_number(), "{answer}");
    }
}
