//! Events (CONTRACT 12).
//!
//! What is refused of a payload, field by field, is held in `storyden::tests::events`.

#![allow(clippy::print_stdout, reason = "the loss is reported")]

use plugd::api::v1::{PluginEvent, WatchStateRequest, watch_state_request::Start};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::{Wire, publish, register, try_publish};
use crate::harness::{Plugd, field_violations, status_of};

fn consuming(events: &[&str]) -> Value {
    json!({"events_consumed": events})
}

/// CONTRACT 12: only names of the manifest, the payload flat with `event`, each plugin once.
#[tokio::test]
async fn an_event_goes_once_to_each_connected_plugin_that_consumes_it_12() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (_, mut one) = register(&plugd, &consuming(&["EventPostLiked", "EventPostLiked", "order.paid"]), "").await;
    let (_, mut two) = register(&plugd, &consuming(&["EventPostLiked"]), "").await;
    let (_, mut other) = register(&plugd, &consuming(&["EventPostUnliked"]), "").await;
    let payload = json!({"post_id": "9m4e2mr0ui3e8a215n4g", "root_post_id": "9m4e2mr0ui3e8a215n50"});
    assert_eq!(publish(&api, "EventPostLiked", &payload).await, (2, 2));
    let mut expected = payload;
    expected["event"] = json!("EventPostLiked");
    for wire in [&mut one, &mut two] {
        let request = wire.request().await;
        assert_eq!((&request["method"], &request["params"]), (&json!("event"), &expected));
        wire.answer(&request, json!({"ok": true})).await;
        let next = wire.call("1", "get_config", json!({})).await;
        assert_eq!(next["id"], "1", "once only");
    }
    assert_eq!(other.call("1", "get_config", json!({})).await["id"], "1", "it consumes something else");
    assert_eq!(publish(&api, "EventPostUnreacted", &json!({})).await, (0, 0));
}

/// CONTRACT 12: in order for each plugin.
#[tokio::test]
async fn a_plugin_gets_its_events_in_the_order_in_which_they_were_published_12() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (_, mut one) = register(&plugd, &consuming(&["order.paid"]), "").await;
    let (_, mut two) = register(&plugd, &consuming(&["order.paid", "order.sent"]), "").await;
    let last = |payload: &Value| payload["number"] == 199;
    let publishing = async {
        for number in 0..200 {
            let name = if number % 2 == 0 { "order.sent" } else { "order.paid" };
            publish(&api, name, &json!({"number": number})).await;
        }
    };
    let (paid, both, ()) = tokio::join!(one.take_events(last), two.take_events(last), publishing);
    let numbers = |events: &[Value]| events.iter().map(|event| event["number"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&both), (0..200).collect::<Vec<_>>());
    assert_eq!(numbers(&paid), (0..200).filter(|number| number % 2 == 1).collect::<Vec<_>>());
}

/// CONTRACT 11.3 (c), 12: a plugin that answers nothing delays nobody; what its full queue loses is counted, and shown
/// by the watch while it still answers nothing.
#[tokio::test]
async fn a_plugin_that_answers_nothing_loses_events_before_the_eyes_of_every_watcher_and_delays_nobody_12() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (deaf, mut silent) = register(&plugd, &consuming(&["order.paid"]), "").await;
    let (_, mut quick) = register(&plugd, &consuming(&["order.paid"]), "").await;
    let request = WatchStateRequest {
        plugin_ids: vec![deaf.id.clone()],
        start: Some(Start::LiveOnly(true)),
        ..Default::default()
    };
    let mut watch = api.watch(request).await.unwrap();
    let began = Instant::now();
    let publishing = async {
        let mut accepted = 0;
        for number in 0..400 {
            let published = publish(&api, "order.paid", &json!({"number": number})).await;
            assert_eq!(published.0, 2);
            accepted += published.1;
        }
        accepted
    };
    let (accepted, taken) = tokio::join!(publishing, quick.take_events(|payload| payload["number"] == 399));
    assert_eq!(taken.len(), 400, "the other one gets all of them");
    let lost = u64::from(800 - accepted);
    assert!(lost > 100, "{lost}");
    let has_all = |event: &PluginEvent| status_of(event.plugin.as_ref().unwrap()).events_dropped == lost;
    watch.until(has_all).await;
    println!("400 events beside a deaf plugin, {lost} lost and shown after {:?}", began.elapsed());
    let first = silent.request().await;
    assert_eq!(first["params"]["number"], 0, "the rest waits for its answer");
}

