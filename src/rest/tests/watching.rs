//! The stream of changes.

use axum::{body::Body, http::StatusCode};
use serde_json::Value;
use tonic::{Code, Status};

use super::{Harness, ID, admin, fake::told};
use crate::api::v1::{
    Plugin, PluginEvent, WatchStateResponse,
    plugin_event::Kind,
    watch_state_response::{EventBatch, Frame, Heartbeat, Opened, SnapshotChunk, SnapshotEnd},
};

type Message = Result<WatchStateResponse, Status>;

fn frame(revision: u64, frame: Frame) -> Message {
    Ok(WatchStateResponse { cursor: Some(format!("e1:{revision}")), frame: Some(frame) })
}

fn event(kind: Kind, revision: u64) -> PluginEvent {
    let plugin = Some(Plugin { id: ID.to_owned(), ..Plugin::default() });
    let cursor = format!("e1:{revision}");
    PluginEvent { kind: kind.into(), revision, plugin_id: ID.to_owned(), plugin, cursor, ..PluginEvent::default() }
}

fn opened(revision: u64) -> Message {
    frame(revision, Frame::Opened(Opened { head_revision: revision, compact_revision: 2 }))
}

/// A frame in the middle of a snapshot, or before it.
fn unfinished(frame: Frame) -> Message {
    Ok(WatchStateResponse { cursor: None, frame: Some(frame) })
}

fn batch(revision: u64, events: &[PluginEvent]) -> Message {
    frame(revision, Frame::Events(EventBatch::of(events)))
}

/// Name, id and data of each event.
fn parse(text: &str) -> Vec<(String, Option<String>, Value)> {
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let events = text.split_terminator("\n\n");
    let parts = |event: &str| {
        let data = serde_json::from_str(&field(event, "data").unwrap()).unwrap();
        (field(event, "event").unwrap(), field(event, "id"), data)
    };
    events.map(parts).collect()
}

fn names(events: &[(String, Option<String>, Value)]) -> Vec<(&str, Option<&str>)> {
    events.iter().map(|(name, id, _)| (name.as_str(), id.as_deref())).collect()
}

#[tokio::test]
async fn each_frame_has_its_name_and_an_id_where_one_may_resume() {
    let harness = Harness::new();
    harness.fake.watches(vec![
        unfinished(Frame::Opened(Opened { head_revision: 5, compact_revision: 2 })),
        unfinished(Frame::Snapshot(SnapshotChunk { plugins: vec![Plugin::default()] })),
        frame(5, Frame::SnapshotEnd(SnapshotEnd {})),
        batch(8, &[event(Kind::Added, 6), event(Kind::Removed, 7), event(Kind::Changed, 8)]),
        frame(9, Frame::Heartbeat(Heartbeat {})),
    ]);
    let answer = harness.get("/api/plugins/watch").await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = parse(&answer.text);
    #[rustfmt::skip]
    let expected = [
        ("opened", None), ("snapshot", None), ("snapshot_end", Some("e1:5")),
        ("added", Some("e1:6")), ("removed", Some("e1:7")), ("changed", Some("e1:8")),
        ("heartbeat", Some("e1:9")),
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[0].2, serde_json::json!({"head_revision": 5, "compact_revision": 2}));
    assert_eq!(events[1].2["plugins"].as_array().unwrap().len(), 1);
    assert_eq!((&events[3].2["plugin_id"], &events[3].2["plugin"]["id"]), (&ID.into(), &ID.into()));
    assert_eq!((&events[3].2["kind"], &events[3].2["revision"]), (&"added".into(), &6.into()));
}

#[tokio::test]
async fn a_resumed_stream_has_ids_from_its_beginning() {
    let harness = Harness::new();
    harness.fake.watches(vec![opened(5), batch(6, &[event(Kind::Changed, 6)])]);
    let events = parse(&harness.get("/api/plugins/watch?cursor=e1:5").await.text);
    assert_eq!(names(&events), [("opened", Some("e1:5")), ("changed", Some("e1:6"))]);
}

#[tokio::test]
async fn the_header_of_a_browser_that_comes_again_overrides_the_query() {
    let harness = Harness::new();
    for path in ["/api/plugins/watch", "/api/plugins/watch?cursor=e1:1", "/api/plugins/watch?live_only=true"] {
        let request = admin("GET", path).header("last-event-id", "e:2:7").body(Body::empty()).unwrap();
        assert_eq!(harness.send(request).await.status, StatusCode::OK);
        let seen = harness.fake.seen().pop().unwrap();
        assert!(seen.contains(r#"Cursor("e:2:7")"#), "{seen}");
    }
}

#[tokio::test]
async fn filters_and_options_are_passed_on() {
    let harness = Harness::new();
    let query = "plugin_id=a&plugin_id=b&state=active&state=error&live_only=true&heartbeat_seconds=7";
    harness.get(&format!("/api/plugins/watch?{query}")).await;
    let seen = harness.fake.seen().pop().unwrap();
    for part in [r#"plugin_ids: ["a", "b"]"#, "[Active, Error]", "LiveOnly(true)", "seconds: 7"] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[tokio::test]
async fn what_the_query_has_wrong_is_named() {
    let harness = Harness::new();
    for (query, field) in [
        ("state=nonsense", "state"),
        ("live_only=maybe", "live_only"),
        ("live_only=true&cursor=e1:5", "live_only"),
        ("heartbeat_seconds=0", "heartbeat_seconds"),
        ("heartbeat_seconds=301", "heartbeat_seconds"),
        ("heartbeat_seconds=x", "heartbeat_seconds"),
    ] {
        let answer = harness.get(&format!("/api/plugins/watch?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json()["metadata"]["violations"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_cursor_that_is_no_longer_kept_is_gone_whenever_that_is_said() {
    let status = || told(Code::OutOfRange, "REVISION_COMPACTED", "kept from 7 on");
    let harness = Harness::new();
    harness.fake.watches(vec![Err(status())]);
    let answer = harness.get("/api/plugins/watch?cursor=e1:5").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (StatusCode::GONE, Some("revision_compacted")));
    harness.fake.fail(status());
    assert_eq!(harness.get("/api/plugins/watch?cursor=e1:5").await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_stream_that_fails_says_why_and_ends() {
    let harness = Harness::new();
    let failure = Err(told(Code::Unavailable, "DRAINING", "the server drains"));
    harness.fake.watches(vec![opened(5), failure, opened(6)]);
    let events = parse(&harness.get("/api/plugins/watch").await.text);
    assert_eq!(names(&events), [("opened", Some("e1:5")), ("error", None)]);
    assert_eq!((&events[1].2["error"], &events[1].2["status"]), (&"draining".into(), &503.into()));
}
