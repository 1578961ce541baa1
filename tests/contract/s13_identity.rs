//! The identity with which plugins call the application's API (CONTRACT 13).
//!
//! Accounts, roles and keys are the application's own; plugd carries what it answers, encoded for the SDK that asks.

use serde_json::{Value, json};

use super::support::{Application, access, register};
use crate::harness::{Plugd, status_of};

const PYTHON: &str = "Python/3.11 websockets/15.0.1";
const GO: &str = "Go-http-client/1.1";
/// As most ids of the Python SDK, this is no canonical xid.
const ID: &str = "vvvvvvvvvvvvvvvvvvvv";

/// What each SDK must be given, byte for byte.
const ENCODINGS: [(&str, &str); 5] = [
    (PYTHON, r#"{"access_key":"sdbak_k","apibase_url":"http://forum:3000"}"#),
    (
        GO,
        concat!(
            r#"{"access_key":"sdbak_k","api_base_url":{"ForceQuery":false,"Fragment":"","Host":"forum:3000","#,
            r#""OmitHost":false,"Opaque":"","Path":"","RawFragment":"","RawPath":"","RawQuery":"","Scheme":"http","#,
            r#""User":null}}"#
        ),
    ),
    ("node", r#"{"access_key":"sdbak_k","api_base_url":"http://forum:3000"}"#),
    ("", r#"{"access_key":"sdbak_k","api_base_url":"http://forum:3000"}"#),
    ("Python/3.11 aiohttp/3.9", r#"{"access_key":"sdbak_k","api_base_url":"http://forum:3000"}"#),
];

fn whole_response(result: &str) -> String {
    let inner = format!(r#"{{"id":"{ID}","jsonrpc":"2.0","method":"access_get","result":{result}}}"#);
    format!(r#"{{"id":"{ID}","jsonrpc":"2.0","result":{inner}}}"#)
}

#[tokio::test]
async fn access_get_is_a_whole_response_inside_the_result_encoded_for_who_asks_13_must() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["access_get"]).await;
    for (agent, encoded) in ENCODINGS {
        let (plugin, mut wire) = register(&plugd, &access(&["CREATE_POST"]), agent).await;
        wire.ask(ID, "access_get", json!({})).await;
        let call = application.call().await;
        assert_eq!((&call.plugin_id, call.method.as_str()), (&plugin.id, "access_get"));
        let run = status_of(&plugd.api().get(&plugin.id).await.unwrap()).run_id().to_owned();
        assert_eq!((call.run_id.is_empty(), &call.run_id), (false, &run), "the connection of an external plugin");
        let asked = call.access.as_ref().unwrap();
        assert_eq!(asked.permissions, ["CREATE_POST"]);
        assert!(!asked.handle.is_empty() && !asked.name.is_empty(), "{asked:?}");
        application.reply(&call, &json!({"access_key": "sdbak_k", "api_base_url": "http://forum:3000"})).await;
        assert_eq!(wire.text().await.unwrap(), whole_response(encoded), "{agent}");
    }
}

#[tokio::test]
async fn access_get_that_nobody_serves_is_answered_from_the_operators_settings_13() {
    let knobs = [("PLUGD_ACCESS_KEY", "sdbak_k"), ("PLUGD_PUBLIC_API_ADDRESS", "http://forum:3000")];
    let plugd = Plugd::with(&knobs).await;
    for (agent, encoded) in ENCODINGS {
        let (_, mut wire) = register(&plugd, &access(&[]), agent).await;
        wire.ask(ID, "access_get", json!({})).await;
        assert_eq!(wire.text().await.unwrap(), whole_response(encoded), "{agent}");
    }
}

/// The error that is inside the result of a call that went well.
async fn failure(plugd: &Plugd, members: &Value, agent: &str) -> Value {
    let (_, mut wire) = register(plugd, members, agent).await;
    let answer = wire.call(ID, "access_get", json!({})).await;
    assert!(answer.get("error").is_none(), "{answer}");
    assert_eq!((&answer["result"]["id"], &answer["result"]["result"]), (&json!(ID), &json!({})), "a zero value");
    answer["result"]["error"].clone()
}

/// Whoever serves it: the application is not asked.
#[tokio::test]
async fn access_get_without_access_in_the_manifest_is_32601_inside_the_result_13() {
    let plugd = Plugd::with(&[("PLUGD_ACCESS_KEY", "sdbak_k")]).await;
    Application::serve(&plugd.api(), &["*"]).await.answer_as("any");
    for (agent, _) in ENCODINGS {
        let error = failure(&plugd, &json!({}), agent).await;
        assert_eq!(error, json!({"code": -32601, "message": "manifest does not request access"}));
    }
}

#[tokio::test]
async fn any_other_failure_of_access_get_is_32603_inside_the_result_13() {
    let plugd = Plugd::with(&[("PLUGD_ACCESS_KEY", "sdbak_k")]).await;
    let mut application = Application::serve(&plugd.api(), &["access_get"]).await;
    let (_, mut wire) = register(&plugd, &access(&["FLY"]), GO).await;
    wire.ask("1", "access_get", json!({})).await;
    let call = application.call().await;
    application.fail(&call, 7, "unknown permission FLY").await;
    let answer = wire.frame().await.unwrap();
    assert_eq!(answer["result"]["method"], "access_get");
    assert_eq!(answer["result"]["error"], json!({"code": -32603, "message": "unknown permission FLY"}));
    for half in [json!({"access_key": "k"}), json!({"api_base_url": "http://forum"}), json!({"access_key": 1})] {
        wire.ask("2", "access_get", json!({})).await;
        let call = application.call().await;
        application.reply(&call, &half).await;
        assert_eq!(wire.frame().await.unwrap()["result"]["error"]["code"], -32603, "{half}");
    }
}

/// plugd's own decision.
#[tokio::test]
async fn access_get_that_nobody_can_answer_is_32601_and_names_what_is_missing_13() {
    let plugd = Plugd::start().await;
    let error = failure(&plugd, &access(&[]), PYTHON).await;
    assert_eq!(error["code"], -32601);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("access_get") && message.contains("ServeHost"), "{message}");
}
