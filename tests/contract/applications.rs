//! Applications on the bus: what they call, what they serve (CONTRACT 11.3, 11.4, 13).

use std::time::Duration;

use plugd::api::v1::Plugin;
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Code;

use super::support::{Application, Wire, call_plugin, register};
use crate::harness::{Plugd, details, external_manifest, reason};

const PYTHON: &str = "Python/3.11 websockets/15.0.1";
const GO: &str = "Go-http-client/1.1";
const LIMIT: Duration = Duration::from_secs(20);

fn with_access() -> Value {
    json!({"access": {"handle": "bot", "name": "Bot", "permissions": ["CREATE_POST"],
                      "links": [{"text": "home", "url": "https://forum.example"}]}})
}

/// Calls a tool while the plugin does this with the request.
async fn called(
    plugd: &Plugd,
    (plugin, wire): (&Plugin, &mut Wire),
    answer: impl AsyncFnOnce(&mut Wire, Value),
) -> Result<Value, tonic::Status> {
    let (api, id) = (plugd.api(), plugin.id.clone());
    let params = json!({"tool_id": "t", "arguments": {"a": [1, null]}});
    let call = tokio::spawn(async move { call_plugin(&api, &id, ("robot_tool_call", params), LIMIT).await });
    let request = wire.request().await;
    assert_eq!(request["method"], "robot_tool_call");
    assert_eq!(request["params"], json!({"tool_id": "t", "arguments": {"a": [1, null]}}));
    answer(wire, request).await;
    call.await.unwrap()
}

/// CONTRACT 11.3: exactly the given parameters arrive; the result, or code and message, come back.
#[tokio::test]
async fn a_call_brings_back_the_result_or_the_plugins_code_and_message() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let target = (&plugin, &mut wire);
    let result = called(&plugd, target, async |wire, request| wire.answer(&request, json!({"output": {"b": 2}})).await);
    assert_eq!(result.await.unwrap(), json!({"method": "robot_tool_call", "output": {"b": 2}}));
    let target = (&plugin, &mut wire);
    let refused = called(&plugd, target, async |wire, request| wire.refuse(&request, -32007, "out of ink").await);
    let refused = refused.await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "PLUGIN_CALL_FAILED"));
    let details = details(&refused);
    assert_eq!((details["code"].as_str(), details["message"].as_str()), ("-32007", "out of ink"));
}

/// CONTRACT 11.3: sends fail immediately without a socket; a pending call fails when it closes.
#[tokio::test]
async fn a_call_of_a_plugin_that_is_not_connected_or_hangs_up_fails_at_once() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let idle = api.register(&external_manifest("idle")).await.unwrap();
    let began = Instant::now();
    let refused = call_plugin(&api, &idle.id, ("tool", json!({})), LIMIT).await.unwrap_err();
    assert_eq!(reason(&refused), "PLUGIN_NOT_CONNECTED");
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let id = plugin.id.clone();
    let call = tokio::spawn(async move { call_plugin(&api, &id, ("tool", json!({})), LIMIT).await });
    wire.request().await;
    drop(wire);
    assert_eq!(reason(&call.await.unwrap().unwrap_err()), "PLUGIN_NOT_CONNECTED");
    assert!(began.elapsed() < LIMIT, "it waited for its deadline");
}

/// CONTRACT 11.3: the deadline is the caller's; a late answer is nobody's, and harms nobody.
#[tokio::test]
async fn a_call_ends_at_its_deadline_and_a_late_answer_is_ignored() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let limit = Duration::from_millis(200);
    let late = call_plugin(&plugd.api(), &plugin.id, ("tool", json!({})), limit).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "PLUGIN_CALL_TIMED_OUT"));
    let request = wire.request().await;
    wire.answer(&request, json!({"late": true})).await;
    let target = (&plugin, &mut wire);
    let result = called(&plugd, target, async |wire, request| wire.answer(&request, json!({"late": false})).await);
    assert_eq!(result.await.unwrap()["late"], false);
}

/// plugd's own decision: a name comes before `*`; equals take turns.
#[tokio::test]
async fn a_named_method_comes_before_any_and_two_applications_take_turns() {
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

/// CONTRACT 11.4 and the API: an application's end fails its open calls at once; `robot_run` stays an answer.
#[tokio::test]
async fn an_application_that_goes_away_fails_its_open_calls_at_once() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet", "robot_run"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({})).await;
    wire.ask("b", "robot_run", json!({"session_id": "9m4e2mr0ui3e8a215n4g", "message": "hi"})).await;
    application.call().await;
    application.call().await;
    drop(application);
    let mut answers = [wire.frame().await.unwrap(), wire.frame().await.unwrap()];
    answers.sort_by_key(|answer| answer["id"].as_str().unwrap().to_owned());
    assert_eq!(answers[0]["error"]["code"], -32000, "{answers:?}");
    assert_eq!(
        (&answers[1]["result"]["session_id"], &answers[1]["result"]["method"]),
        (&json!("9m4e2mr0ui3e8a215n4g"), &json!("robot_run"))
    );
    assert!(answers[1]["result"]["error"].as_str().unwrap().contains("went away"), "{answers:?}");
    let unserved = wire.call("c", "greet", json!({})).await;
    assert_eq!(unserved["error"]["code"], -32601, "{unserved}");
}

