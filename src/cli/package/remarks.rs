//! What the author of a manifest may not have meant. The server takes such manifests all the same.

use serde_json::{Map, Value};

use crate::domain::{events::EventCatalog, manifest::Manifest, package::Package};

/// Keys at the top of a manifest, to guess what was meant from.
const KEYS: [&str; 11] = [
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
];

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

/// What to say about a package whose command names a file that is not in it. Nothing about one that is refused anyway.
#[must_use]
pub(super) fn missing_command(archive: &[u8]) -> Option<String> {
    let package = Package::read(archive.to_vec().into(), &EventCatalog::any()).ok()?;
    let command = &package.manifest.command;
    let path = command.strip_prefix("./").filter(|path| !path.contains("./") && !path.contains("//"))?;
    let is_there = package.files.iter().any(|file| file.path == path);
    (!is_there)
        .then(|| format!("the manifest's command {command:?} is not in the package: the plugin can't be started"))
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
    let guess = KEYS.iter().find(|key| is_near(key, path));
    let guess = guess.map(|key| format!("; did you mean \"{key}\"?")).unwrap_or_default();
    format!("the manifest's \"{path}\" is not known and is ignored{guess}")
}

/// Is one the other but for a letter too many, too few or wrong, or two letters that changed places?
#[must_use]
pub(in crate::cli) fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let same_start = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one.as_bytes()[same_start..], &other.as_bytes()[same_start..]);
    let same_end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - same_end], &other[..other.len() - same_end]) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => (a, b) == (d, c),
        _ => false,
    }
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
        assert!(said[1].contains("\"configuration_schema.fields[0].labl\""), "{said:?}");
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
    fn near_is_one_slip() {
        for slip in ["comand", "commnad", "commando", "kommand", "Command"] {
            assert!(is_near("command", slip), "{slip}");
        }
        for other in ["cmd", "commands2", "args", "id"] {
            assert!(!is_near("command", other), "{other}");
        }
    }
}
