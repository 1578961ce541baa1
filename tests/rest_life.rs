//! A plugin's whole life over REST by curl: against plugd itself, and against the shim in a process of its own.

use serde_json::{Value, json};

use crate::harness::{Body, Plugd, Rest, chaos, chaos_manifest, external_manifest, packaged, rest_shim, zipped};

macro_rules! served_by_plugd_and_by_the_shim {
    ($($name:ident),+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn by_plugd() {
                let plugd = Plugd::start().await;
                super::$name(&plugd, plugd.rest()).await;
            }

            #[tokio::test]
            async fn by_the_shim() {
                let plugd = Plugd::start().await;
                let (_shim, rest) = rest_shim(&plugd).await;
                super::$name(&plugd, rest).await;
            }
        }
    )+};
}

served_by_plugd_and_by_the_shim! {
    a_supervised_plugin_from_upload_to_deletion,
    an_external_plugin_from_registration_to_deletion,
    a_configuration_is_checked_pushed_and_then_stored,
    errors_are_the_same_everywhere,
    an_update_keeps_what_the_plugin_wrote
}

async fn a_supervised_plugin_from_upload_to_deletion(plugd: &Plugd, rest: Rest) {
    assert_eq!(rest.get("/api/plugins").await.expect(200), json!({"plugins": []}));
    let archive = chaos(&["tame"]);

    let answer = rest.post("/api/plugins", Body::Zip(archive.clone())).await;
    let plugin = answer.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.bytes.ends_with(b"}\n"), "contract 1.3");
    assert_shape(&plugin);
    assert_eq!(plugin["status"]["active_state"], "inactive");
    assert_eq!(plugin["connection"], json!({"mode": "supervised"}));
    assert_eq!(plugin["manifest"], chaos_manifest(&["tame"]));
    let id = plugin["id"].as_str().unwrap();
    let path = format!("/api/plugins/{id}");
    assert_eq!(rest.get(&path).await.expect(200), plugin);
    assert_eq!(rest.list().await, std::slice::from_ref(&plugin));

    let active = rest.set_active(id, "active").await.expect(200);
    assert_eq!(active["status"]["active_state"], "active");
    assert_eq!(Plugd::processes_of(id).len(), 1);
    let download = rest.get(&format!("{path}/package")).await;
    assert_eq!((download.status, &download.bytes), (200, &archive));
    assert_eq!(download.header("content-type"), Some("application/zip"));
    assert_eq!(download.header("content-length"), Some(archive.len().to_string().as_str()));
    assert_eq!(download.header("content-disposition"), Some("attachment; filename=chaos.zip"));
    rest.post(&format!("{path}/token"), Body::None).await.problem(400);
    rest.patch(&format!("{path}/manifest"), Body::Json(external_manifest("chaos"))).await.problem(400);

    let inactive = rest.set_active(id, "inactive").await.expect(200);
    assert_eq!(inactive["status"]["active_state"], "inactive");
    let deleted = rest.delete(&path).await;
    assert_eq!((deleted.status, deleted.bytes.len()), (204, 0));
    rest.get(&path).await.problem(404);
    assert_eq!(rest.list().await, [] as [Value; 0]);
    assert!(plugd.files().iter().all(|name| !name.contains(id)));
}

/// CONTRACT 2.1.
fn assert_shape(plugin: &Value) {
    let id = plugin["id"].as_str().unwrap();
    assert!(id.len() == 20 && id.ends_with(['0', 'g']), "a canonical xid: {id}");
    for key in ["added_at", "name", "description", "version"] {
        assert!(plugin[key].is_string(), "{key}: {plugin}");
    }
    for key in ["status", "connection", "manifest"] {
        assert!(plugin[key].is_object(), "{key}: {plugin}");
    }
}

async fn an_external_plugin_from_registration_to_deletion(_: &Plugd, rest: Rest) {
    let body = Body::Json(json!({"mode": "external", "manifest": external_manifest("outside")}));
    let plugin = rest.post("/api/plugins", body).await.expect(200);
    assert_shape(&plugin);
    assert_eq!(plugin["status"]["active_state"], "connecting", "contract 19, 14");
    let token = plugin["connection"]["token"].as_str().unwrap();
    assert_token(token);
    let id = plugin["id"].as_str().unwrap();
    let path = format!("/api/plugins/{id}");
    assert_eq!(rest.get(&path).await.expect(200)["connection"]["token"], token, "shown on every read");

    for state in ["active", "inactive"] {
        assert_eq!(rest.set_active(id, state).await.problem(400)["error"], "external_plugin");
    }
    rest.get(&format!("{path}/package")).await.problem(400);
    rest.patch(&format!("{path}/package"), Body::Zip(chaos(&["tame"]))).await.problem(400);

    let cycled = rest.post(&format!("{path}/token"), Body::None).await.expect(200);
    assert_eq!(cycled.as_object().unwrap().len(), 1);
    assert_token(cycled["token"].as_str().unwrap());
    assert_ne!(cycled["token"], token);

    let mut manifest = external_manifest("renamed");
    manifest["unknown"] = json!("is dropped");
    let changed = rest.patch(&format!("{path}/manifest"), Body::Json(manifest)).await.expect(200);
    assert_eq!((&changed["manifest"]["id"], &changed["manifest"]["unknown"]), (&json!("renamed"), &Value::Null));
    assert_eq!(changed["connection"]["token"], cycled["token"]);
    let broken = Body::Json(json!({"id": "not an id"}));
    rest.patch(&format!("{path}/manifest"), broken).await.problem(400);
    assert_eq!(rest.get(&path).await.expect(200)["manifest"], changed["manifest"]);

    assert_eq!(rest.delete(&path).await.status, 204);
}

