//! Plugins, and what is sent to change them (CONTRACT 2, 3).

use serde_json::{Value, json};

use super::{count, date, list, named, object, one_of, text, words};
use crate::rest::view;

/// What a status is called, and its schema: its own keys, and no other (CONTRACT 2.1).
const STATUSES: [(&str, &str); 6] = [
    ("inactive", "PluginInactive"),
    ("starting", "PluginStarting"),
    ("connecting", "PluginConnecting"),
    ("active", "PluginActive"),
    ("error", "PluginError"),
    ("restarting", "PluginRestarting"),
];

/// How a plugin is connected, and the schema of that.
const CONNECTIONS: [(&str, &str); 2] = [("supervised", "SupervisedConnection"), ("external", "ExternalConnection")];

pub(super) fn schemas() -> Value {
    json!({
        "Plugin": plugin(),
        "PluginStatus": one_of("active_state", &STATUSES),
        "PluginInactive": sealed("inactive", &[("deactivated_at", date())]),
        "PluginStarting": stoppable("starting", "starting_at"),
        "PluginConnecting": stoppable("connecting", "connecting_at"),
        "PluginActive": stoppable("active", "activated_at"),
        "PluginError": explained("error"),
        "PluginRestarting": explained("restarting"),
        "PluginConnection": one_of("mode", &CONNECTIONS),
        "SupervisedConnection": object(json!({"mode": {"const": "supervised"}}), &["mode"]),
        "ExternalConnection": object(json!({"mode": {"const": "external"}, "token": text()}), &["mode"]),
        "PluginExtras": extras(),
        "PluginState": words(&state_names()),
        "DesiredState": words(&["active", "inactive"]),
        "PluginList": object(json!({"plugins": list(named("Plugin"))}), &["plugins"]),
        "PluginToken": object(json!({"token": text()}), &["token"]),
        "PluginInitialProps": initial_props(),
        "PluginFromAddress": from_address(),
        "PluginFromManifest": from_manifest(),
        "PluginSetActiveStateProps": active_props(),
        "PluginConfiguration": configuration(),
        "PluginConfigurationSchema": object(json!({"fields": list(named("PluginConfigurationField"))}), &["fields"]),
        "PluginConfigurationField": field(),
        "PluginConfigurationFieldType": words(&["string", "number", "boolean"]),
    })
}

fn plugin() -> Value {
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

fn explained(state: &str) -> Value {
    sealed(state, &[("message", text()), ("details", named("JsonObject"))])
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

fn extras() -> Value {
    let properties = json!({
        "desired_state": named("DesiredState"),
        "generation": count(),
        "observed_generation": count(),
        "revision": count(),
        "configuration_revision": count(),
        "state": named("PluginState"),
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
fn state_names() -> Vec<&'static str> {
    view::STATES.iter().map(|(name, _)| *name).collect()
}

fn initial_props() -> Value {
    let mut schema = one_of("mode", &[("supervised", "PluginFromAddress"), ("external", "PluginFromManifest")]);
    schema["examples"] =
        json!([{"mode": "external", "manifest": {"id": "my-plugin", "author": "me", "name": "My plugin"}}]);
    schema
}

fn from_address() -> Value {
    let address = json!({"type": "string", "format": "uri", "pattern": "^https?://", "minLength": 8});
    object(json!({"mode": {"const": "supervised"}, "url": address}), &["mode", "url"])
}

fn from_manifest() -> Value {
    object(json!({"mode": {"const": "external"}, "manifest": named("PluginManifest")}), &["mode", "manifest"])
}

fn active_props() -> Value {
    let mut schema = object(json!({"active": named("DesiredState")}), &["active"]);
    schema["examples"] = json!([{"active": "active"}]);
    schema
}

fn configuration() -> Value {
    json!({
        "type": "object",
        "description": "One property a field of the plugin's schema, with a value of the field's type; others are kept too.",
        "additionalProperties": named("Json"),
        "examples": [{"greeting": "Hello"}],
    })
}

fn field() -> Value {
    let properties = json!({
        "type": named("PluginConfigurationFieldType"),
        "id": text(),
        "label": text(),
        "description": text(),
        "default": {"type": ["string", "number", "boolean"]},
    });
    let mut schema = object(properties, &["type", "id", "label", "description"]);
    schema["description"] = json!("A field that a form asks for.");
    schema
}
