//! External plugins that the test runs itself.

use plugd::api::v1::{Plugin, ReportedState};
use serde_json::{Value, json};

use super::Wire;
use crate::harness::{Plugd, external_manifest, state_of, within};

/// A manifest with these members.
pub(crate) fn external(id: &str, members: &Value) -> Value {
    let mut manifest = external_manifest(id);
    manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    manifest
}

/// Members of a manifest that asks for these permissions.
pub(crate) fn access(permissions: &[&str]) -> Value {
    let links = json!([{"text": "home", "url": "https://forum.example"}]);
    json!({"access": {"handle": "bot", "name": "Bot", "permissions": permissions, "links": links}})
}

/// Registers a plugin with these members in its manifest, and connects it with this `User-Agent`.
pub(crate) async fn register(plugd: &Plugd, members: &Value, user_agent: &str) -> (Plugin, Wire) {
    let plugin = plugd.api().register(&external("outside", members)).await.unwrap();
    let wire = Wire::dial_as(plugd, &format!("token={}", plugin.token()), user_agent).await.unwrap();
    settle(plugd, &plugin.id, ReportedState::Active).await;
    (plugin, wire)
}

/// Waits until a plugin is in a state.
pub(crate) async fn settle(plugd: &Plugd, id: &str, state: ReportedState) {
    let api = plugd.api();
    let request = plugd::api::v1::WatchStateRequest { plugin_ids: vec![id.to_owned()], ..Default::default() };
    let mut watch = within("a watch", api.watch(request)).await.unwrap();
    let found = watch.snapshot().await;
    if found.iter().all(|plugin| state_of(plugin) != state) {
        watch.until_state(id, state).await;
    }
}