/// The application is told when the plugin that asked is gone.
#[tokio::test]
async fn a_call_whose_plugin_has_gone_is_cancelled() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({})).await;
    let call = application.call().await;
    drop(wire);
    assert_eq!(application.cancelled().await, call.call_id);
}

/// CONTRACT 11.4: an application's failure keeps its code, but for `robot_run`, whose failures are answers.
#[tokio::test]
async fn a_failure_of_the_application_keeps_its_code_and_message() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet", "robot_run"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({"name": "x"})).await;
    let call = application.call().await;
    application.fail(&call, -32050, "not today").await;
    assert_eq!(wire.frame().await.unwrap()["error"], json!({"code": -32050, "message": "not today"}));
    wire.ask("b", "robot_run", json!({"message": " "})).await;
    let call = application.call().await;
    application.fail(&call, -32050, "the message is blank").await;
    let answer = wire.frame().await.unwrap();
    assert_eq!(answer["result"]["error"], "the message is blank");
    let session = answer["result"]["session_id"].as_str().unwrap();
    assert_eq!(session.parse::<xid::Id>().unwrap().to_string(), session, "a fresh xid");
}

/// CONTRACT 11.4: without robots the answer has `error` and `session_id`.
#[tokio::test]
async fn robot_run_that_nobody_serves_is_an_answer_with_an_error() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let answer = wire.call("a", "robot_run", json!({"message": "hi", "session_id": "9m4e2mr0ui3e8a215n4g"})).await;
    assert!(answer.get("error").is_none(), "{answer}");
    assert_eq!(answer["result"]["session_id"], "9m4e2mr0ui3e8a215n4g");
    assert!(answer["result"]["error"].as_str().unwrap().contains("robot_run"), "{answer}");
}

/// CONTRACT 13 **[must]**: each SDK the encoding that it can read, each inside a whole response.
#[tokio::test]
async fn access_get_is_encoded_for_the_sdk_that_asks() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["access_get"]).await;
    let go = json!({"Scheme": "http", "Opaque": "", "User": null, "Host": "forum:3000", "Path": "", "RawPath": "",
        "OmitHost": false, "ForceQuery": false, "RawQuery": "", "Fragment": "", "RawFragment": ""});
    let cases = [
        (PYTHON, json!({"access_key": "sdbak_k", "apibase_url": "http://forum:3000"})),
        (GO, json!({"access_key": "sdbak_k", "api_base_url": go})),
        ("node", json!({"access_key": "sdbak_k", "api_base_url": "http://forum:3000"})),
    ];
    for (agent, expected) in cases {
        let (_, mut wire) = register(&plugd, &with_access(), agent).await;
        wire.ask("vvvvvvvvvvvvvvvvvvvv", "access_get", json!({})).await;
        let call = application.call().await;
        application.reply(&call, &json!({"access_key": "sdbak_k", "api_base_url": "http://forum:3000"})).await;
        let answer = wire.frame().await.unwrap();
        let inner = json!({"jsonrpc": "2.0", "id": "vvvvvvvvvvvvvvvvvvvv", "method": "access_get", "result": expected});
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "vvvvvvvvvvvvvvvvvvvv", "result": inner}), "{agent}");
    }
}

/// CONTRACT 13: without `access` in the manifest −32601 inside the result, for everybody.
#[tokio::test]
async fn access_get_without_access_in_the_manifest_fails_inside_the_result() {
    let plugd = Plugd::start().await;
    for agent in [PYTHON, GO, "node"] {
        let (_, mut wire) = register(&plugd, &json!({}), agent).await;
        let answer = wire.call("a", "access_get", json!({})).await;
        assert!(answer.get("error").is_none(), "{answer}");
        assert_eq!(answer["result"]["method"], "access_get");
        assert_eq!(answer["result"]["error"], json!({"code": -32601, "message": "manifest does not request access"}));
    }
}

/// plugd's own decision: with nobody serving, what the operator gave; nothing given, −32601 that names what is missing.
#[tokio::test]
async fn access_get_that_nobody_serves_is_answered_from_the_operators_settings() {
    let knobs = [("PLUGD_ACCESS_KEY", "sdbak_operator"), ("PLUGD_PUBLIC_API_ADDRESS", "https://forum.example")];
    let plugd = Plugd::with(&knobs).await;
    let (_, mut wire) = register(&plugd, &with_access(), PYTHON).await;
    let answer = wire.call("a", "access_get", json!({})).await;
    let expected = json!({"access_key": "sdbak_operator", "apibase_url": "https://forum.example"});
    assert_eq!(answer["result"]["result"], expected);
    let bare = Plugd::start().await;
    let (_, mut wire) = register(&bare, &with_access(), PYTHON).await;
    let error = wire.call("a", "access_get", json!({})).await["result"]["error"].clone();
    assert_eq!(error["code"], -32601);
    assert!(error["message"].as_str().unwrap().contains("access_get"), "{error}");
}
