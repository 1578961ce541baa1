//! A plugin as strict as the Python SDK, and an application in Python (CONTRACT 11).

use std::{fs, time::Duration};

use plugd::api::v1::ReportedState::Inactive;
use serde_json::{Value, json};

use super::super::support::{Application, access, call_plugin, publish, register};
use crate::harness::{Plugd, Run, Running, is_interrupted_or_ok, python, repository, state_of, status_of, zipped};

const LIMIT: Duration = Duration::from_secs(20);
const SESSION: &str = "9m4e2mr0ui3e8a215n4g";

/// The example `python-echo` as a package.
fn python_echo() -> Vec<u8> {
    let file = |name: &str| fs::read(repository("examples/python-echo").join(name)).unwrap();
    let files = ["manifest.json", "main.py", "protocol.py"].map(|name| (name, file(name)));
    let entries: Vec<_> = files.iter().map(|(name, contents)| (*name, contents.as_slice(), 0o644)).collect();
    zipped(&entries)
}

fn tool_call(arguments: &Value) -> (&'static str, Value) {
    let caller = json!({"provider_id": "echo", "tool_id": "echo", "call_id": "c", "session_id": SESSION,
        "account_id": "9m4e2mr0ui3e8a215n50", "arguments": arguments});
    ("robot_tool_call", caller)
}

/// Methods that it knows, and does not serve: it looks into what they carry all the same.
fn unserved() -> [(&'static str, Value); 2] {
    let messages = json!([{"role": "user", "content": "hi"}, {"role": "tool", "content": "{}", "tool_call_id": "c"}]);
    let tools = json!([{"name": "t", "parameters": {"type": "object"}}]);
    [
        ("robot_model_provider_list_models", json!({"provider": "p"})),
        ("robot_model_provider_generate", json!({"provider": "p", "model": "m", "messages": messages, "tools": tools})),
    ]
}

/// It refuses every frame with a key too many, an id of ours that is no xid and a result that does not name its method;
/// its own ids are rarely xids.
#[tokio::test]
async fn a_plugin_as_strict_as_the_python_sdk_goes_through_a_whole_session_11_1_must() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(python_echo()).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let mut log = api.logs(&id).await;
    assert_eq!(log.find("config ").await, "{}", "the answer to an id that is no canonical xid came back");

    let answer = call_plugin(&api, &id, tool_call(&json!({"text": "hi", "n": [1]})), LIMIT);
    assert_eq!(answer.await.unwrap()["output"], json!({"text": "hi", "n": [1]}));
    assert_eq!(publish(&api, "EventThreadPublished", &json!({"id": "9m4e2mr0ui3e8a215n4g"})).await, (1, 1));
    log.find("request event ").await;
    let path = format!("/api/plugins/{id}/configuration");
    let stored = plugd.rest().patch(&path, crate::harness::Body::Json(json!({"any": "thing"}))).await.expect(200);
    assert_eq!(stored, json!({"any": "thing"}));
    log.find("request configure ").await;
    for (method, params) in unserved() {
        let refused = call_plugin(&api, &id, (method, params), LIMIT).await.unwrap_err();
        assert!(refused.message().contains("-32601"), "{refused}");
    }

    assert_eq!(state_of(&api.deactivate(&id).await.unwrap()), Inactive);
    let said = log.until("disconnected").await;
    assert!(said.iter().all(|line| !line.text.contains("broke the contract")), "{said:?}");
    api.activate(&id).await.unwrap();
    assert!(log.find("config ").await.contains("'any': 'thing'"), "the second run starts with what was stored");
}

/// The example application.
#[tokio::test]
async fn an_application_in_python_serves_publishes_and_calls_11_4() {
    let plugd = Plugd::start().await;
    let address = plugd.address().to_string();
    let host = |args: &[&str]| {
        let args = [&["--address", &address, "--token", plugd.token()], args].concat();
        python("examples/python-host/host.py", &args)
    };
    let mut serving = Running::start(&mut host(&["serve", "--api-url", "http://forum:3000"]));
    serving.find("serving access_get, robot_run").await;
    let mut members = access(&["USE_ROBOTS"]);
    members["events_consumed"] = json!(["EventThreadPublished"]);
    let (plugin, mut wire) = register(&plugd, &members, "Python/3.11 websockets/15.0.1").await;
    let access = wire.call("vvvvvvvvvvvvvvvvvvvv", "access_get", json!({})).await;
    assert_eq!(access["result"]["result"], json!({"access_key": "sdbak_example", "apibase_url": "http://forum:3000"}));
    let told = serving.find("may USE_ROBOTS during run ").await;
    let plugin = plugd.api().get(&plugin.id).await.unwrap();
    assert!(told.ends_with(status_of(&plugin).run_id()), "{told}");
    let run = wire.call("1", "robot_run", json!({"message": "hello", "session_id": SESSION})).await;
    let output = json!({"status": "completed", "summary": "You said: hello"});
    assert_eq!(run["result"], json!({"method": "robot_run", "session_id": SESSION, "output": output}));
    let blank = wire.call("2", "robot_run", json!({"message": " ", "session_id": SESSION})).await;
    assert!(blank["result"]["error"].is_string(), "{blank}");

    let payload = r#"{"id": "9m4e2mr0ui3e8a215n4g"}"#;
    let mut publishing = host(&["publish", "EventThreadPublished", payload]);
    let (published, taken) = tokio::join!(publishing.run(), wire.take_events(|_| true));
    assert_eq!(published.text().trim(), "matched 1, accepted 1");
    assert_eq!(taken, [json!({"event": "EventThreadPublished", "id": "9m4e2mr0ui3e8a215n4g"})]);
    serving.interrupt();
    assert!(is_interrupted_or_ok(serving.ended().await));
    let gone = wire.call("3", "robot_run", json!({"message": "hello", "session_id": SESSION})).await;
    assert!(gone["result"]["error"].is_string(), "{gone}");
}

#[tokio::test]
async fn a_plugin_that_asks_while_it_is_called_gets_both_answers_11_3() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut application = Application::serve(&api, &["ponder"]).await;
    let id = api.run(&["ask", "ponder"]).await;
    let call = application.call().await;
    let echoed = call_plugin(&api, &id, tool_call(&json!({"text": "hi"})), LIMIT);
    assert_eq!(echoed.await.unwrap()["output"], json!({"text": "hi"}));
    application.reply(&call, &json!({"thought": 42})).await;
    let result: Value = serde_json::from_str(&api.logs(&id).await.find("result ").await).unwrap();
    assert_eq!(result, json!({"method": "ponder", "thought": 42}));
}
