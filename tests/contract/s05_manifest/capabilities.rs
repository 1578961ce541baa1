//! 5.6: what a plugin offers, each rule with an example that breaks it.
//!
//! plugd registers nothing in the name of a plugin: it shows `capabilities` to the application, which calls tools over
//! `BusService.CallPlugin`. So the registered names of 5.6 are the application's.

use serde_json::{Value, json};

use super::{assert_refused, refused, taken, with};
use crate::harness::Plugd;

const TYPES: &str = "must be \"robot.llm_provider\" or \"robot.tool_provider\".";
const DOTTED: &str = "is invalid. Use letters, digits, dots, underscores and hyphens; begin with a letter or a digit.";
const STRICT: &str = "is invalid. Use letters, digits and underscores; begin with a letter or a digit.";

fn offering(capability: &Value) -> Value {
    with(&json!({"capabilities": [capability]}))
}

/// A provider of the tools `a` and `b`, with these members of its own.
fn provider(members: &Value) -> Value {
    let tool = |id: &str| json!({"id": id, "name": id, "description": "", "input_schema": {"type": "object"}});
    let mut provider =
        json!({"type": "robot.tool_provider", "id": "p", "version": "1", "tools": [tool("a"), tool("b")]});
    provider.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    offering(&provider)
}

/// A provider of one tool with these members.
fn tool(members: &Value) -> Value {
    let mut tool = json!({"id": "a", "name": "A", "description": "", "input_schema": {"type": "object"}});
    tool.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    provider(&json!({"tools": [tool]}))
}

#[tokio::test]
async fn a_capability_has_one_of_two_types_5_6() {
    let line = |rest: &str| format!("Field \"capabilities[0]{rest}");
    assert_refused([
        (offering(&json!({"id": "a", "version": "1"})), line(&format!(".type\" {TYPES}"))),
        (offering(&json!({"type": "robot.nonsense", "id": "a", "version": "1"})), line(&format!(".type\" {TYPES}"))),
        (offering(&json!({"type": 1, "id": "a", "version": "1"})), line(&format!(".type\" {TYPES}"))),
        (offering(&Value::Null), line("\" must be an object.")),
    ])
    .await;
}

#[tokio::test]
async fn a_model_provider_has_an_id_with_dots_and_hyphens_and_a_version_5_6() {
    let plugd = Plugd::start().await;
    let model = |id: &str, version: &Value| {
        offering(&json!({"type": "robot.llm_provider", "id": id, "version": version, "name": "N", "description": "D"}))
    };
    for good in ["a", "7", "a.b-c_d", "a."] {
        let shown = taken(&plugd, &model(good, &json!("1"))).await;
        assert_eq!(
            shown,
            with(&json!({"description": "", "version": "", "command": "", "capabilities": [
            {"type": "robot.llm_provider", "id": good, "version": "1", "name": "N", "description": "D"}]}))
        );
    }
    for bad in ["", ".a", "-a", "_a", "a b", "\u{e9}"] {
        assert_eq!(refused(&plugd, &model(bad, &json!("1"))).await, format!("Field \"capabilities[0].id\" {DOTTED}"));
    }
    let empty = refused(&plugd, &model("a", &json!(""))).await;
    assert_eq!(empty, "Field \"capabilities[0].version\" is invalid. It must not be empty.");
    assert_eq!(refused(&plugd, &model("a", &json!(null))).await, "Field \"capabilities[0].version\" is required.");
}

#[tokio::test]
async fn a_tool_provider_and_its_tools_have_ids_without_dots_and_hyphens_5_6() {
    let plugd = Plugd::start().await;
    for good in ["a", "7", "a_b"] {
        taken(&plugd, &provider(&json!({"id": good}))).await;
        taken(&plugd, &tool(&json!({"id": good}))).await;
    }
    for bad in ["", "a.b", "a-b", "_a", "a b"] {
        assert_eq!(
            refused(&plugd, &provider(&json!({"id": bad}))).await,
            format!("Field \"capabilities[0].id\" {STRICT}")
        );
        let of_tool = refused(&plugd, &tool(&json!({"id": bad}))).await;
        assert_eq!(of_tool, format!("Field \"capabilities[0].tools[0].id\" {STRICT}"));
    }
    let empty = refused(&plugd, &provider(&json!({"version": ""}))).await;
    assert_eq!(empty, "Field \"capabilities[0].version\" is invalid. It must not be empty.");
}