/// CONTRACT 12: nothing is queued for disconnected plugins.
#[tokio::test]
async fn what_was_published_while_a_plugin_was_away_never_reaches_it_12() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (plugin, mut first) = register(&plugd, &consuming(&["order.paid"]), "").await;
    publish(&api, "order.paid", &json!({"number": 1})).await;
    publish(&api, "order.paid", &json!({"number": 2})).await;
    assert_eq!(first.request().await["params"]["number"], 1);
    drop(first);
    super::support::settle(&plugd, &plugin.id, plugd::api::v1::ReportedState::Connecting).await;
    assert_eq!(publish(&api, "order.paid", &json!({"number": 3})).await, (0, 0));
    let mut second = Wire::dial(&plugd, plugin.token()).await.unwrap();
    super::support::settle(&plugd, &plugin.id, plugd::api::v1::ReportedState::Active).await;
    publish(&api, "order.paid", &json!({"number": 4})).await;
    assert_eq!(second.request().await["params"]["number"], 4);
}

/// CONTRACT 12: an error reply is the plugin's affair; the next event comes.
#[tokio::test]
async fn an_event_that_the_plugin_refuses_is_not_sent_again_12() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (_, mut wire) = register(&plugd, &consuming(&["order.paid"]), "").await;
    for number in 0..3 {
        publish(&api, "order.paid", &json!({"number": number})).await;
    }
    for number in 0..3 {
        let request = wire.request().await;
        assert_eq!(request["params"]["number"], number);
        wire.refuse(&request, -32000, "handler error: no").await;
    }
    assert_eq!(wire.call("1", "get_config", json!({})).await["id"], "1");
}

