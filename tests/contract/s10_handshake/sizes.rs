//! Long messages (CONTRACT 10.4 and 19, row 3): up to 4 MiB from a plugin, up to 1 MiB to it.

use std::time::Duration;

use plugd::api::v1::ReportedState::{Active, Connecting};
use serde_json::json;
use tonic::Code;

use super::super::support::{Application, Wire, call_plugin, register, settle, try_publish};
use crate::harness::{Body, Plugd, reason};

/// Bytes of the longest message that plugd takes.
const LONGEST_FROM: usize = 4 << 20;
/// Bytes of the longest message that it sends: the Python SDK takes no more.
const LONGEST_TO: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(20);

/// A frame as a client sends it, masked with zeros. 0x81 begins and ends a text, 0x01 begins one, 0x00 goes on with it.
fn frame(head: u8, bytes: usize) -> Vec<u8> {
    let mut frame = vec![head, 0xff];
    frame.extend(u64::try_from(bytes).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + bytes, b' ');
    frame
}

#[tokio::test]
async fn a_message_of_exactly_4_mib_is_taken_10_4() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let empty = json!({"jsonrpc": "2.0", "id": "big", "method": "get_config", "params": {"keys": [""]}}).to_string();
    let largest = empty.replace("[\"\"]", &format!("[\"{}\"]", "x".repeat(LONGEST_FROM - empty.len())));
    assert_eq!(largest.len(), LONGEST_FROM);
    wire.send(largest).await;
    assert_eq!(wire.frame().await.unwrap()["id"], "big");
}

#[tokio::test]
async fn a_frame_that_announces_one_byte_more_is_closed_with_1009_at_once_10_4() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    wire.send_raw(&frame(0x81, LONGEST_FROM + 1)[..14]).await;
    assert_eq!(wire.closed().await.0, 1009);
    settle(&plugd, &plugin.id, Connecting).await;
}

/// It reads nothing before it has sent everything: the code must not be lost with the bytes that nobody wants.
#[tokio::test]
async fn a_plugin_that_sends_6_mib_in_one_frame_or_in_parts_learns_of_1009_10_4() {
    let plugd = Plugd::start().await;
    let whole = frame(0x81, 6 << 20);
    let parts = [0x01, 0x00, 0x00, 0x00, 0x00, 0x80].map(|head| frame(head, 1 << 20)).concat();
    for message in [whole, parts] {
        let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
        wire.send_raw(&message).await;
        assert_eq!(wire.closed().await.0, 1009);
        settle(&plugd, &plugin.id, Connecting).await;
        let mut again = Wire::dial(&plugd, plugin.token()).await.unwrap();
        assert!(again.is_ponged().await, "it may come back at once");
    }
}

#[tokio::test]
async fn a_call_of_exactly_1_mib_reaches_the_plugin_and_one_byte_more_is_refused_10_4() {
    let plugd = Plugd::start().await;
    let (api, (plugin, mut wire)) = (plugd.api(), register(&plugd, &json!({}), "").await);
    let head = r#"{"id":"9m4e2mr0ui3e8a215n4g","jsonrpc":"2.0","method":"m","params":{"a":""}}"#;
    let params = |more: usize| json!({"a": "x".repeat(LONGEST_TO - head.len() + more)});
    let refused = call_plugin(&api, &plugin.id, ("m", params(1)), LIMIT).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_LARGE"));
    assert!(refused.message().contains("1048577 bytes"), "{refused}");
    let largest = params(0);
    let called = tokio::spawn(async move { call_plugin(&api, &plugin.id, ("m", largest), LIMIT).await });
    let text = wire.text().await.unwrap();
    assert_eq!(text.len(), LONGEST_TO, "the refused one was never sent");
    wire.answer(&serde_json::from_str(&text).unwrap(), json!({})).await;
    called.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_configuration_that_no_plugin_could_take_is_refused_before_it_reaches_one_10_4() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let path = format!("/api/plugins/{}/configuration", plugin.id);
    let refused = plugd.rest().patch(&path, Body::Json(json!({"a": "x".repeat(LONGEST_TO)}))).await.problem(400);
    assert!(refused["detail"].as_str().unwrap().contains("a plugin accepts 1048576"), "{refused}");
    assert_eq!(wire.call("1", "get_config", json!({})).await["result"]["config"], json!({}), "nor was it stored");
    settle(&plugd, &plugin.id, Active).await;
}

#[tokio::test]
async fn an_event_that_no_plugin_could_take_is_refused_when_it_is_published_10_4() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({"events_consumed": ["order.paid"]}), "").await;
    let refused = try_publish(&plugd.api(), "order.paid", &json!({"a": "x".repeat(LONGEST_TO)})).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_LARGE"));
    assert_eq!(try_publish(&plugd.api(), "order.paid", &json!({"a": 1})).await.unwrap(), (1, 1));
    assert_eq!(wire.request_of("event").await.1["a"], 1, "the refused one was never sent");
}

#[tokio::test]
async fn an_answer_that_no_plugin_could_take_is_an_error_instead_10_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("a", "greet", json!({})).await;
    let call = application.call().await;
    application.reply(&call, &json!({"greeting": "x".repeat(LONGEST_TO)})).await;
    let answer = wire.frame().await.unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("a"), &json!(-32000)));
}
