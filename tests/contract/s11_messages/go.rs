//! A client that decodes as strictly as Go does: an id is an xid, a result is decoded by its own `method`, a member of
//! another type makes the whole message undecodable (the call then hangs for ten minutes), an unknown one is ignored.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value, json};

use super::super::support::{Application, Wire, access, publish, register};
use crate::harness::{Body, Plugd, within};

const GO: &str = "Go-http-client/1.1";
const ID: &str = "9m4e2mr0ui3e8a215n4g";

/// An xid, as its Go library reads it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Xid(String);

impl<'de> Deserialize<'de> for Xid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_xid = text.parse::<xid::Id>().is_ok_and(|id| id.to_string() == text);
        if is_xid { Ok(Self(text)) } else { Err(D::Error::custom(format!("{text} is no xid"))) }
    }
}

#[derive(Debug, Deserialize)]
struct Response {
    id: Xid,
    jsonrpc: String,
    error: Option<Failure>,
    result: Option<Answer>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Failure {
    code: Option<i64>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
enum Answer {
    AccessGet {
        id: Xid,
        error: Option<Failure>,
        #[serde(default)]
        result: Credentials,
    },
    GetConfig {
        config: Map<String, Value>,
    },
    RobotRun {
        session_id: Option<Xid>,
        error: Option<String>,
        output: Option<Output>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Credentials {
    access_key: String,
    api_base_url: Url,
}

/// The members of Go's own address that count.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<Map<String, Value>>,
    host: String,
    path: String,
    omit_host: bool,
    raw_query: String,
}

#[derive(Debug, Deserialize)]
struct Output {
    status: String,
    summary: String,
}

async fn call(wire: &mut Wire, method: &str, params: Value) -> Response {
    wire.ask(ID, method, params).await;
    next(wire).await
}

async fn next(wire: &mut Wire) -> Response {
    let text = wire.text().await.unwrap();
    let response: Response = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((response.id.0.as_str(), response.jsonrpc.as_str()), (ID, "2.0"), "{text}");
    response
}

#[tokio::test]
async fn go_decodes_every_answer_to_get_config_and_access_get_11_1_must() {
    let knobs = [("PLUGD_ACCESS_KEY", "sdbak_k"), ("PLUGD_PUBLIC_API_ADDRESS", "https://forum.example/community")];
    let plugd = Plugd::with(&knobs).await;
    let (_, mut wire) = register(&plugd, &access(&[]), GO).await;
    let Some(Answer::GetConfig { config }) = call(&mut wire, "get_config", json!({})).await.result else { panic!() };
    assert!(config.is_empty());
    let Some(Answer::AccessGet { id, error: None, result }) = call(&mut wire, "access_get", json!({})).await.result
    else {
        panic!("no access")
    };
    assert_eq!((id.0.as_str(), result.access_key.as_str()), (ID, "sdbak_k"));
    let (scheme, host, path) = ("https".to_owned(), "forum.example".to_owned(), "/community".to_owned());
    assert_eq!(result.api_base_url, Url { scheme, host, path, ..Url::default() });

    let (_, mut wire) = register(&plugd, &json!({}), GO).await;
    let Some(Answer::AccessGet { error, result, .. }) = call(&mut wire, "access_get", json!({})).await.result else {
        panic!("no answer")
    };
    assert_eq!(error.unwrap().code, Some(-32601));
    assert!(result.access_key.is_empty(), "a zero value");
}

#[tokio::test]
async fn go_decodes_every_answer_to_robot_run_11_1_must() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["robot_run"]).await;
    let (_, mut wire) = register(&plugd, &access(&["USE_ROBOTS"]), GO).await;
    let done = json!({"output": {"status": "completed", "summary": "done"}});
    for answer in [done.clone(), json!({"error": "no"}), json!({"session_id": "theirs"}), json!({"output": 7})] {
        wire.ask(ID, "robot_run", json!({"message": "hi", "robot_id": "r"})).await;
        let asked = application.call().await;
        application.reply(&asked, &answer).await;
        let Some(Answer::RobotRun { session_id, error, output }) = next(&mut wire).await.result else { panic!() };
        assert!(session_id.is_some(), "{answer}");
        assert_eq!((output.is_some(), error.is_none()), (answer == done, answer == done), "{answer}");
        if let Some(Output { status, summary }) = output {
            assert_eq!((status.as_str(), summary.as_str()), ("completed", "done"));
        }
    }
}

/// An error must come without a result, or with null: `{}` has no `method` to decode it by.
#[tokio::test]
async fn go_decodes_every_error_11_1_must() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), GO).await;
    for (method, params, code) in
        [("invented", json!({}), -32601), ("get_config", json!([]), -32602), ("get_config", json!({"keys": 1}), -32602)]
    {
        let refused = call(&mut wire, method, params).await;
        assert!(refused.result.is_none());
        let Failure { code: told, message } = refused.error.unwrap();
        assert_eq!(told, Some(code), "{method}");
        assert!(message.is_some_and(|message| !message.is_empty()), "{method}");
    }
}

/// What Go decodes of a request: an xid, the method by which the parameters are decoded, and these as an object.
#[tokio::test]
async fn go_decodes_every_request_11_2_must() {
    #[derive(Deserialize)]
    struct Request {
        id: Xid,
        method: String,
        #[serde(default)]
        params: Map<String, Value>,
    }
    let plugd = Plugd::with(&[("PLUGD_PING_INTERVAL", "100ms")]).await;
    let (plugin, mut wire) = register(&plugd, &json!({"events_consumed": ["EventThreadPublished"]}), GO).await;
    publish(&plugd.api(), "EventThreadPublished", &json!({"id": ID})).await;
    let (rest, path) = (plugd.rest(), format!("/api/plugins/{}/configuration", plugin.id));
    let configured = tokio::spawn(async move { rest.patch(&path, Body::Json(json!({}))).await });
    let mut missing = vec!["configure", "event", "ping"];
    let asked = async {
        while !missing.is_empty() {
            let text = wire.text().await.unwrap();
            let Request { id, method, params } = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            missing.retain(|name| *name != method);
            assert_eq!(params.contains_key("event"), method == "event", "{text}");
            wire.answer(&json!({"id": id.0, "method": method}), json!({"ok": true, "pong": true})).await;
        }
    };
    within("a request of each kind", asked).await;
    configured.await.unwrap().expect(200);
}