/// CONTRACT 10.2 \[must\].
fn assert_token(token: &str) {
    let rest = token.strip_prefix("sdprt_").unwrap_or_else(|| panic!("{token}"));
    assert!(rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
}

async fn a_configuration_is_checked_pushed_and_then_stored(plugd: &Plugd, rest: Rest) {
    let id = rest.install(chaos(&["tame"])).await;
    let path = format!("/api/plugins/{id}/configuration");
    let schema = rest.get(&format!("{path}-schema")).await.expect(200);
    let field = json!({"type": "string", "id": "greeting", "label": "Greeting", "description": "", "default": "hi"});
    assert_eq!(schema, json!({"fields": [field]}));
    assert_eq!(rest.get(&path).await.expect(200), json!({}));
    let configuration = json!({"greeting": "hello", "undeclared": {"is": ["kept", 1, 2.5, null]}});
    let patch = async |value: &Value| rest.patch(&path, Body::Json(value.clone())).await;

    patch(&configuration).await.problem(400);
    rest.set_active(&id, "active").await.expect(200);
    let wrong = patch(&json!({"greeting": 1})).await.problem(400);
    assert!(wrong["title"].as_str().unwrap().contains(r#"Field "greeting" must be a string value."#), "{wrong}");
    patch(&json!({"greeting": null})).await.problem(400);
    patch(&json!([])).await.problem(400);
    assert_eq!(rest.get(&path).await.expect(200), json!({}), "nothing is kept of a refusal");

    assert_eq!(patch(&configuration).await.expect(200), configuration);
    assert_eq!(rest.get(&path).await.expect(200), configuration);
    plugd.api().logs(&id).await.until(r#"request configure {"greeting":"hello""#).await;
    assert_eq!(patch(&json!({})).await.expect(200), json!({}), "it replaces, and does not merge");
}

async fn errors_are_the_same_everywhere(_: &Plugd, rest: Rest) {
    let id = rest.install(packaged(&with(chaos_manifest(&[]), "command", json!("no-such-program")))).await;
    let failed = rest.set_active(&id, "active").await.problem(502);
    assert_eq!(failed["error"], "plugin_failed");
    let title = "The plugin reported an error while changing state. Check plugin logs for details.";
    assert_eq!(failed["title"], title);

    let path = "/api/plugins/9m4e2mr0ui3e8a215n4g";
    let missing = rest.get(path).await;
    assert_eq!(missing.header("content-type"), Some("application/json"));
    assert_eq!(missing.problem(404)["error"], "plugin_not_found");
    let preferred = rest.send("GET", path, Body::None, &["accept: application/problem+json"]).await;
    assert_eq!(preferred.header("content-type"), Some("application/problem+json"));
    preferred.problem(404);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    let traced = rest.send("GET", path, Body::None, &[&header]).await.problem(404);
    assert_eq!(traced["trace_id"], trace);
    rest.get("/api/nothing").await.problem(404);
    rest.send("PUT", "/api/plugins", Body::None, &[]).await.problem(405);
}

async fn an_update_keeps_what_the_plugin_wrote(_: &Plugd, rest: Rest) {
    let id = rest.install(chaos(&["crash-once", "marker"])).await;
    rest.set_active(&id, "active").await.expect(200);
    let manifest = with(chaos_manifest(&["crash-once", "marker"]), "version", json!("2.0.0"));
    let archive = zipped(&[("manifest.json", manifest.to_string().as_bytes(), 0o644), ("new.txt", b"new", 0o644)]);

    let path = format!("/api/plugins/{id}/package");
    let updated = rest.patch(&path, Body::Zip(archive.clone())).await.expect(200);

    assert_eq!((&updated["version"], &updated["status"]["active_state"]), (&json!("2.0.0"), &json!("active")));
    assert_eq!(updated["plugd"]["restart_count"], 0, "the marker is still there, so it did not crash");
    assert_eq!(rest.get(&path).await.bytes, archive);
}

fn with(mut manifest: Value, key: &str, value: Value) -> Value {
    manifest[key] = value;
    manifest
}
