//! Tokens and manifests of external plugins, as REST has them (CONTRACT 3.7, 3.8). What they do to connections is in
//! `contract::external`.

use serde_json::json;

use crate::{
    contract::support::{keys, register},
    harness::{Body, Plugd, chaos, chaos_manifest, external_manifest, within},
};

#[tokio::test]
async fn a_new_token_takes_no_body_and_is_all_that_is_answered_3_7() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let plugin = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let path = format!("/api/plugins/{}/token", plugin.id);
    let cycled = rest.post(&path, Body::None).await.expect(200);
    assert_eq!(keys(&cycled), ["token"]);
    assert_ne!(cycled["token"], plugin.token());
    let secret = cycled["token"].as_str().unwrap().strip_prefix("sdprt_").unwrap();
    assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{cycled}");
    // Clients that always send a body are served too.
    let again = rest.post(&path, Body::Json(json!({}))).await.expect(200);
    assert_ne!(again["token"], cycled["token"]);
}

#[tokio::test]
async fn a_supervised_plugin_has_neither_a_token_nor_a_manifest_of_its_own_3_7_3_8() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let path = format!("/api/plugins/{id}");
    let before = rest.get(&path).await.expect(200);
    assert_eq!(rest.post(&format!("{path}/token"), Body::None).await.problem(400)["error"], "supervised_plugin");
    let manifest = Body::Json(chaos_manifest(&["hang"]));
    assert_eq!(rest.patch(&format!("{path}/manifest"), manifest).await.problem(400)["error"], "supervised_plugin");
    assert_eq!(rest.get(&path).await.expect(200), before);
}

/// The body is the manifest, not something around it; its id may be another; nothing else of the plugin changes.
#[tokio::test]
async fn a_new_manifest_replaces_the_whole_old_one_and_nothing_else_3_8() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let (plugin, wire) = register(&plugd, &json!({"args": ["old"]}), "").await;
    let path = format!("/api/plugins/{}", plugin.id);
    let wire = wire.obey();
    let configuration = json!({"greeting": "kept"});
    let configured = rest.patch(&format!("{path}/configuration"), Body::Json(configuration.clone())).await;
    configured.expect(200);
    let before = rest.get(&path).await.expect(200);
    let wrapped = Body::Json(json!({"manifest": external_manifest("outside")}));
    rest.patch(&format!("{path}/manifest"), wrapped).await.problem(400);

    let manifest = json!({"id": "renamed", "author": "me", "name": "Renamed"});
    let after = rest.patch(&format!("{path}/manifest"), Body::Json(manifest)).await.expect(200);

    assert_eq!(after["status"]["active_state"], "connecting");
    let stored =
        json!({"id": "renamed", "author": "me", "name": "Renamed", "description": "", "version": "", "command": ""});
    assert_eq!((&after["manifest"], &after["name"]), (&stored, &json!("Renamed")));
    for key in ["id", "added_at", "connection"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(rest.get(&format!("{path}/configuration")).await.expect(200), configuration);
    assert_eq!(within("the end", wire).await.unwrap(), Some((1000, "closed".to_owned())));
}

#[tokio::test]
async fn a_manifest_is_checked_before_the_id_is_looked_up_3_8() {
    let plugd = Plugd::start().await;
    let path = "/api/plugins/9m4e2mr0ui3e8a215n4g/manifest";
    plugd.rest().patch(path, Body::Json(json!({"id": "not an id"}))).await.problem(400);
    plugd.rest().patch(path, Body::Json(external_manifest("nobody"))).await.problem(404);
}
