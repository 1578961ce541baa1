//! What plugd asks of plugins (CONTRACT 11.3).

use std::time::Duration;

use plugd::api::v1::Plugin;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tonic::{Code, Status};

use super::super::support::{access, call_plugin, publish, register};
use crate::harness::{Body, Plugd, details, external_manifest, reason};

const LIMIT: Duration = Duration::from_secs(20);

fn call(plugd: &Plugd, plugin: &Plugin, (method, params): (&'static str, Value)) -> JoinHandle<Result<Value, Status>> {
    let (api, id) = (plugd.api(), plugin.id.clone());
    tokio::spawn(async move { call_plugin(&api, &id, (method, params), LIMIT).await })
}

/// Each method of the table, with all that its parameters and its result may have.
fn methods() -> [(&'static str, Value, Value); 5] {
    let account = "9m4e2mr0ui3e8a215n50";
    let tool = json!({"provider_id": "p", "tool_id": "t", "call_id": "c", "session_id": "9m4e2mr0ui3e8a215n4g",
        "account_id": account, "arguments": {"a": [1, null, 0.5, {"b": "c"}]}});
    let mut by_robot = tool.clone();
    by_robot["robot_id"] = json!("r");
    let messages = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "n"},
        {"role": "assistant"}, {"role": "tool", "content": "{}", "tool_call_id": "c"}]);
    let generate = json!({"provider": "p", "model": "m", "messages": messages, "system": "be kind",
        "tools": [{"name": "t", "description": "d", "parameters": {"type": "object"}}]});
    let models = json!({"models": [{"name": "m", "display_name": "M", "context_window": 200_000,
        "max_output_tokens": 8192, "released_at": "2026-01-02T03:04:05Z", "raw": {"x": 1}}, {"name": "n"}]});
    let generated = json!({"content": "hi", "tool_calls": [{"id": "c", "name": "t", "arguments": {"a": 1}}],
        "finish_reason": "tool_calls"});
    [
        ("robot_tool_call", tool, json!({"output": {"b": 2}})),
        ("robot_tool_call", by_robot, json!({"error": "the tool failed"})),
        ("robot_model_provider_list_models", json!({"provider": "p"}), models),
        ("robot_model_provider_generate", generate.clone(), generated),
        ("robot_model_provider_generate", generate, json!({"error": "no model"})),
    ]
}

#[tokio::test]
async fn each_method_takes_exactly_the_given_parameters_and_brings_back_the_result_11_3() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    for (method, params, mut result) in methods() {
        let called = call(&plugd, &plugin, (method, params.clone()));
        let (request, received) = wire.request_of(method).await;
        assert_eq!(received, params, "{method}");
        wire.answer(&request, result.clone()).await;
        result["method"] = json!(method);
        assert_eq!(called.await.unwrap().unwrap(), result, "{method}");
    }
}

#[tokio::test]
async fn a_handler_that_raised_is_told_with_its_code_and_its_message_11_3() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    for (code, message) in [(-32000, "out of ink"), (-32601, "robot tool call handler is not registered")] {
        let called = call(&plugd, &plugin, ("robot_tool_call", json!({})));
        let request = wire.request().await;
        wire.refuse(&request, code, message).await;
        let refused = called.await.unwrap().unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "PLUGIN_CALL_FAILED"));
        let details = details(&refused);
        assert_eq!((details["code"].as_str(), details["message"].as_str()), (code.to_string().as_str(), message));
    }
}

#[tokio::test]
async fn a_call_fails_at_once_without_a_connection_and_when_it_ends_11_3() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let idle = api.register(&external_manifest("idle")).await.unwrap();
    let began = Instant::now();
    let refused = call_plugin(&api, &idle.id, ("tool", json!({})), LIMIT).await.unwrap_err();
    assert_eq!(reason(&refused), "PLUGIN_NOT_CONNECTED");
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let called = call(&plugd, &plugin, ("tool", json!({})));
    wire.request().await;
    drop(wire);
    assert_eq!(reason(&called.await.unwrap().unwrap_err()), "PLUGIN_CALL_FAILED");
    assert!(began.elapsed() < LIMIT, "it waited for its deadline");
}

/// The Python SDK never answers what it has no handler for, so every call has a deadline, the caller's. A late answer is
/// nobody's, and harms nobody.
#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_its_deadline_11_3() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let limit = Duration::from_millis(200);
    let generate = ("robot_model_provider_generate", json!({}));
    let late = call_plugin(&plugd.api(), &plugin.id, generate, limit).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "PLUGIN_CALL_TIMED_OUT"));
    let request = wire.request().await;
    wire.answer(&request, json!({"late": true})).await;
    let called = call(&plugd, &plugin, ("tool", json!({})));
    let request = wire.request().await;
    wire.answer(&request, json!({"late": false})).await;
    assert_eq!(called.await.unwrap().unwrap()["late"], false);
}

/// (a): a Go handler of `configure` calls `access_get`, and answers only then.
#[tokio::test]
async fn plugd_answers_a_plugin_while_it_waits_for_this_very_plugin_11_3_must() {
    let plugd = Plugd::with(&[("PLUGD_ACCESS_KEY", "sdbak_k")]).await;
    let (plugin, mut wire) = register(&plugd, &access(&[]), "Go-http-client/1.1").await;
    let (rest, path) = (plugd.rest(), format!("/api/plugins/{}/configuration", plugin.id));
    let configured = tokio::spawn(async move { rest.patch(&path, Body::Json(json!({"a": 1}))).await });
    let (configure, _) = wire.request_of("configure").await;
    let given = wire.call("a", "access_get", json!({})).await;
    assert_eq!(given["result"]["result"]["access_key"], "sdbak_k");
    assert_eq!(wire.call("b", "get_config", json!({})).await["result"]["config"], json!({}), "it is not accepted yet");
    wire.answer(&configure, json!({"ok": true})).await;
    configured.await.unwrap().expect(200);
    assert_eq!(wire.call("c", "get_config", json!({})).await["result"]["config"], json!({"a": 1}));
}

/// (b).
#[tokio::test]
async fn replies_may_come_in_any_order_11_3() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let calls: Vec<_> = (0..3).map(|number| call(&plugd, &plugin, ("tool", json!({"number": number})))).collect();
    let mut requests = [wire.request().await, wire.request().await, wire.request().await];
    requests.sort_by_key(|request| request["params"]["number"].as_i64());
    for request in requests.iter().rev() {
        wire.answer(request, json!({"number": request["params"]["number"]})).await;
    }
    for (number, called) in calls.into_iter().enumerate() {
        assert_eq!(called.await.unwrap().unwrap()["number"], number);
    }
}

/// (c).
#[tokio::test]
async fn an_event_that_is_never_answered_holds_up_no_configure_11_3() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({"events_consumed": ["order.paid"]}), "").await;
    publish(&plugd.api(), "order.paid", &json!({})).await;
    wire.request_of("event").await;
    let (rest, path) = (plugd.rest(), format!("/api/plugins/{}/configuration", plugin.id));
    let configured = tokio::spawn(async move { rest.patch(&path, Body::Json(json!({"a": 1}))).await });
    let (configure, _) = wire.request_of("configure").await;
    wire.answer(&configure, json!({"ok": true})).await;
    configured.await.unwrap().expect(200);
}
