//! Schemas and parameters of the OpenAPI document.

mod manifest;
mod parameters;
mod plugin;

use serde_json::{Map, Value, json};

pub(super) use parameters::{
    boolean, cursor, cursor_header, if_match, if_revision, plugin_id, prefer, seconds, states, strings,
};

/// Names of the events of a watch.
const WATCH_EVENTS: [&str; 8] =
    ["opened", "snapshot", "snapshot_end", "added", "changed", "removed", "heartbeat", "error"];

/// A reference to a schema.
pub(super) fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// All schemas by name. None has another one without a name within, because generators of clients make up names for
/// those.
pub(super) fn all() -> Value {
    let groups = [answers(), plugin::schemas(), manifest::schemas()];
    let schemas = groups.iter().filter_map(Value::as_object).flatten();
    schemas.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn answers() -> Value {
    json!({
        "Archive": {"type": "string", "format": "binary", "description": "A zip with a manifest.json."},
        "LogEvents": log_events(),
        "LogEventName": words(&["message", "end"]),
        "WatchEvents": watch_events(),
        "WatchEventName": words(&WATCH_EVENTS),
        "Text": {"type": "string"},
        "Info": info(),
        "Error": error(),
        "ErrorMetadata": error_metadata(),
        "ErrorViolation": object(json!({"field": text(), "description": text()}), &["field", "description"]),
        "Json": any_json(),
        "JsonObject": {"type": "object", "additionalProperties": named("Json")},
    })
}

/// One of several schemas: which one, this property says by its value.
fn one_of(property: &str, variants: &[(&str, &str)]) -> Value {
    let references: Vec<Value> = variants.iter().map(|(_, schema)| named(schema)).collect();
    let mapping: Map<_, _> =
        variants.iter().map(|(value, schema)| ((*value).to_owned(), named(schema)["$ref"].take())).collect();
    json!({"oneOf": references, "discriminator": {"propertyName": property, "mapping": mapping}})
}

/// One of these words.
fn words(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
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
fn events(name: &str, data: Value) -> Value {
    let properties = json!({
        "event": named(name),
        "id": {"type": "string", "description": "A cursor: what Last-Event-ID and the parameter after take."},
        "data": data,
    });
    let mut schema = object(properties, &["event", "data"]);
    schema["description"] = json!("Server-sent events, each of them so.");
    schema
}

fn log_events() -> Value {
    events("LogEventName", json!({"type": "string", "description": "A line; nothing at the end."}))
}

fn watch_events() -> Value {
    events("WatchEventName", json!({"type": "string", "contentMediaType": "application/json"}))
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

fn trace_id() -> Value {
    let description = "The trace of the request, as in the answer's header X-Trace-Id and in plugd's log.";
    json!({"type": "string", "pattern": "^[0-9a-f]{32}$", "description": description})
}

fn error_metadata() -> Value {
    let properties = json!({
        "trace_id": trace_id(),
        "suggested": text(),
        "plugin_instance_id": text(),
        "violations": list(named("ErrorViolation")),
    });
    object(properties, &["trace_id", "suggested"])
}

fn error() -> Value {
    let properties = json!({
        "error": {"type": "string", "description": "A stable word for programs, for example plugin_not_found."},
        "message": {"type": "string", "description": "What was wrong."},
        "suggested": {"type": "string", "description": "What to do about it."},
        "metadata": named("ErrorMetadata"),
        "type": {"type": "string", "format": "uri"},
        "title": text(),
        "detail": text(),
        "status": {"type": "integer"},
        "trace_id": trace_id(),
    });
    let required = ["error", "message", "suggested", "metadata", "type", "title", "detail", "status", "trace_id"];
    object(properties, &required)
}
