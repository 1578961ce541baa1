//! publish and call.

use serde_json::json;

use super::{error_of, json_of, run};
use crate::harness::Plugd;

#[tokio::test]
async fn an_event_is_published_to_those_that_consume_it() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let mut log = plugd.api().logs(&id).await;
    let published = run(&plugd, &["publish", "EventThreadPublished", r#"{"id": "x"}"#]).await;
    assert_eq!(published.text(), "plugins that consume it: 1, that took it: 1\n");
    log.find("request event").await;
    let nobody = run(&plugd, &["publish", "EventNobodyWants"]).await;
    assert_eq!(nobody.text(), "plugins that consume it: 0, that took it: 0\n");
    assert!(nobody.stderr.contains("events_consumed"), "{}", nobody.stderr);
    let none = json_of(&plugd, &["publish", "EventNobodyWants"]).await;
    assert_eq!(none, json!({"matched": 0, "accepted": 0}));
    assert_eq!(run(&plugd, &["publish", "EventThreadPublished", "[]"]).await.code(), Some(2));
}

#[tokio::test]
async fn a_call_prints_the_result_and_ends_when_its_time_is_up() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let result = json_of(&plugd, &["call", "chaos", "robot_tool_call", r#"{"arguments": {"a": 1}}"#]).await;
    assert_eq!(result["output"], json!({"a": 1}));
    let deaf = plugd.api().run(&["deaf"]).await;
    let late = run(&plugd, &["call", &deaf, "robot_tool_call", "--timeout", "50ms", "-o", "json"]).await;
    assert_eq!((late.code(), &error_of(&late)["reason"]), (Some(7), &json!("PLUGIN_CALL_TIMED_OUT")));
}
