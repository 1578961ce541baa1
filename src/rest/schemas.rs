//! Schemas and parameters of the OpenAPI document.

use serde_json::{Value, json};

use super::{path, view};

/// Pattern of a cursor.
const CURSOR: &str = "^.*:[0-9]{1,19}$";

/// Pattern of a manifest's id and author (CONTRACT 5.1).
const SLUG: &str = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$";

/// A reference to a schema.
pub(super) fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// All schemas by name.
pub(super) fn all() -> Value {
    json!({
        "Archive": {"type": "string", "format": "binary", "description": "A zip with a manifest.json."},
        "EventStream": {"type": "string", "description": "Server-sent events."},
        "Text": {"type": "string"},
        "Object": {"type": "object"},
        "Info": info(),
        "Error": error(),
        "Plugin": plugin(),
        "PluginStatus": status(),
        "PluginConnection": connection(),
        "PluginExtras": extras(),
        "PluginManifest": manifest(),
        "PluginList": object(json!({"plugins": {"type": "array", "items": named("Plugin")}}), &["plugins"]),
        "PluginToken": object(json!({"token": text()}), &["token"]),
        "PluginInitialProps": initial_props(),
        "PluginSetActiveStateProps": object(json!({"active": {"enum": ["active", "inactive"]}}), &["active"]),
        "PluginConfiguration": {"type": "object", "description": "One property a field; others are kept too."},
        "PluginConfigurationSchema":
            object(json!({"fields": {"type": "array", "items": named("PluginConfigurationField")}}), &["fields"]),
        "PluginConfigurationField": field(),
    })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn date() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn info() -> Value {
    let properties = json!({
        "name": text(),
        "title": text(),
        "description": text(),
        "version": text(),
        "capabilities": {"type": "array", "items": text()},
        "public_url": text(),
    });
    object(properties, &["name", "version", "capabilities"])
}

fn error() -> Value {
    let violation = object(json!({"field": text(), "description": text()}), &["field", "description"]);
    let metadata = json!({
        "trace_id": text(),
        "suggested": text(),
        "plugin_instance_id": text(),
        "violations": {"type": "array", "items": violation},
    });
    let properties = json!({
        "error": {"type": "string", "description": "A stable word for programs, for example plugin_not_found."},
        "message": {"type": "string", "description": "What was wrong."},
        "suggested": {"type": "string", "description": "What to do about it."},
        "metadata": object(metadata, &["trace_id"]),
        "type": {"type": "string", "format": "uri"},
        "title": text(),
        "detail": text(),
        "status": {"type": "integer"},
        "trace_id": {"type": "string", "minLength": 1},
    });
    let required = ["error", "message", "suggested", "metadata", "type", "title", "detail", "status", "trace_id"];
    object(properties, &required)
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
        "manifest": {"type": "object"},
        "plugd": named("PluginExtras"),
    });
    object(
        properties,
        &["id", "added_at", "name", "description", "version", "status", "connection", "manifest", "plugd"],
    )
}

/// One variant a state: its own keys, and no other (CONTRACT 2.1).
fn status() -> Value {
    let dated = |state: &str, key: &str| {
        let mut properties = json!({"active_state": {"const": state}, "transition": {"const": "stopping"}});
        properties[key] = date();
        let mut schema = object(properties, &["active_state", key]);
        schema["additionalProperties"] = json!(false);
        schema
    };
    let explained = |state: &str| {
        let properties = json!({"active_state": {"const": state}, "message": text(), "details": {"type": "object"}});
        let mut schema = object(properties, &["active_state", "message", "details"]);
        schema["additionalProperties"] = json!(false);
        schema
    };
    json!({"oneOf": [
        dated("inactive", "deactivated_at"),
        dated("starting", "starting_at"),
        dated("connecting", "connecting_at"),
        dated("active", "activated_at"),
        explained("error"),
        explained("restarting"),
    ]})
}

