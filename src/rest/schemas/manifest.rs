//! The manifest: strict in what a plugin must say, and deaf to keys that it does not know (CONTRACT 5).

use serde_json::{Value, json};

use super::{list, named, object, or_null, text};

/// Ids of plugins and authors (CONTRACT 5.1).
const SLUG: &str = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$";
/// Ids of model providers (CONTRACT 5.6).
const DOTTED: &str = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$";
/// Ids of tools and their providers (CONTRACT 5.6).
const IDENTIFIER: &str = "^[a-zA-Z0-9][a-zA-Z0-9_]*$";
/// Names of events, unless the operator has a catalogue of them.
const EVENT: &str = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$";

/// A manifest as it is sent.
pub(super) fn manifest() -> Value {
    let fields = object(json!({"fields": or_null(list(named("ManifestConfigurationField")))}), &[]);
    let capability = json!({"oneOf": [named("ManifestModelProvider"), named("ManifestToolProvider")]});
    let properties = json!({
        "id": matching(SLUG),
        "author": matching(SLUG),
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": or_null(text()),
        "version": or_null(text()),
        "command": or_null(text()),
        "args": or_null(list(text())),
        "events_consumed": or_null(list(matching(EVENT))),
        "access": or_null(named("ManifestAccess")),
        "configuration_schema": or_null(fields),
        "capabilities": or_null(list(capability)),
    });
    let mut schema = object(properties, &["id", "author", "name"]);
    schema["examples"] =
        json!([{"id": "my-plugin", "author": "me", "name": "My plugin", "events_consumed": ["EventThreadPublished"]}]);
    schema
}

/// A manifest as it is read: normalised (CONTRACT 5.3), and true to the rules of the day when it was sent.
pub(super) fn stored() -> Value {
    let properties = json!({
        "id": text(),
        "author": text(),
        "name": text(),
        "description": text(),
        "version": text(),
        "command": text(),
        "args": list(text()),
        "events_consumed": list(text()),
        "access": {"type": "object"},
        "configuration_schema": {"type": "object"},
        "capabilities": list(json!({"type": "object"})),
    });
    let mut schema = object(properties, &["id", "author", "name", "description", "version", "command"]);
    schema["additionalProperties"] = json!(false);
    schema
}

pub(super) fn access() -> Value {
    let link = object(json!({"text": or_null(text()), "url": or_null(text())}), &[]);
    let properties = json!({
        "handle": or_null(text()),
        "name": or_null(text()),
        "permissions": or_null(list(text())),
        "bio": or_null(text()),
        "links": or_null(list(link)),
        "metadata": or_null(json!({"type": "object", "additionalProperties": named("Json")})),
    });
    object(properties, &[])
}

/// A field of the configuration: its default has its type.
pub(super) fn field() -> Value {
    let of_type = |kind: &str| {
        let properties = json!({
            "type": {"const": kind},
            "id": or_null(text()),
            "label": or_null(text()),
            "description": or_null(text()),
            "default": or_null(json!({"type": kind})),
        });
        object(properties, &["type"])
    };
    json!({"oneOf": [of_type("string"), of_type("number"), of_type("boolean")]})
}

pub(super) fn model_provider() -> Value {
    object(offer("robot.llm_provider", DOTTED), &["type", "id", "version"])
}

pub(super) fn tool_provider() -> Value {
    let mut properties = offer("robot.tool_provider", IDENTIFIER);
    properties["tools"] = or_null(described(list(named("ManifestTool")), "Each id once."));
    properties["toolsets"] = or_null(described(list(named("ManifestToolset")), "Each id once."));
    object(properties, &["type", "id", "version"])
}

fn offer(kind: &str, id: &str) -> Value {
    json!({
        "type": {"const": kind},
        "id": matching(id),
        "version": {"type": "string", "minLength": 1},
        "name": or_null(text()),
        "description": or_null(text()),
    })
}

pub(super) fn tool() -> Value {
    let yes_or_no = || or_null(json!({"type": "boolean"}));
    let hints = json!({
        "readOnlyHint": yes_or_no(),
        "destructiveHint": yes_or_no(),
        "idempotentHint": yes_or_no(),
        "openWorldHint": yes_or_no(),
    });
    let properties = json!({
        "id": matching(IDENTIFIER),
        "name": or_null(text()),
        "description": or_null(text()),
        "title": or_null(text()),
        "input_schema": json_schema(),
        "output_schema": or_null(json_schema()),
        "requires_confirmation": yes_or_no(),
        "requires_workspace": yes_or_no(),
        "annotations": or_null(object(hints, &[])),
    });
    object(properties, &["id", "input_schema"])
}

pub(super) fn toolset() -> Value {
    let properties = json!({
        "id": {"type": "string", "minLength": 1},
        "name": or_null(text()),
        "description": or_null(text()),
        "tools": or_null(described(list(text()), "Ids of tools of the same provider, each once.")),
        "instruction": or_null(text()),
        "requires_workspace": or_null(json!({"type": "boolean"})),
    });
    object(properties, &["id"])
}

/// The schema of a tool's parameters or result.
fn json_schema() -> Value {
    let mut schema = object(json!({"type": {"const": "object"}}), &["type"]);
    schema["additionalProperties"] = named("Json");
    schema
}

fn matching(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}
