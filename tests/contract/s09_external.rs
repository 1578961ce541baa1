//! The life of external plugins (CONTRACT 9), and what of 3.7 and 3.8 is seen by the plugin.
//!
//! Held elsewhere: a second connection, and how each close looks (`s10_handshake::closes`).

use plugd::api::v1::{
    PluginView,
    ReportedState::{Active, Connecting},
    RestartPluginRequest, RollbackPackageRequest,
};
use serde_json::json;

use super::support::{Wire, external, publish, register, settle};
use crate::harness::{Body, Plugd, external_manifest, reason, state_of, status_of, within};

/// CONTRACT 3.2 (c), 9: `connecting` and a token at once; the shape follows the connection.
#[tokio::test]
async fn a_registered_plugin_is_connecting_then_active_then_connecting_9() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let body = json!({"mode": "external", "manifest": external_manifest("outside")});
    let plugin = rest.post("/api/plugins", Body::Json(body)).await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "connecting");
    assert!(plugin["status"]["connecting_at"].is_string(), "{plugin}");
    let token = plugin["connection"]["token"].as_str().unwrap();
    let secret = token.strip_prefix("sdprt_").unwrap();
    assert!(secret.len() == 32 && secret.bytes().all(|c| c.is_ascii_alphanumeric()), "{token}");
    let (id, path) = (plugin["id"].as_str().unwrap(), format!("/api/plugins/{}", plugin["id"].as_str().unwrap()));

    let wire = Wire::dial(&plugd, token).await.unwrap();
    settle(&plugd, id, Active).await;
    let active = rest.get(&path).await.expect(200);
    assert!(
        active["status"]["activated_at"].is_string() && active["status"].get("connecting_at").is_none(),
        "{active}"
    );
    assert_eq!(active["connection"]["token"], token);

    assert_eq!(status_of(&plugd.api().get(id).await.unwrap()).pid(), 0, "plugd runs no process for it");

    assert!(!plugd.said().contains(secret), "the token is in plugd's log: {}", plugd.said());
    drop(wire);
    settle(&plugd, id, Connecting).await;
    let lost = rest.get(&path).await.expect(200);
    assert_eq!(lost["status"]["active_state"], "connecting");
    assert!(lost["status"]["connecting_at"].is_string() && lost["status"].get("message").is_none(), "{lost}");
}

/// CONTRACT 10.4, 3.4: delete closes with 1000 `closed`, and the token is nobody's.
#[tokio::test]
async fn deletion_closes_with_1000_closed_and_the_token_opens_nothing_9() {
    let plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({}), "").await;
    plugd.rest().delete(&format!("/api/plugins/{}", plugin.id)).await.expect(204);
    assert_eq!(wire.closed().await, (1000, "closed".to_owned()));
    assert_eq!(Wire::dial(&plugd, plugin.token()).await.err(), Some(401));
}

/// CONTRACT 3.5, 3.6, 3.9, 3.10: all 400, whether it is connected or not.
#[tokio::test]
async fn an_external_plugin_is_never_switched_and_has_no_log_and_no_package_9() {
    let plugd = Plugd::start().await;
    let (rest, api) = (plugd.rest(), plugd.api());
    let (plugin, _wire) = register(&plugd, &json!({}), "").await;
    let idle = api.register(&external_manifest("idle")).await.unwrap();
    for id in [&plugin.id, &idle.id] {
        for state in ["active", "inactive"] {
            rest.set_active(id, state).await.problem(400);
        }
        let path = format!("/api/plugins/{id}");
        rest.get(&format!("{path}/logs")).await.problem(400);
        rest.get(&format!("{path}/package")).await.problem(400);
        let package = Body::Zip(crate::harness::chaos(&["tame"]));
        rest.patch(&format!("{path}/package"), package).await.problem(400);
        rest.post(&format!("{path}/rollback"), Body::None).await.problem(400);
        rest.post(&format!("{path}/restart"), Body::None).await.problem(400);
        let restart = RestartPluginRequest { plugin_id: id.clone(), ..Default::default() };
        assert_eq!(reason(&api.plugins().restart_plugin(restart).await.unwrap_err()), "EXTERNAL_PLUGIN");
        let rollback = RollbackPackageRequest { plugin_id: id.clone(), ..Default::default() };
        assert_eq!(reason(&api.packages().rollback_package(rollback).await.unwrap_err()), "EXTERNAL_PLUGIN");
    }
    assert_eq!(state_of(&api.get(&plugin.id).await.unwrap()), Active, "untouched");
}

