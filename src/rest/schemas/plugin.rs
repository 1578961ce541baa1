//! Plugins, and what is sent to change them (CONTRACT 2, 3).

use serde_json::{Value, json};

use super::{count, date, named, object, text};
use crate::rest::view;

pub(super) fn plugin() -> Value {
    let properties = json!({
        "id": {"type": "string", "pattern": "^[0-9a-v]{20}$"},
        "added_at": date(),
        "name": text(),
        "description": text(),
        "version": text(),
        "status": named("PluginStatus"),
        "connection": named("PluginConnection"),
        "manifest": named("StoredManifest"),
        "plugd": named("PluginExtras"),
    });
    object(
        properties,
        &["id", "added_at", "name", "description", "version", "status", "connection", "manifest", "plugd"],
    )
}

/// One variant a state: its own keys, and no other (CONTRACT 2.1).
pub(super) fn status() -> Value {
    let explained = |state| sealed(state, &[("message", text()), ("details", json!({"type": "object"}))]);
    json!({"oneOf": [
        sealed("inactive", &[("deactivated_at", date())]),
        stoppable("starting", "starting_at"),
        stoppable("connecting", "connecting_at"),
        stoppable("active", "activated_at"),
        explained("error"),
        explained("restarting"),
    ]})
}

/// A state that a plugin which is being stopped shows until nothing of it runs any more.
fn stoppable(state: &str, key: &str) -> Value {
    let mut schema = sealed(state, &[(key, date())]);
    schema["properties"]["transition"] = json!({"const": "stopping"});
    schema
}

/// A state with these keys, which all are there, and no other.
fn sealed(state: &str, keys: &[(&str, Value)]) -> Value {
    let mut properties = json!({"active_state": {"const": state}});
    for (key, schema) in keys {
        properties[*key] = schema.clone();
    }
    let required: Vec<&str> = ["active_state"].into_iter().chain(keys.iter().map(|(key, _)| *key)).collect();
    let mut schema = object(properties, &required);
    schema["additionalProperties"] = json!(false);
    schema
}

pub(super) fn connection() -> Value {
    json!({"oneOf": [
        object(json!({"mode": {"const": "supervised"}}), &["mode"]),
        object(json!({"mode": {"const": "external"}, "token": text()}), &["mode"]),
    ]})
}

pub(super) fn extras() -> Value {
    let properties = json!({
        "desired_state": {"type": "string", "enum": ["active", "inactive"]},
        "generation": count(),
        "observed_generation": count(),
        "revision": count(),
        "configuration_revision": count(),
        "state": {"type": "string", "enum": state_names()},
        "since": date(),
        "restart_count": count(),
        "degraded": {"type": "boolean"},
        "events_dropped": count(),
        "pid": count(),
        "run_id": text(),
        "package_digest": text(),
        "previous_package_digest": text(),
    });
    #[rustfmt::skip]
    let always = [
        "desired_state", "generation", "observed_generation", "revision", "configuration_revision", "state", "since",
        "restart_count", "degraded", "events_dropped",
    ];
    object(properties, &always)
}

/// Names of the reported states.
pub(super) fn state_names() -> Vec<&'static str> {
    view::STATES.iter().map(|(name, _)| *name).collect()
}

pub(super) fn initial_props() -> Value {
    let address = json!({"type": "string", "format": "uri", "pattern": "^https?://", "minLength": 8});
    json!({
        "oneOf": [
            object(json!({"mode": {"const": "supervised"}, "url": address}), &["mode", "url"]),
            object(json!({"mode": {"const": "external"}, "manifest": named("PluginManifest")}), &["mode", "manifest"]),
        ],
        "examples": [{"mode": "external", "manifest": {"id": "my-plugin", "author": "me", "name": "My plugin"}}],
    })
}

pub(super) fn active_props() -> Value {
    let mut schema = object(json!({"active": {"type": "string", "enum": ["active", "inactive"]}}), &["active"]);
    schema["examples"] = json!([{"active": "active"}]);
    schema
}

pub(super) fn configuration() -> Value {
    json!({
        "type": "object",
        "description": "One property a field of the plugin's schema, with a value of the field's type; others are kept too.",
        "additionalProperties": named("Json"),
        "examples": [{"greeting": "Hello"}],
    })
}

pub(super) fn field() -> Value {
    let properties = json!({
        "type": {"type": "string", "enum": ["string", "number", "boolean"]},
        "id": text(),
        "label": text(),
        "description": text(),
        "default": {"type": ["string", "number", "boolean"]},
    });
    let mut schema = object(properties, &["type", "id", "label", "description"]);
    schema["description"] = json!("A field that a form asks for.");
    schema
}
