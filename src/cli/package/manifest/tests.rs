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