/// CONTRACT 5.1 and plugd's own decision: with the catalogue, 42 names and no other.
#[tokio::test]
async fn with_the_catalogue_other_names_are_refused_in_manifests_and_publications_12() {
    let plugd = Plugd::with(&[("PLUGD_EVENT_CATALOG", "storyden")]).await;
    let api = plugd.api();
    let refused = api.register(&super::support::external("a", &consuming(&["order.paid"]))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("unknown event \"order.paid\""), "{refused}");
    register(&plugd, &consuming(&["EventSettingsUpdated"]), "").await;
    let request = plugd::api::v1::PublishEventRequest { name: "order.paid".to_owned(), payload: None };
    assert_eq!(api.bus().publish_event(request).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

/// plugd's own decision: without a catalogue any name that keeps the rule, and none that does not.
#[tokio::test]
async fn a_name_that_breaks_the_rule_is_refused_in_publications_12() {
    let plugd = Plugd::start().await;
    for name in ["", "not a name", "9to5", &"x".repeat(129)] {
        let refused = try_publish(&plugd.api(), name, &json!({})).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{name}");
    }
    assert_eq!(publish(&plugd.api(), &"x".repeat(128), &json!({})).await, (0, 0));
}

const X: &str = "9m4e2mr0ui3e8a215n4g";

/// Every event of the catalogue, and the fullest payload that it may have. `?` stands behind what may be absent.
fn catalogue() -> Vec<(&'static str, Value)> {
    let reference = json!({"kind": "post", "id": X});
    let node = json!({"node_id": X, "node_slug": "s", "version_id": "v", "author_id": X});
    let groups = [
        ("EventThreadPublished EventThreadUnpublished EventThreadUpdated EventThreadDeleted", json!({"id": X})),
        (
            "EventThreadReplyCreated",
            json!({"thread_id": X, "reply_id": X, "thread_author_id": X, "reply_author_id": X,
                   "reply_to_author_id?": X, "reply_to_target_id?": X}),
        ),
        (
            "EventThreadReplyDeleted EventThreadReplyUpdated EventThreadReplyPublished EventThreadReplyUnpublished",
            json!({"thread_id": X, "reply_id": X}),
        ),
        (
            "EventPostLiked EventPostUnliked EventPostReacted EventPostUnreacted",
            json!({"post_id": X, "root_post_id": X}),
        ),
        ("EventCategoryUpdated EventCategoryDeleted", json!({"id": X, "slug": "s"})),
        ("EventMemberMentioned", json!({"by": X, "source": reference, "item": reference})),
        (
            "EventNodeCreated EventNodeUpdated EventNodeDeleted EventNodePublished EventNodeSubmittedForReview \
             EventNodeUnpublished",
            json!({"id": X, "slug": "s"}),
        ),
        (
            "EventNodeVersionDraftCreated EventNodeVersionDraftUpdated EventNodeVersionDraftDeleted \
             EventNodeVersionDraftApplied",
            node,
        ),
        ("EventAccountCreated EventAccountUpdated EventAccountSuspended EventAccountUnsuspended", json!({"id": X})),
        ("EventModerationNoteCreated EventModerationNoteDeleted", json!({"account_id": X, "note_id": X})),
        ("EventAccountWarned EventAccountWarningDeleted", json!({"account_id": X, "author_id": X, "warning_id": "w"})),
        (
            "EventAccountWarningUpdated",
            json!({"account_id": X, "author_id": X, "warning_id": "w", "previous_reason": "", "reason": "r"}),
        ),
        ("EventReportCreated", json!({"id": X, "target?": reference, "reported_by?": X})),
        (
            "EventReportUpdated",
            json!({"id": X, "status": "acknowledged", "target?": reference, "reported_by?": X, "handled_by?": X}),
        ),
        ("EventActivityCreated EventActivityUpdated EventActivityDeleted EventActivityPublished", json!({"id": X})),
        ("EventSettingsUpdated", json!({"settings": {"title": "t", "nested": {"a": [1]}}})),
    ];
    let each =
        |(names, payload): (&'static str, Value)| names.split_whitespace().map(move |name| (name, payload.clone()));
    groups.into_iter().flat_map(each).collect()
}

/// Without the marks, and without what may be absent if that is not wanted.
fn payload(marked: &Value, is_full: bool) -> Value {
    let kept = marked.as_object().unwrap().iter().filter(|(key, _)| is_full || !key.ends_with('?'));
    kept.map(|(key, value)| (key.trim_end_matches('?').to_owned(), value.clone())).collect()
}

/// As Python tolerates it: what is absent may be null, and does not travel.
fn with_nulls(marked: &Value) -> Value {
    let nulled = |(key, value): (&String, &Value)| match key.strip_suffix('?') {
        Some(key) => (key.to_owned(), Value::Null),
        None => (key.clone(), value.clone()),
    };
    marked.as_object().unwrap().iter().map(nulled).collect()
}

#[tokio::test]
async fn each_of_the_42_events_is_delivered_with_exactly_its_documented_keys_12() {
    let plugd = Plugd::with(&[("PLUGD_EVENT_CATALOG", "storyden")]).await;
    let api = plugd.api();
    let events = catalogue();
    assert_eq!(events.len(), 42);
    let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
    let (_, mut wire) = register(&plugd, &consuming(&names), "").await;
    for (name, marked) in &events {
        let (full, least) = (payload(marked, true), payload(marked, false));
        let mut undocumented = full.clone();
        undocumented["invented"] = json!(1);
        for (published, delivered) in [(&full, &full), (&undocumented, &full), (&with_nulls(marked), &least)] {
            assert_eq!(publish(&api, name, published).await, (1, 1), "{name}");
            let (request, received) = wire.request_of("event").await;
            let mut expected = delivered.clone();
            expected["event"] = json!(name);
            assert_eq!(received, expected, "{name}");
            wire.answer(&request, json!({"ok": true})).await;
        }
    }
}

#[tokio::test]
async fn an_event_of_the_catalogue_without_one_of_its_keys_is_refused_12() {
    let plugd = Plugd::with(&[("PLUGD_EVENT_CATALOG", "storyden")]).await;
    for (name, marked) in catalogue() {
        let full = payload(&marked, true);
        for key in payload(&marked, false).as_object().unwrap().keys() {
            let mut without = full.clone();
            without.as_object_mut().unwrap().remove(key);
            let refused = try_publish(&plugd.api(), name, &without).await.unwrap_err();
            assert_eq!(field_violations(&refused), [format!("payload.{key}")], "{name}");
        }
    }
}
