//! The manifest: strict in what a plugin must say, and deaf to keys that it does not know (CONTRACT 5).

use serde_json::{Value, json};

use super::{list, named, object, one_of, or_null, text};

/// Ids of plugins and authors (CONTRACT 5.1).
const SLUG: &str = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$";
/// Ids of model providers (CONTRACT 5.6).
const DOTTED: &str = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$";
/// Ids of tools and their providers (CONTRACT 5.6).
const IDENTIFIER: &str = "^[a-zA-Z0-9][a-zA-Z0-9_]*$";
/// Names of events, unless the operator has a catalogue of them.
const EVENT: &str = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$";

/// What a field of a configuration's schema may be, and the schema of that.
const FIELDS: [(&str, &str); 3] =
    [("string", "ManifestStringField"), ("number", "ManifestNumberField"), ("boolean", "ManifestBooleanField")];

/// What a plugin may offer, and the schema of that.
const CAPABILITIES: [(&str, &str); 2] =
    [("robot.llm_provider", "ManifestModelProvider"), ("robot.tool_provider", "ManifestToolProvider")];

pub(super) fn schemas() -> Value {
    let fields = or_null(list(named("ManifestConfigurationField")));
    json!({
        "PluginManifest": manifest(),
        "ManifestAccess": access(),
        "ManifestAccessLink": object(json!({"text": or_null(text()), "url": or_null(text())}), &[]),
        "ManifestConfigurationSchema": object(json!({"fields": fields}), &[]),
        "ManifestConfigurationField": one_of("type", &FIELDS),
        "ManifestStringField": field("string"),
        "ManifestNumberField": field("number"),
        "ManifestBooleanField": field("boolean"),
        "ManifestCapability": one_of("type", &CAPABILITIES),
        "ManifestModelProvider": object(offer("robot.llm_provider", DOTTED), &["type", "id", "version"]),
        "ManifestToolProvider": tool_provider(),
        "ManifestTool": tool(),
        "ManifestToolAnnotations": annotations(),
        "ManifestToolset": toolset(),
        "ManifestToolSchema": tool_schema(),
        "StoredManifest": stored(),
    })
}

/// A manifest as it is sent.
fn manifest() -> Value {
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
        "configuration_schema": or_null(named("ManifestConfigurationSchema")),
        "capabilities": or_null(list(named("ManifestCapability"))),
    });
    let mut schema = object(properties, &["id", "author", "name"]);
    schema["examples"] =
        json!([{"id": "my-plugin", "author": "me", "name": "My plugin", "events_consumed": ["EventThreadPublished"]}]);
    schema
}

/// A manifest as it is read: normalised (CONTRACT 5.3), and true to the rules of the day when it was sent.
fn stored() -> Value {
    let properties = json!({
        "id": text(),
        "author": text(),
        "name": text(),
        "description": text(),
        "version": text(),
        "command": text(),
        "args": list(text()),
        "events_consumed": list(text()),
        "access": named("JsonObject"),
        "configuration_schema": named("JsonObject"),
        "capabilities": list(named("JsonObject")),
    });
    let mut schema = object(properties, &["id", "author", "name", "description", "version", "command"]);
    schema["additionalProperties"] = json!(false);
    schema
}

fn access() -> Value {
    let properties = json!({
        "handle": or_null(text()),
        "name": or_null(text()),
        "permissions": or_null(list(text())),
        "bio": or_null(text()),
        "links": or_null(list(named("ManifestAccessLink"))),
        "metadata": or_null(named("JsonObject")),
    });
    object(properties, &[])
}

/// A field of the configuration: its default has its type.
fn field(kind: &str) -> Value {
    let properties = json!({
        "type": {"const": kind},
        "id": or_null(text()),
        "label": or_null(text()),
        "description": or_null(text()),
        "default": or_null(json!({"type": kind})),
    });
    object(properties, &["type"])
}

fn tool_provider() -> Value {
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

fn yes_or_no() -> Value {
    or_null(json!({"type": "boolean"}))
}

fn annotations() -> Value {
    let hints = json!({
        "readOnlyHint": yes_or_no(),
        "destructiveHint": yes_or_no(),
        "idempotentHint": yes_or_no(),
        "openWorldHint": yes_or_no(),
    });
    object(hints, &[])
}

fn tool() -> Value {
    let properties = json!({
        "id": matching(IDENTIFIER),
        "name": or_null(text()),
        "description": or_null(text()),
        "title": or_null(text()),
        "input_schema": named("ManifestToolSchema"),
        "output_schema": or_null(named("ManifestToolSchema")),
        "requires_confirmation": yes_or_no(),
        "requires_workspace": yes_or_no(),
        "annotations": or_null(named("ManifestToolAnnotations")),
    });
    object(properties, &["id", "input_schema"])
}

fn toolset() -> Value {
    let properties = json!({
        "id": {"type": "string", "minLength": 1},
        "name": or_null(text()),
        "description": or_null(text()),
        "tools": or_null(described(list(text()), "Ids of tools of the same provider, each once.")),
        "instruction": or_null(text()),
        "requires_workspace": yes_or_no(),
    });
    object(properties, &["id"])
}

/// The schema of a tool's parameters or result.
fn tool_schema() -> Value {
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
