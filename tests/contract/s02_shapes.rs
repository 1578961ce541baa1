//! Section 2 of the contract: what a plugin and its parts look like, key by key, because clients tell shapes apart by the
//! keys that are there.
//!
//! Held elsewhere: `details` that are empty in the unit tests of `src/rest` (views), for every real error has some;
//! defaults that are no 32-bit floats in `s03_rest::configuration`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plugd::api::v1::ReportedState;
use serde_json::{Value, json};

use super::support::{Wire, keys, settle};
use crate::harness::{Body, Plugd, Rest, chaos, chaos_manifest, external_manifest, packaged};

const PLUGIN: [&str; 9] =
    ["added_at", "connection", "description", "id", "manifest", "name", "plugd", "status", "version"];

fn time(value: &Value) -> Timestamp {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn register(rest: &Rest, manifest: Value) -> Value {
    rest.post("/api/plugins", Body::Json(json!({"mode": "external", "manifest": manifest}))).await.expect(200)
}

#[tokio::test]
async fn a_plugin_has_these_keys_and_the_installation_has_an_id_of_its_own_2_1() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let first = rest.post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.expect(200);
    let second = rest.post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.expect(200);
    assert_ne!(first["id"], second["id"], "the same package may be installed twice");
    for plugin in [&first, &second] {
        assert_eq!(keys(plugin), PLUGIN);
        let id = plugin["id"].as_str().unwrap();
        assert_eq!(id.parse::<xid::Id>().unwrap().to_string(), id, "a canonical xid");
        time(&plugin["added_at"]);
        let manifest = chaos_manifest(&["tame"]);
        for key in ["name", "description", "version"] {
            assert_eq!(plugin[key], manifest[key]);
        }
        assert_eq!(plugin["manifest"], manifest);
    }
    assert_eq!(rest.get("/api/plugins").await.expect(200), json!({"plugins": [first, second]}), "in that order, 2.2");
}

/// Also what the manifest does not say is there, and what it says in vain is not (5.3).
#[tokio::test]
async fn description_and_version_are_there_when_they_are_empty_2_1() {
    let plugd = Plugd::start().await;
    let manifest = json!({"id": "bare", "author": "me", "name": "Bare", "args": [], "unknown": 1, "access": null});
    let plugin = register(&plugd.rest(), manifest).await;
    assert_eq!(keys(&plugin), PLUGIN);
    assert_eq!((&plugin["description"], &plugin["version"]), (&json!(""), &json!("")));
    let normalised =
        json!({"id": "bare", "author": "me", "name": "Bare", "description": "", "version": "", "command": ""});
    assert_eq!(plugin["manifest"], normalised);
}

#[tokio::test]
async fn a_supervised_connection_has_no_token_and_an_external_one_shows_it_on_every_read_2_1() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let supervised = json!({"mode": "supervised"});
    assert_eq!(rest.get(&format!("/api/plugins/{id}")).await.expect(200)["connection"], supervised);
    let outside = register(&rest, external_manifest("outside")).await;
    let token = outside["connection"]["token"].clone();
    let connection = json!({"mode": "external", "token": token});
    let path = format!("/api/plugins/{}", outside["id"].as_str().unwrap());
    let changed = rest.patch(&format!("{path}/manifest"), Body::Json(external_manifest("other"))).await.expect(200);
    for read in [&outside, &rest.get(&path).await.expect(200), &rest.list().await[1], &changed] {
        assert_eq!(read["connection"], connection);
    }
    let cycled = rest.post(&format!("{path}/token"), Body::None).await.expect(200);
    assert_eq!(keys(&cycled), ["token"], "2.2");
    assert_ne!(cycled["token"], token);
    assert_eq!(rest.get(&path).await.expect(200)["connection"]["token"], cycled["token"]);
}

/// The keys of a status, by what it says.
fn expected(status: &Value) -> Vec<&'static str> {
    let mut expected = match status["active_state"].as_str().unwrap() {
        "inactive" => vec!["active_state", "deactivated_at"],
        "starting" => vec!["active_state", "starting_at"],
        "connecting" => vec!["active_state", "connecting_at"],
        "active" => vec!["activated_at", "active_state"],
        "error" | "restarting" => vec!["active_state", "details", "message"],
        other => panic!("no client knows {other:?}"),
    };
    if status.get("transition").is_some() {
        assert_eq!(status["transition"], "stopping");
        expected.push("transition");
    }
    expected
}

fn check(status: &Value) {
    assert_eq!(keys(status), expected(status), "{status}");
    for (key, value) in status.as_object().unwrap() {
        match key.as_str() {
            "message" => assert!(!value.as_str().unwrap().is_empty(), "{status}"),
            "details" => assert!(value.is_object(), "{status}"),
            "active_state" | "transition" => {}
            _ => assert!(time(value) > Timestamp::UNIX_EPOCH, "{status}"),
        }
    }
}

