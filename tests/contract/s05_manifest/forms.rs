//! 5.2 and 5.3: how problems are told, and the one form in which a manifest comes back.

use serde_json::{Value, json};

use super::{keys, refused, taken, with};
use crate::harness::{Body, Plugd, zipped};

#[tokio::test]
async fn all_problems_are_told_at_once_a_line_each_5_2() {
    let plugd = Plugd::start().await;
    let manifest = json!({"id": "-", "name": "", "args": [1], "events_consumed": ["not ok", "fine"], "access": 1});

    let title = refused(&plugd, &manifest).await;

    let lines: Vec<_> = title.lines().collect();
    assert_eq!(lines.len(), 6, "{title}");
    assert!(lines[0].starts_with("Field \"id\" is invalid. "));
    assert_eq!(lines[1], "Field \"author\" is required.");
    assert!(lines[2].starts_with("Field \"name\" is invalid. "));
    assert_eq!(lines[3], "Field \"args[0]\" must be a string.");
    assert!(lines[4].starts_with("Field \"events_consumed\" contains unknown event \"not ok\"."));
    assert_eq!(lines[5], "Field \"access\" must be an object.");
}

#[tokio::test]
async fn each_event_that_a_catalogue_does_not_know_has_its_line_5_2() {
    let plugd = Plugd::with(&[("PLUGD_EVENT_CATALOG", "storyden")]).await;
    let manifest = with(&json!({"events_consumed": ["Nonsense", "EventPostLiked", "EventNonsense"]}));

    // Without the help of the shared checks: they register names that are in no catalogue.
    let problem = plugd.rest().post("/api/plugins", super::registration(&manifest)).await.problem(400);

    let lines = "Field \"events_consumed\" contains unknown event \"Nonsense\".\n\
                 Field \"events_consumed\" contains unknown event \"EventNonsense\".";
    assert_eq!(problem["title"], lines);
}

#[tokio::test]
async fn without_a_catalogue_any_well_formed_event_name_is_known_5_1() {
    let plugd = Plugd::start().await;
    for good in ["a", "order.paid", "Order_Paid-2", &format!("a{}", "b".repeat(127))] {
        assert_eq!(taken(&plugd, &with(&json!({"events_consumed": [good]}))).await["events_consumed"], json!([good]));
    }
    for bad in ["", "1a", ".a", "a b", "\u{e9}", &format!("a{}", "b".repeat(128))] {
        let title = refused(&plugd, &with(&json!({"events_consumed": [bad]}))).await;
        assert!(title.starts_with("Field \"events_consumed\" contains unknown event \""), "{title}");
        assert_eq!(title.lines().count(), 1, "{title}");
    }
}

#[tokio::test]
async fn an_event_that_is_named_twice_is_kept_once_5_3() {
    let plugd = Plugd::start().await;
    let manifest = with(&json!({"events_consumed": ["b", "a", "b", "a"]}));
    assert_eq!(taken(&plugd, &manifest).await["events_consumed"], json!(["b", "a"]));
}

#[tokio::test]
async fn six_members_are_always_there_and_the_others_only_when_they_hold_something_5_3() {
    const ALWAYS: [&str; 6] = ["author", "command", "description", "id", "name", "version"];
    let plugd = Plugd::start().await;
    assert_eq!(keys(&taken(&plugd, &with(&json!({}))).await), ALWAYS);
    let empty = json!({"args": [], "events_consumed": [], "capabilities": [], "configuration_schema": {"fields": []}});
    assert_eq!(keys(&taken(&plugd, &with(&empty)).await), ALWAYS);

    let full = json!({
        "id": "greeter", "author": "plugd", "name": "Greeter", "description": "d", "version": "1", "command": "./g",
        "args": ["-v", ""], "events_consumed": ["EventPostLiked"],
        "access": {"handle": "h", "name": "n", "permissions": []},
        "configuration_schema": {"fields": [{"type": "string", "id": "i", "label": "l", "description": "d"}]},
        "capabilities": [{"type": "robot.llm_provider", "id": "p", "version": "1"}],
    });
    assert_eq!(taken(&plugd, &full).await, full);
}

/// Adds a key that nobody knows to every object.
fn litter(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(litter);
            map.insert("unknown".to_owned(), json!({"deep": 1}));
        }
        Value::Array(items) => items.iter_mut().for_each(litter),
        _ => {}
    }
}

#[tokio::test]
async fn unknown_keys_are_dropped_at_every_level_5_1() {
    let plugd = Plugd::start().await;
    let clean = with(&json!({
        "access": {"handle": "h", "name": "n", "permissions": [], "links": [{"text": "t", "url": "u"}]},
        "configuration_schema": {"fields": [{"type": "string", "id": "i"}]},
        "capabilities": [{"type": "robot.llm_provider", "id": "p", "version": "1"}],
    }));
    let mut littered = clean.clone();
    litter(&mut littered);
    assert_eq!(taken(&plugd, &littered).await, taken(&plugd, &clean).await);
}

/// YAML is what developers write; the command line turns it into JSON before it is sent.
#[tokio::test]
async fn a_manifest_in_a_package_is_json_in_a_file_of_that_name_5_1() {
    let plugd = Plugd::start().await;
    let yaml = b"id: greeter\nauthor: plugd\nname: Greeter\n";
    for name in ["manifest.yaml", "manifest.yml", "Manifest.json"] {
        let archive = zipped(&[(name, if name.ends_with("json") { b"{}" } else { &yaml[..] }, 0o644)]);
        let problem = plugd.rest().post("/api/plugins", Body::Zip(archive)).await.problem(400);
        assert!(problem["title"].as_str().unwrap().contains("manifest.json"), "{problem}");
    }
    let archive = zipped(&[("manifest.json", yaml, 0o644)]);
    let problem = plugd.rest().post("/api/plugins", Body::Zip(archive)).await.problem(400);
    assert!(problem["title"].as_str().unwrap().contains("is not valid JSON"), "{problem}");
}
