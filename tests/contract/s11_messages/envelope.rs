//! Requests, answers and their ids (CONTRACT 11.1, 11.2).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::support::{Application, access, call_plugin, publish, register};
use crate::harness::{Body, Plugd, within};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// Most ids of the Python SDK are no xids: ids are opaque and come back verbatim.
#[tokio::test]
async fn an_id_of_any_form_comes_back_as_it_was_11_2_must() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "Python/3.11 websockets/15.0.1").await;
    let long = "x".repeat(2000);
    // The last letter of a canonical xid would be 0 or g.
    for id in ["9m4e2mr0ui3e8a215n4v", "vvvvvvvvvvvvvvvvvvvv", "1", "", "ä\"\\\n\u{1F600}", &long] {
        let answer = wire.call(id, "get_config", json!({})).await;
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {"method": "get_config", "config": {}}}));
    }
}

/// `configure`, `event`, a call and `ping`: what the Python SDK does not know it refuses.
#[tokio::test]
async fn a_request_has_exactly_the_documented_keys_and_an_id_of_its_own_11_1_must() {
    let plugd = Plugd::with(&[("PLUGD_PING_INTERVAL", "100ms")]).await;
    let (plugin, mut wire) = register(&plugd, &json!({"events_consumed": ["order.paid"]}), "").await;
    let (ping, params) = wire.request_of("ping").await;
    assert_eq!(params, Value::Null, "the params of a ping are absent");
    wire.answer(&ping, json!({"pong": true, "status": "healthy", "uptime_seconds": 0.5})).await;
    publish(&plugd.api(), "order.paid", &json!({"number": 1})).await;
    let (api, rest, id) = (plugd.api(), plugd.rest(), plugin.id.clone());
    let called = tokio::spawn(async move { call_plugin(&api, &id, ("robot_tool_call", json!({"a": 1})), LIMIT).await });
    let path = format!("/api/plugins/{}/configuration", plugin.id);
    let configured = tokio::spawn(async move { rest.patch(&path, Body::Json(json!({"b": 2}))).await });
    let mut requests = BTreeSet::new();
    let mut ids = BTreeSet::from([ping["id"].to_string()]);
    let asked = async {
        while requests.len() < 3 {
            let request = wire.request().await;
            assert!(ids.insert(request["id"].to_string()), "an id twice");
            wire.answer(&request, json!({"ok": true})).await;
            if request["method"] != "ping" {
                requests.insert(format!("{} {}", request["method"], request["params"]));
            }
        }
    };
    within("three requests", asked).await;
    let expected =
        [r#""configure" {"b":2}"#, r#""event" {"event":"order.paid","number":1}"#, r#""robot_tool_call" {"a":1}"#];
    assert_eq!(requests, expected.map(str::to_owned).into());
    called.await.unwrap().unwrap();
    configured.await.unwrap().expect(200);
}

/// Both sides tell requests from answers by a top-level `method`, and decode a result by its own.
#[tokio::test]
async fn an_answer_has_no_method_and_its_result_names_what_was_asked_11_1_must() {
    let plugd = Plugd::start().await;
    Application::serve(&plugd.api(), &["*"]).await.answer_as("any");
    let (_, mut wire) = register(&plugd, &access(&["USE_ROBOTS"]), "").await;
    for (method, params) in [
        ("get_config", json!({})),
        ("access_get", json!({})),
        ("robot_run", json!({"message": "hi"})),
        ("robot_run", json!({})),
        ("something.else", json!({})),
    ] {
        let answer = wire.call("1", method, params).await;
        let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["id", "jsonrpc", "result"], "{answer}");
        assert_eq!(answer["result"]["method"], method, "{answer}");
    }
}

/// It is decoded by that name: another one would make the Go SDK's call hang.
#[tokio::test]
async fn an_application_does_not_decide_what_its_result_is_decoded_as_11_1_must() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("1", "greet", json!({})).await;
    let call = application.call().await;
    application.reply(&call, &json!({"method": "get_config", "greeting": "hi"})).await;
    assert_eq!(wire.frame().await.unwrap()["result"], json!({"method": "greet", "greeting": "hi"}));
}

#[tokio::test]
async fn an_error_comes_without_a_result_11_1_must() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let mut answers = vec![
        wire.call("1", "invented", json!({})).await,
        wire.call("2", "get_config", json!({"keys": 7})).await,
        wire.call("3", "get_config", json!([])).await,
    ];
    wire.ask("4", "greet", json!({})).await;
    let call = application.call().await;
    application.fail(&call, -32050, "no").await;
    answers.push(wire.frame().await.unwrap());
    for answer in answers {
        let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["error", "id", "jsonrpc"], "{answer}");
    }
}

#[tokio::test]
async fn a_request_needs_no_params_11_1() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    for request in [
        r#"{"jsonrpc":"2.0","id":"1","method":"get_config"}"#,
        r#"{"jsonrpc":"2.0","id":"1","method":"get_config","params":null}"#,
    ] {
        wire.send(request.to_owned()).await;
        assert_eq!(wire.frame().await.unwrap()["result"]["config"], json!({}), "{request}");
    }
}
