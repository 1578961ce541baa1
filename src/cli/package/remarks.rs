//! What the author of a manifest may not have meant. The server takes such manifests all the same.

use serde_json::{Map, Value};

use crate::domain::{events::EventCatalog, manifest::Manifest};

/// The keys of each object in a manifest, to guess what was meant from.
const KEYS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "id",
            "author",
            "name",
            "description",
            "version",
            "command",
            "args",
            "events_consumed",
            "access",
            "configuration_schema",
            "capabilities",
        ],
    ),
    ("access", &["handle", "name", "permissions", "bio", "links", "metadata"]),
    ("access.links", &["text", "url"]),
    ("configuration_schema", &["fields"]),
    ("configuration_schema.fields", &["type", "id", "label", "description", "default"]),
    ("capabilities", &["type", "id", "version", "name", "description", "tools", "toolsets"]),
    (
        "capabilities.tools",
        &[
            "id",
            "name",
            "description",
            "title",
            "input_schema",
            "output_schema",
            "requires_confirmation",
            "requires_workspace",
            "annotations",
        ],
    ),
    (
        "capabilities.tools.annotations",
        &["title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"],
    ),
    ("capabilities.toolsets", &["id", "name", "description", "tools", "instruction", "requires_workspace"]),
];

/// How alike two words must be for one to be taken for the other (Jaro and Winkler): a slip or two, or the same beginning.
const ALIKE: f64 = 0.85;

/// What to say about a manifest. Nothing about one that is refused anyway.
#[must_use]
pub(in crate::cli) fn remarks(manifest: &Map<String, Value>, is_supervised: bool) -> Vec<String> {
    let Ok(known) = Manifest::from_value(Value::Object(manifest.clone()), &EventCatalog::any()) else {
        return Vec::new();
    };
    let mut remarks = Vec::new();
    compare("", manifest, &known.to_map(), &mut remarks);
    if is_supervised && known.command.is_empty() {
        remarks.push("the manifest has no \"command\": the plugin can be installed, but not started".to_owned());
    }
    remarks
}

/// Finds what is written but not kept, at any depth.
fn compare(path: &str, written: &Map<String, Value>, kept: &Map<String, Value>, remarks: &mut Vec<String>) {
    for (key, value) in written.iter().filter(|(_, value)| !is_void(value)) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match kept.get(key) {
            Some(kept) => compare_values(&path, value, kept, remarks),
            None => remarks.push(unknown(&path)),
        }
    }
}

fn compare_values(path: &str, written: &Value, kept: &Value, remarks: &mut Vec<String>) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => compare(path, written, kept, remarks),
        (Value::Array(written), Value::Array(kept)) if written.len() == kept.len() => {
            for (index, (written, kept)) in written.iter().zip(kept).enumerate() {
                compare_values(&format!("{path}[{index}]"), written, kept, remarks);
            }
        }
        _ => {}
    }
}

/// Is this as good as not written?
fn is_void(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn unknown(path: &str) -> String {
    let (place, key) = path.rsplit_once('.').unwrap_or(("", path));
    // "capabilities[0].tools[1]" is "capabilities.tools".
    let place: String = place.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
    let keys = KEYS.iter().find(|(known, _)| *known == place).map_or(&[][..], |(_, keys)| keys);
    let guess = nearest(key, keys.iter().copied()).map(|key| format!("; did you mean \"{key}\"?")).unwrap_or_default();
    format!("the manifest's \"{path}\" is not known and is ignored{guess}")
}

/// The word among these that somebody most likely meant, if any is near.
#[must_use]
pub(in crate::cli) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let rated = known.map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &written), known));
    rated
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(manifest: &Value) -> Vec<String> {
        remarks(manifest.as_object().unwrap(), true)
    }

    #[test]
    fn a_key_that_is_not_known_is_told_with_a_guess_at_any_depth() {
        let said = of(&json!({
            "id": "a", "author": "a", "name": "A", "comand": "x", "homepage": "y",
            "configuration_schema": {"fields": [{"type": "string", "id": "f", "labl": "F"}]},
        }));
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].contains("\"comand\"") && said[0].contains("did you mean \"command\"?"), "{said:?}");
        assert!(
            said[1].contains("\"configuration_schema.fields[0].labl\"") && said[1].contains("mean \"label\"?"),
            "{said:?}"
        );
        assert!(said[2].contains("\"homepage\"") && !said[2].contains("did you mean"), "{said:?}");
        assert!(said[3].contains("no \"command\""), "{said:?}");
    }

    #[test]
    fn a_manifest_that_uses_everything_gets_no_remark() {
        let tool = json!({
            "id": "t", "name": "T", "description": "d", "input_schema": {"type": "object", "anything": {"x": 1}},
            "annotations": {"readOnlyHint": true, "openWorldHint": false},
        });
        let provider = json!({"type": "robot.tool_provider", "id": "p", "version": "1", "tools": [tool]});
        assert_eq!(
            of(&json!({
                "id": "a", "author": "a", "name": "A", "description": "", "version": "1", "command": "x", "args": ["y"],
                "events_consumed": ["EventOne", "EventOne"],
                "access": {"handle": "h", "name": "n", "permissions": ["P"], "bio": "b",
                    "links": [{"text": "t", "url": "https://example.org"}], "metadata": {"k": {"v": 1}}},
                "configuration_schema": {"fields": [{"type": "number", "id": "f", "label": "F", "default": 1}]},
                "capabilities": [provider],
            })),
            [""; 0]
        );
    }

    #[test]
    fn an_external_plugin_needs_no_command() {
        let manifest = json!({"id": "a", "author": "a", "name": "A"});
        assert_eq!(remarks(manifest.as_object().unwrap(), false), [""; 0]);
    }

    #[test]
    fn what_was_meant_is_guessed_from_a_slip_or_the_beginning() {
        let keys = || KEYS[0].1.iter().copied();
        for (written, meant) in [
            ("comand", "command"),
            ("commnad", "command"),
            ("commando", "command"),
            ("kommand", "command"),
            ("Command", "command"),
            ("argss", "args"),
            ("events", "events_consumed"),
            ("config_schema", "configuration_schema"),
        ] {
            assert_eq!(nearest(written, keys()), Some(meant), "{written}");
        }
        for written in ["homepage", "icon", "license", "main", "x"] {
            assert_eq!(nearest(written, keys()), None, "{written}");
        }
    }
}
