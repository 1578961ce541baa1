//! Payloads of Storyden's events (CONTRACT 12). Each of the 42 is held at the wire; here what is refused.

use super::*;
use crate::{
    bus::Events,
    domain::events::{EventCatalog, is_name},
    storyden::events::{catalog, encode, names},
};

const ID: &str = "9m4e2mr0ui3e8a215n4g";

#[test]
fn every_event_of_the_catalogue_has_a_payload() {
    let names: std::collections::BTreeSet<_> = names().collect();
    assert_eq!(names.len(), 42);
    for name in names {
        assert!(is_name(name) && catalog().has(name), "{name}");
        assert!(encode(name, Map::new()).is_err(), "{name} carries nothing");
    }
    assert!(!catalog().has("EventInvented"));
    assert_eq!(encode("order.paid", object(json!({"a": 1}))).unwrap(), object(json!({"a": 1})));
}

#[test]
fn a_field_that_is_missing_or_malformed_is_named() {
    let reference = json!({"kind": "post", "id": ID});
    for (name, payload, field) in [
        ("EventThreadPublished", json!({}), "payload.id"),
        ("EventThreadPublished", json!({"id": null}), "payload.id"),
        ("EventThreadPublished", json!({"id": "9m4e2mr0ui3e8a215n4v"}), "payload.id"),
        ("EventThreadPublished", json!({"id": 7}), "payload.id"),
        ("EventThreadPublished", json!({"id": "X"}), "payload.id"),
        ("EventSettingsUpdated", json!({"settings": "O"}), "payload.settings"),
        ("EventMemberMentioned", json!({"by": ID, "source": "R", "item": reference}), "payload.source"),
        ("EventNodeCreated", json!({"id": ID, "slug": 1}), "payload.slug"),
        ("EventMemberMentioned", json!({"by": ID, "source": ID, "item": reference}), "payload.source"),
        (
            "EventMemberMentioned",
            json!({"by": ID, "source": reference, "item": {"kind": "x", "id": ID}}),
            "payload.item.kind",
        ),
        ("EventReportUpdated", json!({"id": ID, "status": "open"}), "payload.status"),
        ("EventSettingsUpdated", json!({"settings": []}), "payload.settings"),
    ] {
        let error = encode(name, object(payload.clone())).unwrap_err();
        assert_eq!(error.violations[0].field, field, "{name} {payload}");
    }
}

#[test]
fn what_is_not_documented_and_what_is_null_is_left_out() {
    let given = json!({"id": ID, "new": 1, "reported_by": null, "target": {"kind": "node", "id": ID, "new": 2}});
    let sent = encode("EventReportCreated", object(given)).unwrap();
    assert_eq!(Value::Object(sent), json!({"id": ID, "target": {"kind": "node", "id": ID}}));
}

/// Who did not choose a catalogue names events as they like, and fills them as they like.
#[tokio::test(start_paused = true)]
async fn without_a_catalogue_every_payload_passes() {
    let world = mk_world().await;
    for (catalog, is_taken) in [(EventCatalog::any(), true), (catalog(), false)] {
        let events = Events::new(world.handle.projection().clone(), catalog, encode);
        assert_eq!(events.publish("EventThreadPublished", object(json!({"a": 1})), None).is_ok(), is_taken);
    }
    world.shut_down().await;
}
