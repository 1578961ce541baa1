//! Schemas and parameters of the OpenAPI document.

mod manifest;
mod parameters;
mod plugin;

use serde_json::{Value, json};

pub(super) use parameters::{
    boolean, cursor, cursor_header, if_match, if_revision, plugin_id, prefer, seconds, states, strings,
};

/// A reference to a schema.
pub(super) fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// All schemas by name.
pub(super) fn all() -> Value {
    json!({
        "Archive": {"type": "string", "format": "binary", "description": "A zip with a manifest.json."},
        "LogEvents": log_events(),
        "WatchEvents": watch_events(),
        "Text": {"type": "string"},
        "Object": {"type": "object"},
        "Info": info(),
        "Error": error(),
        "Plugin": plugin::plugin(),
        "PluginStatus": plugin::status(),
        "PluginConnection": plugin::connection(),
        "PluginExtras": plugin::extras(),
        "PluginList": object(json!({"plugins": list(named("Plugin"))}), &["plugins"]),
        "PluginToken": object(json!({"token": text()}), &["token"]),
        "PluginInitialProps": plugin::initial_props(),
        "PluginSetActiveStateProps": plugin::active_props(),
        "PluginConfiguration": plugin::configuration(),
        "PluginConfigurationSchema": object(json!({"fields": list(named("PluginConfigurationField"))}), &["fields"]),
        "PluginConfigurationField": plugin::field(),
        "PluginManifest": manifest::manifest(),
        "ManifestAccess": manifest::access(),
        "ManifestConfigurationField": manifest::field(),
        "ManifestModelProvider": manifest::model_provider(),
        "ManifestToolProvider": manifest::tool_provider(),
        "ManifestTool": manifest::tool(),
        "ManifestToolset": manifest::toolset(),
        "StoredManifest": manifest::stored(),
        "Json": any_json(),
    })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
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

/// The schema, or null, which a request may say for a key that it leaves out (CONTRACT 5.1).
fn or_null(schema: Value) -> Value {
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => {
            let mut schema = schema.clone();
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

/// What the API carries. No schema can say so: 2^53 + 1 is a number like any other to it.
fn any_json() -> Value {
    json!({"description": "Any JSON, nested at most 30 levels deep. Send integers beyond 2^53 as strings."})
}

/// One server-sent event. Its data is JSON in itself where it has a name.
fn events(names: &[&str], data: Value) -> Value {
    let properties = json!({
        "event": {"type": "string", "enum": names},
        "id": {"type": "string", "description": "A cursor: what Last-Event-ID and the parameter after take."},
        "data": data,
    });
    let mut schema = object(properties, &["event", "data"]);
    schema["description"] = json!("Server-sent events, each of them so.");
    schema
}

fn log_events() -> Value {
    events(&["message", "end"], json!({"type": "string", "description": "A line; nothing at the end."}))
}

fn watch_events() -> Value {
    let names = ["opened", "snapshot", "snapshot_end", "added", "changed", "removed", "heartbeat", "error"];
    events(&names, json!({"type": "string", "contentMediaType": "application/json"}))
}

fn info() -> Value {
    let properties = json!({
        "name": text(),
        "title": text(),
        "description": text(),
        "version": text(),
        "capabilities": list(text()),
    });
    object(properties, &["name", "title", "description", "version", "capabilities"])
}

fn error() -> Value {
    let violation = object(json!({"field": text(), "description": text()}), &["field", "description"]);
    let metadata = json!({
        "trace_id": text(),
        "suggested": text(),
        "plugin_instance_id": text(),
        "violations": list(violation),
    });
    let properties = json!({
        "error": {"type": "string", "description": "A stable word for programs, for example plugin_not_found."},
        "message": {"type": "string", "description": "What was wrong."},
        "suggested": {"type": "string", "description": "What to do about it."},
        "metadata": object(metadata, &["trace_id", "suggested"]),
        "type": {"type": "string", "format": "uri"},
        "title": text(),
        "detail": text(),
        "status": {"type": "integer"},
        "trace_id": {"type": "string", "minLength": 1},
    });
    let required = ["error", "message", "suggested", "metadata", "type", "title", "detail", "status", "trace_id"];
    object(properties, &required)
}
