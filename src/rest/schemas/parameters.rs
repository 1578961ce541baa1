//! Parameters of operations.

use serde_json::{Value, json};

use super::{list, named, text};
use crate::rest::path;

/// Pattern of a cursor.
const CURSOR: &str = "^.*:[0-9]{1,19}$";
/// The same in the header of a browser, which has an empty one before the first event.
const CURSOR_OR_NONE: &str = "^(.*:[0-9]{1,19})?$";

fn parameter(place: &str, name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "description": description, "schema": schema})
}

/// The plugin's id in a path.
pub(in crate::rest) fn plugin_id() -> Value {
    let description = "The installation's id. Only its first 20 characters count.";
    parameter("path", path::PARAMETER, description, json!({"type": "string", "minLength": 1}))
}

/// A query parameter that may come more than once.
pub(in crate::rest) fn strings(name: &str, description: &str) -> Value {
    parameter("query", name, description, list(text()))
}

/// A filter by state.
pub(in crate::rest) fn states(name: &str) -> Value {
    parameter("query", name, "Only plugins in one of these states.", list(named("PluginState")))
}

/// A cursor in the query.
pub(in crate::rest) fn cursor(name: &str, description: &str) -> Value {
    parameter("query", name, description, json!({"type": "string", "pattern": CURSOR}))
}

/// A cursor in a header.
pub(in crate::rest) fn cursor_header(name: &str, description: &str) -> Value {
    parameter("header", name, description, json!({"type": "string", "pattern": CURSOR_OR_NONE}))
}

/// Yes or no.
pub(in crate::rest) fn boolean(name: &str, description: &str) -> Value {
    parameter("query", name, description, json!({"type": "boolean"}))
}

/// A number of seconds between 1 and 300.
pub(in crate::rest) fn seconds(name: &str, description: &str) -> Value {
    parameter("query", name, description, json!({"type": "integer", "minimum": 1, "maximum": 300}))
}

/// The header with which a client asks not to wait (RFC 7240).
pub(in crate::rest) fn prefer() -> Value {
    let description = "\"respond-async\" answers 202 after the commit instead of waiting.";
    parameter("header", "Prefer", description, text())
}

/// The configuration's ETag.
pub(in crate::rest) fn if_match() -> Value {
    let schema = json!({"type": "string", "pattern": "^(\\*|\"[0-9]{1,19}\")$"});
    parameter("header", "If-Match", "The ETag that the stored configuration must have.", schema)
}

/// The configuration's revision.
pub(in crate::rest) fn if_revision(name: &str) -> Value {
    let schema = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    parameter("query", name, "The revision that the stored configuration must have, else 409.", schema)
}