fn connection() -> Value {
    json!({"oneOf": [
        object(json!({"mode": {"const": "supervised"}}), &["mode"]),
        object(json!({"mode": {"const": "external"}, "token": text()}), &["mode"]),
    ]})
}

fn extras() -> Value {
    let properties = json!({
        "desired_state": {"enum": ["active", "inactive"]},
        "generation": count(),
        "observed_generation": count(),
        "revision": count(),
        "configuration_revision": count(),
        "state": {"enum": state_names()},
        "since": date(),
        "restart_count": count(),
        "degraded": {"type": "boolean"},
        "events_dropped": count(),
        "pid": count(),
        "run_id": text(),
        "package_digest": text(),
        "previous_package_digest": text(),
    });
    object(properties, &["desired_state", "generation", "observed_generation", "revision", "state"])
}

fn manifest() -> Value {
    let slug = json!({"type": "string", "pattern": SLUG});
    let properties = json!({
        "id": slug,
        "author": slug,
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": text(),
        "version": text(),
        "command": text(),
        "args": {"type": "array", "items": text()},
        "events_consumed": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.-]{0,127}$"}},
        "access": {"type": "object"},
        "configuration_schema": {"type": "object"},
        "capabilities": {"type": "array", "items": {"type": "object"}},
    });
    object(properties, &["id", "author", "name"])
}

fn initial_props() -> Value {
    let address = json!({"type": "string", "format": "uri", "pattern": "^https?://", "minLength": 8});
    json!({"oneOf": [
        object(json!({"mode": {"const": "supervised"}, "url": address}), &["mode", "url"]),
        object(json!({"mode": {"const": "external"}, "manifest": named("PluginManifest")}), &["mode", "manifest"]),
    ]})
}

fn field() -> Value {
    let properties = json!({
        "type": {"enum": ["string", "number", "boolean"]},
        "id": text(),
        "label": text(),
        "description": text(),
        "default": {},
    });
    object(properties, &["type", "id", "label", "description"])
}

fn state_names() -> Vec<&'static str> {
    view::STATES.iter().map(|(name, _)| *name).collect()
}

fn parameter(place: &str, name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "description": description, "schema": schema})
}

/// The plugin's id in a path.
pub(super) fn plugin_id() -> Value {
    let description = "The installation's id. Only its first 20 characters count.";
    parameter("path", path::PARAMETER, description, json!({"type": "string", "minLength": 1}))
}

/// A query parameter that may come more than once.
pub(super) fn strings(name: &str, description: &str) -> Value {
    parameter("query", name, description, json!({"type": "array", "items": text()}))
}

/// A filter by state.
pub(super) fn states(name: &str) -> Value {
    let states = json!({"type": "array", "items": {"enum": state_names()}});
    parameter("query", name, "Only plugins in one of these states.", states)
}

/// A cursor.
pub(super) fn cursor(place: &str, name: &str, description: &str) -> Value {
    parameter(place, name, description, json!({"type": "string", "pattern": CURSOR}))
}

/// Yes or no.
pub(super) fn boolean(name: &str, description: &str) -> Value {
    parameter("query", name, description, json!({"type": "boolean"}))
}

/// A number of seconds between 1 and 300.
pub(super) fn seconds(name: &str, description: &str) -> Value {
    parameter("query", name, description, json!({"type": "integer", "minimum": 1, "maximum": 300}))
}

/// The header with which a client asks not to wait (RFC 7240).
pub(super) fn prefer() -> Value {
    let description = "\"respond-async\" answers 202 after the commit instead of waiting.";
    parameter("header", "Prefer", description, text())
}

/// The configuration's ETag.
pub(super) fn if_match() -> Value {
    let schema = json!({"type": "string", "pattern": "^(\\*|\"[0-9]{1,19}\")$"});
    parameter("header", "If-Match", "The ETag that the stored configuration must have.", schema)
}

/// The configuration's revision.
pub(super) fn if_revision(name: &str) -> Value {
    let schema = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    parameter("query", name, "The revision that the stored configuration must have, else 409.", schema)
}
