//! Plugins that break the protocol, or end in the middle of it: their authors are told (CONTRACT 11.1).

use std::time::Duration;

use plugd::api::v1::{PluginStatus, WatchStateRequest};
use serde_json::{Value, json};
use tonic_types::StatusExt;

use super::super::support::call_plugin;
use crate::harness::{Api, Body, Plugd, Run, cli, repository, status_of, zipped};

const LIMIT: Duration = Duration::from_secs(20);

/// It answers each call as its arguments say.
const PLUGIN: &str = r#"
import asyncio, json, os, sys, websockets

async def main():
    async with websockets.connect(os.environ["PLUGD_RPC_URL"]) as socket:
        for frame in json.loads(sys.argv[1]):
            await socket.send(frame.encode() if frame == "bytes" else frame)
        print("connected", flush=True)
        async for text in socket:
            call = json.loads(text)
            if call["method"] == "die":
                os._exit(42)
            await socket.send(json.dumps({"id": call["id"], "result": {"method": "another", "ok": True}}))

asyncio.run(main())
"#;

fn packaged(first: &Value) -> Vec<u8> {
    let manifest = json!({"id": "faulty", "author": "tests", "name": "Faulty", "command": "python3",
        "args": ["main.py", first.to_string()]});
    zipped(&[("manifest.json", manifest.to_string().as_bytes(), 0o644), ("main.py", PLUGIN.as_bytes(), 0o644)])
}

async fn run(api: &Api, first: &Value) -> String {
    let id = api.upload(packaged(first)).await.unwrap().id;
    api.activate(&id).await.unwrap();
    id
}

/// The status once so many faults are counted.
async fn counted(api: &Api, id: &str, count: u64) -> PluginStatus {
    let request = WatchStateRequest { plugin_ids: vec![id.to_owned()], ..WatchStateRequest::default() };
    let mut watch = api.watch(request).await.unwrap();
    let mut last = status_of(&watch.snapshot().await[0]).clone();
    while last.protocol_faults < count {
        let event = watch.until(|event| event.plugin_id == id).await.pop().unwrap();
        last = status_of(event.plugin.as_ref().unwrap()).clone();
    }
    last
}

#[tokio::test]
async fn each_fault_is_in_the_log_in_the_status_and_in_what_get_prints_11_1() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = run(&api, &json!(["no json", "bytes", "{\"id\": \"mine\", \"result\": {}}"])).await;
    // Which one it tells depends on how many came before anybody listened.
    api.logs(&id).await.find("plugd: the plugin broke the protocol").await;
    let status = counted(&api, &id, 3).await;
    assert_eq!(status.protocol_faults, 3);
    assert!(status.last_protocol_fault().contains("\"mine\""), "{status:?}");
    let shown = cli(&plugd, &["get", &id]).run().await;
    assert!(shown.text().contains("3, the last one: an answer to the id"), "{}", shown.text());
}

#[tokio::test]
async fn an_answer_that_names_another_method_ends_the_call_with_what_is_wrong_11_1() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = run(&api, &json!([])).await;
    let refused = call_plugin(&api, &id, ("greet", json!({})), LIMIT).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "PLUGIN_CALL_FAILED");
    let words = "its result.method is \"another\" and must be \"greet\"";
    assert!(refused.message().contains(words), "{refused}");
    let rest = plugd.rest();
    let configured = rest.patch(&format!("/api/plugins/{id}/configuration"), Body::Json(json!({}))).await;
    let body = configured.expect(400).to_string();
    assert!(body.contains("must be"), "CONTRACT 3.13, an undecodable reply: {body}");
}

#[tokio::test]
async fn a_call_during_which_the_plugin_dies_says_how_it_ended() {
    let plugd = Plugd::start().await;
    let id = run(&plugd.api(), &json!([])).await;
    let failed = cli(&plugd, &["call", &id, "die"]).run().await;
    assert_eq!(failed.code(), Some(5), "{}", failed.stderr);
    assert!(failed.stderr.contains("went away before it answered: exit status 42"), "{}", failed.stderr);
}

/// The plugin in the README is what people copy.
#[tokio::test]
async fn the_plugin_in_the_readme_runs_and_takes_its_leave() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let (_, sample) = readme.split_once("```python\n").unwrap();
    let (sample, rest) = sample.split_once("```").unwrap();
    let (_, manifest) = rest.split_once("this `manifest.json` beside it: `").unwrap();
    let (manifest, _) = manifest.split_once('`').unwrap();
    let archive = zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("main.py", sample.as_bytes(), 0o644)]);
    let id = api.upload(archive).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let mut log = api.logs(&id).await;
    assert_eq!(log.find("configuration ").await, "{}");
    let path = format!("/api/plugins/{id}/configuration");
    plugd.rest().patch(&path, Body::Json(json!({"greeting": "hi"}))).await.expect(200);
    assert_eq!(log.find("configuration ").await, "{'greeting': 'hi'}");
    api.deactivate(&id).await.unwrap();
    assert_eq!(log.find("closed ").await, "1000", "the connection ended as it should");
    let after = api.logs_as(plugd::api::v1::StreamLogsRequest { plugin_ids: vec![id.clone()], ..Default::default() });
    let lines = after.await.unwrap().rest().await;
    assert!(lines.iter().all(|line| !line.text.contains("Traceback") && !line.text.contains("plugd:")), "{lines:?}");
}
