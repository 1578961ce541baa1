//! A plugin as strict as the Python SDK, and an application in Python (CONTRACT 11, 13).

use std::fs;

use plugd::api::v1::ReportedState::Inactive;
use serde_json::{Value, json};

use super::support::{Application, call_plugin, publish, register};
use crate::harness::{Plugd, Run, Running, is_interrupted_or_ok, python, repository, state_of, zipped};

/// The example `python-echo` as a package.
fn python_echo() -> Vec<u8> {
    let file = |name: &str| fs::read(repository("examples/python-echo").join(name)).unwrap();
    let files = ["manifest.json", "main.py", "protocol.py"].map(|name| (name, file(name)));
    let entries: Vec<_> = files.iter().map(|(name, contents)| (*name, contents.as_slice(), 0o644)).collect();
    zipped(&entries)
}

fn tool_call(arguments: &Value) -> (&'static str, Value) {
    let caller = json!({"provider_id": "echo", "tool_id": "echo", "call_id": "c", "session_id": "9m4e2mr0ui3e8a215n4g",
        "account_id": "9m4e2mr0ui3e8a215n50", "arguments": arguments});
    ("robot_tool_call", caller)
}

/// CONTRACT 11.1: it refuses every frame with a key too many; 11.2: its own ids are rarely canonical.
#[tokio::test]
async fn a_plugin_as_strict_as_the_python_sdk_goes_through_a_whole_session() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(python_echo()).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let mut log = api.logs(&id).await;
    assert_eq!(log.find("config ").await, "{}", "the answer to an id that is no canonical xid came back");

    let answer =
        call_plugin(&api, &id, tool_call(&json!({"text": "hi", "n": [1]})), std::time::Duration::from_secs(20));
    assert_eq!(answer.await.unwrap()["output"], json!({"text": "hi", "n": [1]}));
    assert_eq!(publish(&api, "EventThreadPublished", &json!({"id": "9m4e2mr0ui3e8a215n4g"})).await, (1, 1));
    log.find("request event ").await;
    let path = format!("/api/plugins/{id}/configuration");
    let stored = plugd.rest().patch(&path, crate::harness::Body::Json(json!({"any": "thing"}))).await.expect(200);
    assert_eq!(stored, json!({"any": "thing"}));
    log.find("request configure ").await;
    let unknown =
        call_plugin(&api, &id, ("robot_model_provider_generate", json!({})), std::time::Duration::from_secs(20));
    assert!(unknown.await.unwrap_err().message().contains("-32601"));

    assert_eq!(state_of(&api.deactivate(&id).await.unwrap()), Inactive);
    let said = log.until("disconnected").await;
    assert!(said.iter().all(|line| !line.text.contains("broke the contract")), "{said:?}");
    api.activate(&id).await.unwrap();
    assert!(log.find("config ").await.contains("'any': 'thing'"), "the second run starts with what was stored");
}

/// CONTRACT 11.4, 13: the example application serves plugins of every SDK, publishes, and calls.
#[tokio::test]
async fn an_application_in_python_serves_publishes_and_calls() {
    let plugd = Plugd::start().await;
    let address = plugd.address().to_string();
    let host = |args: &[&str]| {
        let args = [&["--address", &address, "--token", plugd.token()], args].concat();
        python("examples/python-host/host.py", &args)
    };
    let mut serving = Running::start(&mut host(&["serve", "--api-url", "http://forum:3000"]));
    serving.find("serving access_get, robot_run").await;
    let members = json!({"events_consumed": ["EventThreadPublished"],
                         "access": {"handle": "bot", "name": "Bot", "permissions": []}});
    let (_, mut wire) = register(&plugd, &members, "Python/3.11 websockets/15.0.1").await;
    let access = wire.call("vvvvvvvvvvvvvvvvvvvv", "access_get", json!({})).await;
    assert_eq!(access["result"]["result"], json!({"access_key": "sdbak_example", "apibase_url": "http://forum:3000"}));
    let run = wire.call("1", "robot_run", json!({"message": "hello", "session_id": "s"})).await;
    let output = json!({"status": "completed", "summary": "You said: hello"});
    assert_eq!(run["result"], json!({"method": "robot_run", "session_id": "s", "output": output}));
    let blank = wire.call("2", "robot_run", json!({"message": " ", "session_id": "s"})).await;
    assert_eq!(blank["result"], json!({"method": "robot_run", "session_id": "s", "error": "the message is blank"}));

    let payload = r#"{"id": "9m4e2mr0ui3e8a215n4g"}"#;
    let mut publishing = host(&["publish", "EventThreadPublished", payload]);
    let (published, taken) = tokio::join!(publishing.run(), wire.take_events(|_| true));
    assert_eq!(published.text().trim(), "matched 1, accepted 1");
    assert_eq!(taken, [json!({"event": "EventThreadPublished", "id": "9m4e2mr0ui3e8a215n4g"})]);
    serving.interrupt();
    assert!(is_interrupted_or_ok(serving.ended().await));
    let gone = wire.call("3", "robot_run", json!({"message": "hello", "session_id": "s"})).await;
    assert!(gone["result"]["error"].is_string(), "{gone}");
}

/// CONTRACT 11.3: the SDK handles one message at a time; plugd goes on serving what it asked before.
#[tokio::test]
async fn a_plugin_that_asks_while_it_is_called_gets_both_answers() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut application = Application::serve(&api, &["ponder"]).await;
    let id = api.run(&["ask", "ponder"]).await;
    let call = application.call().await;
    let echoed = call_plugin(&api, &id, tool_call(&json!({"text": "hi"})), std::time::Duration::from_secs(20));
    assert_eq!(echoed.await.unwrap()["output"], json!({"text": "hi"}));
    application.reply(&call, &json!({"thought": 42})).await;
    let result: Value = serde_json::from_str(&api.logs(&id).await.find("result ").await).unwrap();
    assert_eq!(result, json!({"method": "ponder", "thought": 42}));
}