/// CONTRACT 3.8: 1000 `closed`, the new manifest, the old token.
#[tokio::test]
async fn another_manifest_closes_with_1000_closed_and_counts_for_the_next_connection_9() {
    let plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({"events_consumed": ["order.paid"]}), "").await;
    let path = format!("/api/plugins/{}/manifest", plugin.id);
    let members = json!({"version": "2.0.0", "unknown": true, "events_consumed": ["order.sent"]});
    let manifest = external("renamed", &members);

    let updated = plugd.rest().patch(&path, Body::Json(manifest)).await.expect(200);

    assert_eq!(updated["status"]["active_state"], "connecting");
    assert_eq!((&updated["manifest"]["id"], &updated["version"]), (&json!("renamed"), &json!("2.0.0")));
    assert!(updated["manifest"].get("unknown").is_none(), "{updated}");
    assert_eq!(updated["connection"]["token"], plugin.token());
    assert_eq!(wire.closed().await, (1000, "closed".to_owned()));
    let mut again = Wire::dial(&plugd, plugin.token()).await.unwrap();
    settle(&plugd, &plugin.id, Active).await;
    assert_eq!(publish(&plugd.api(), "order.paid", &json!({})).await, (0, 0));
    assert_eq!(publish(&plugd.api(), "order.sent", &json!({})).await, (1, 1));
    assert_eq!(again.request_of("event").await.1, json!({"event": "order.sent"}));
}

/// CONTRACT 3.8: an invalid manifest is 400 and disconnects nobody.
#[tokio::test]
async fn an_invalid_manifest_changes_nothing_and_disconnects_nobody_3_8() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let before = plugd.api().get(&plugin.id).await.unwrap();
    let path = format!("/api/plugins/{}/manifest", plugin.id);
    for broken in
        [json!({}), external("not/an/id", &json!({})), external("outside", &json!({"events_consumed": ["no name"]}))]
    {
        plugd.rest().patch(&path, Body::Json(broken)).await.problem(400);
    }
    assert_eq!(plugd.api().get(&plugin.id).await.unwrap(), before);
    assert_eq!(wire.call("1", "get_config", json!({})).await["result"]["config"], json!({}));
    let supervised = plugd.api().install(&["tame"]).await;
    let path = format!("/api/plugins/{supervised}/manifest");
    plugd.rest().patch(&path, Body::Json(external_manifest("chaos"))).await.problem(400);
}

/// CONTRACT 3.7: 1000 `closed`; the old token is 401 from then on.
#[tokio::test]
async fn a_cycled_token_closes_with_1000_closed_and_replaces_the_old_one_9() {
    let plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({}), "").await;

    let cycled = plugd.rest().post(&format!("/api/plugins/{}/token", plugin.id), Body::None).await.expect(200);

    assert_eq!(cycled.as_object().unwrap().len(), 1, "{cycled}");
    assert_eq!(wire.closed().await, (1000, "closed".to_owned()));
    assert_eq!(state_of(&plugd.api().get(&plugin.id).await.unwrap()), Connecting);
    assert_eq!(Wire::dial(&plugd, plugin.token()).await.err(), Some(401));
    assert!(Wire::dial(&plugd, cycled["token"].as_str().unwrap()).await.is_ok());
    let supervised = plugd.api().install(&["tame"]).await;
    plugd.rest().post(&format!("/api/plugins/{supervised}/token"), Body::None).await.problem(400);
}

/// plugd's own decision: a rotated token is refused even by a connection authenticated before the rotation.
#[tokio::test]
async fn no_connection_with_the_old_token_outlives_a_rotation_that_it_races_with_9() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut plugin = api.register(&external_manifest("outside")).await.unwrap();
    for _ in 0..25 {
        let request = plugd::api::v1::RotateTokenRequest { plugin_id: plugin.id.clone(), if_generation: None };
        let mut client = api.plugins();
        let (dialled, cycled) = tokio::join!(Wire::dial(&plugd, plugin.token()), client.rotate_token(request));
        if let Ok(wire) = dialled {
            let goodbye = wire.closed().await;
            let expected = [(1000, "closed".to_owned()), (1008, "connection rejected".to_owned())];
            assert!(expected.contains(&goodbye), "{goodbye:?}");
        }
        plugin = cycled.unwrap().into_inner().plugin.unwrap();
        settle(&plugd, &plugin.id, Connecting).await;
    }
}

/// CONTRACT 10.4, 14: shut down, plugd says so; started again, it lets the same token in.
#[tokio::test]
async fn a_stop_of_plugd_is_1001_and_the_token_opens_after_it_9() {
    let mut plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({}), "").await;
    let goodbye = tokio::spawn(wire.closed());
    assert!(plugd.sigterm().await.0.success());
    assert_eq!(within("the goodbye", goodbye).await.unwrap(), (1001, "going away".to_owned()));
    plugd.restart().await;
    let after = plugd.api().get_as(&plugin.id, PluginView::Full).await.unwrap();
    assert_eq!((after.token(), &after.manifest), (plugin.token(), &plugin.manifest));
    let _wire = Wire::dial(&plugd, plugin.token()).await.unwrap();
    settle(&plugd, &plugin.id, Active).await;
}

/// CONTRACT 14: what a killed plugd had promised holds for the next one.
#[tokio::test]
async fn after_a_kill_of_plugd_the_plugin_is_connecting_and_its_token_opens_9() {
    let mut plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({}), "").await;
    plugd.kill_9().await;
    drop(wire);
    plugd.restart().await;
    let found = plugd.api().get_as(&plugin.id, PluginView::Full).await.unwrap();
    assert_eq!((state_of(&found), found.token()), (Connecting, plugin.token()));
    let _wire = Wire::dial(&plugd, plugin.token()).await.unwrap();
    settle(&plugd, &plugin.id, Active).await;
}