/// Every status that any plugin has on its way, as a client sees it. A plugin that is being stopped shows the state that
/// it leaves (plugd's own decision).
#[tokio::test]
async fn each_state_has_its_own_keys_and_no_others_2_1() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "20ms"), ("PLUGD_MAX_RESTART_ATTEMPTS", "1")]).await;
    let rest = plugd.rest();
    let mut watch = rest.stream("/api/plugins/watch", &[]);
    watch.until(|event| event.name == "snapshot_end").await;
    let good = rest.install(chaos(&["tame"])).await;
    rest.set_active(&good, "active").await.expect(200);
    rest.set_active(&good, "inactive").await.expect(200);
    let bad = rest.install(chaos(&["exit", "42"])).await;
    rest.set_active(&bad, "active").await.problem(502);
    rest.set_active(&bad, "inactive").await.expect(200);
    register(&rest, external_manifest("last")).await;

    let events = watch.until(|event| event.data.contains(r#""name":"last""#)).await;

    let mut seen = BTreeSet::new();
    for event in events.iter().map(crate::harness::Event::json) {
        let status = &event["plugin"]["status"];
        check(status);
        assert!(!(status["active_state"] == "inactive" && event["plugin"]["plugd"].get("pid").is_some()), "{event}");
        seen.insert(format!("{}{}", status["active_state"], status.get("transition").map_or("", |_| " stopping")));
    }
    let states = ["inactive", "starting", "connecting", "active", "error", "restarting"];
    let mut all: BTreeSet<_> = states.map(|state| format!("{state:?}")).into();
    all.insert("\"active\" stopping".to_owned());
    assert!(seen.is_superset(&all), "{seen:?}");
}

/// What stands in the reads is what stood in the events.
#[tokio::test]
async fn the_message_and_the_details_are_the_runtimes_2_1() {
    let plugd = Plugd::with(&[("PLUGD_MAX_RESTART_ATTEMPTS", "0")]).await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["exit", "42"])).await;
    rest.set_active(&id, "active").await.problem(502);
    let status = &rest.get(&format!("/api/plugins/{id}")).await.expect(200)["status"];
    assert_eq!((&status["active_state"], &status["message"]), (&json!("error"), &json!("exit status 42")));
    assert_eq!((&status["details"]["stage"], &status["details"]["exit_code"]), (&json!("exit"), &json!(42)));
    assert_eq!(rest.set_active(&id, "inactive").await.expect(200)["status"]["active_state"], "inactive");
}

#[tokio::test]
async fn a_state_has_the_time_of_its_beginning_2_1() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let path = format!("/api/plugins/{id}");
    let activated = rest.set_active(&id, "active").await.expect(200)["status"]["activated_at"].clone();
    assert_eq!(rest.get(&path).await.expect(200)["status"]["activated_at"], activated, "it does not move");
    let deactivated = rest.set_active(&id, "inactive").await.expect(200)["status"]["deactivated_at"].clone();
    let again = rest.set_active(&id, "active").await.expect(200)["status"]["activated_at"].clone();
    assert!(time(&activated) < time(&deactivated) && time(&deactivated) < time(&again));
}

#[tokio::test]
async fn activated_at_is_when_the_present_connection_became_active_2_1() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let plugin = register(&rest, external_manifest("outside")).await;
    let (id, token) = (plugin["id"].as_str().unwrap(), plugin["connection"]["token"].as_str().unwrap());
    let mut times = vec![time(&plugin["status"]["connecting_at"])];
    for _ in 0..2 {
        let wire = Wire::dial(&plugd, token).await.unwrap();
        settle(&plugd, id, ReportedState::Active).await;
        times.push(time(&rest.get(&format!("/api/plugins/{id}")).await.expect(200)["status"]["activated_at"]));
        drop(wire);
        settle(&plugd, id, ReportedState::Connecting).await;
    }
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[tokio::test]
async fn a_list_of_none_is_a_list_2_2() {
    let plugd = Plugd::start().await;
    assert_eq!(plugd.rest().get("/api/plugins").await.bytes, b"{\"plugins\":[]}\n");
}

#[tokio::test]
async fn a_field_has_its_texts_always_and_a_default_only_if_declared_2_2() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["configuration_schema"] = json!({"fields": [
        {"type": "string", "id": "greeting", "label": "Greeting", "description": "First word.", "default": "hi"},
        {"type": "number", "id": "ratio", "default": 0.1},
        {"type": "number", "id": "count", "label": null},
        {"type": "boolean", "default": false},
    ]});
    let id = rest.install(packaged(&manifest)).await;
    let schema = rest.get(&format!("/api/plugins/{id}/configuration-schema")).await.expect(200);
    let fields = json!([
        {"type": "string", "id": "greeting", "label": "Greeting", "description": "First word.", "default": "hi"},
        {"type": "number", "id": "ratio", "label": "", "description": "", "default": 0.1},
        {"type": "number", "id": "count", "label": "", "description": ""},
        {"type": "boolean", "id": "", "label": "", "description": "", "default": false},
    ]);
    assert_eq!(schema, json!({"fields": fields}));
    let bare = register(&rest, external_manifest("bare")).await;
    let path = format!("/api/plugins/{}", bare["id"].as_str().unwrap());
    assert_eq!(rest.get(&format!("{path}/configuration-schema")).await.bytes, b"{\"fields\":[]}\n");
    assert_eq!(rest.get(&format!("{path}/configuration")).await.bytes, b"{}\n");
}
