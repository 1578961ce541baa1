//! The shim in a process of its own does what plugd's own REST does: a plugin's whole life through it, by curl. What each
//! answer must be is held by the contract's tests.

use serde_json::{Value, json};

use crate::harness::{Body, Plugd, Rest, Running, chaos, chaos_manifest, external_manifest, rest_shim, zipped};

async fn shim() -> (Plugd, Running, Rest) {
    let plugd = Plugd::start().await;
    let (shim, rest) = rest_shim(&plugd).await;
    (plugd, shim, rest)
}

#[tokio::test]
async fn a_supervised_plugin_lives_through_the_shim() {
    let (plugd, _shim, rest) = shim().await;
    let archive = chaos(&["tame"]);
    let plugin = rest.post("/api/plugins", Body::Zip(archive.clone())).await.expect(200);
    let id = plugin["id"].as_str().unwrap();
    let path = format!("/api/plugins/{id}");
    assert_eq!(plugd.rest().get(&path).await.expect(200), plugin, "as plugd itself shows it");
    assert_eq!(rest.list().await, std::slice::from_ref(&plugin));
    assert_eq!(rest.set_active(id, "active").await.expect(200)["status"]["active_state"], "active");
    assert_eq!(Plugd::processes_of(id).len(), 1);
    let download = rest.get(&format!("{path}/package")).await;
    assert_eq!((download.status, &download.bytes), (200, &archive));
    assert_eq!(download.header("content-length"), Some(archive.len().to_string().as_str()));
    let configuration = json!({"greeting": "hello", "undeclared": {"is": ["kept", 1, 2.5, null]}});
    let configured = rest.patch(&format!("{path}/configuration"), Body::Json(configuration.clone())).await;
    assert_eq!(configured.expect(200), configuration);
    assert_eq!(rest.set_active(id, "inactive").await.expect(200)["status"]["active_state"], "inactive");
    assert_eq!(rest.delete(&path).await.status, 204);
    assert_eq!(rest.list().await, [] as [Value; 0]);
}

#[tokio::test]
async fn an_external_plugin_lives_through_the_shim() {
    let (_plugd, _shim, rest) = shim().await;
    let body = Body::Json(json!({"mode": "external", "manifest": external_manifest("outside")}));
    let plugin = rest.post("/api/plugins", body).await.expect(200);
    let path = format!("/api/plugins/{}", plugin["id"].as_str().unwrap());
    let cycled = rest.post(&format!("{path}/token"), Body::None).await.expect(200);
    assert_ne!(cycled["token"], plugin["connection"]["token"]);
    let changed = rest.patch(&format!("{path}/manifest"), Body::Json(external_manifest("renamed"))).await.expect(200);
    assert_eq!(changed["connection"]["token"], cycled["token"]);
    assert_eq!(rest.delete(&path).await.status, 204);
}

#[tokio::test]
async fn errors_are_the_same_through_the_shim() {
    let (plugd, _shim, rest) = shim().await;
    let id = rest.install(chaos(&["exit", "42"])).await;
    let failed = rest.set_active(&id, "active").await.problem(502);
    assert!(failed["detail"].as_str().unwrap().ends_with(": exit status 42"), "{failed}");
    let own = plugd.rest();
    for path in ["/api/plugins/9m4e2mr0ui3e8a215n4g", "/api/nothing"] {
        assert_eq!(untraced(rest.get(path).await.problem(404)), untraced(own.get(path).await.problem(404)));
    }
    let broken = || Body::Zip(b"no archive".to_vec());
    let refused = rest.post("/api/plugins", broken()).await.problem(400);
    assert_eq!(untraced(refused), untraced(own.post("/api/plugins", broken()).await.problem(400)));
}

/// An error without the trace of its request, which differs each time.
fn untraced(mut error: Value) -> Value {
    let metadata = error["metadata"].as_object_mut().unwrap().remove("trace_id");
    assert_eq!(error.as_object_mut().unwrap().remove("trace_id"), metadata);
    error
}

#[tokio::test]
async fn an_update_through_the_shim_keeps_what_the_plugin_wrote() {
    let (_plugd, _shim, rest) = shim().await;
    let id = rest.install(chaos(&["crash-once", "marker"])).await;
    rest.set_active(&id, "active").await.expect(200);
    let mut manifest = chaos_manifest(&["crash-once", "marker"]);
    manifest["version"] = json!("2.0.0");
    let archive = zipped(&[("manifest.json", manifest.to_string().as_bytes(), 0o644), ("new.txt", b"new", 0o644)]);

    let path = format!("/api/plugins/{id}/package");
    let updated = rest.patch(&path, Body::Zip(archive.clone())).await.expect(200);

    assert_eq!((&updated["version"], &updated["status"]["active_state"]), (&json!("2.0.0"), &json!("active")));
    assert_eq!(updated["plugd"]["restart_count"], 0, "the marker is still there, so it did not crash");
    assert_eq!(rest.get(&path).await.bytes, archive);
}