#[tokio::test]
async fn a_tool_keeps_all_that_it_says_of_itself_5_6() {
    let plugd = Plugd::start().await;
    let whole = provider(&json!({
        "name": "Provider", "description": "D",
        "tools": [{
            "id": "a", "name": "A", "description": "d", "title": "T",
            "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
            "output_schema": {"type": "object"},
            "requires_confirmation": true, "requires_workspace": false,
            "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false},
        }],
        "toolsets": [{
            "id": "s", "name": "S", "description": "d", "tools": ["a"], "instruction": "i", "requires_workspace": true,
        }],
    }));
    assert_eq!(taken(&plugd, &whole).await["capabilities"], whole["capabilities"]);
}

#[tokio::test]
async fn the_schemas_of_a_tool_are_objects_of_type_object_5_6() {
    let field = |key: &str| format!("Field \"capabilities[0].tools[0].{key}\"");
    let mut cases = Vec::new();
    for key in ["input_schema", "output_schema"] {
        let broken = format!("{} is invalid. Its \"type\" must be \"object\".", field(key));
        for schema in [json!({}), json!({"type": "array"}), json!({"type": ["object"]})] {
            cases.push((tool(&json!({key: schema})), broken.clone()));
        }
        cases.push((tool(&json!({key: []})), format!("{} must be an object.", field(key))));
    }
    let missing = format!("{} is required: an object whose \"type\" is \"object\".", field("input_schema"));
    cases.push((tool(&json!({"input_schema": null})), missing));
    assert_refused(cases).await;
}

#[tokio::test]
async fn a_tool_with_a_member_of_another_type_is_refused_5_6() {
    let field = |key: &str, what: &str| format!("Field \"capabilities[0].tools[0].{key}\" must be {what}.");
    let mut cases =
        vec![(provider(&json!({"tools": [1]})), "Field \"capabilities[0].tools[0]\" must be an object.".into())];
    for key in ["name", "description", "title"] {
        cases.push((tool(&json!({key: 1})), field(key, "a string")));
    }
    for key in ["requires_confirmation", "requires_workspace"] {
        cases.push((tool(&json!({key: "yes"})), field(key, "true or false")));
    }
    for key in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
        cases.push((tool(&json!({"annotations": {key: 1}})), field(&format!("annotations.{key}"), "true or false")));
    }
    assert_refused(cases).await;
}

/// Defect 18 of section 19: Storyden looked at these only when it loaded the plugin, and left a row behind.
#[tokio::test]
async fn tools_and_toolsets_are_unique_and_toolsets_name_tools_that_exist_5_6() {
    let same = json!({"id": "a", "input_schema": {"type": "object"}});
    let sets = |sets: Value| provider(&json!({"toolsets": sets}));
    let line = |rest: &str| format!("Field \"capabilities[0].{rest}");
    assert_refused([
        (provider(&json!({"tools": [same, same]})), line("tools\" contains \"a\" more than once.")),
        (
            sets(json!([{"id": "s", "tools": ["a"]}, {"id": "s", "tools": ["b"]}])),
            line("toolsets\" contains \"s\" more than once."),
        ),
        (sets(json!([{"id": "s", "tools": ["a", "a"]}])), line("toolsets[0].tools\" contains \"a\" more than once.")),
        (
            sets(json!([{"id": "s", "tools": ["nobody"]}])),
            line("toolsets[0].tools\" contains unknown tool \"nobody\"."),
        ),
        (sets(json!([{"tools": ["a"]}])), line("toolsets[0].id\" is required.")),
    ])
    .await;
}
