use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::error::{Error, Reason};

mod limits;

fn mk_minimal() -> Value {
    json!({"id": "greeter", "author": "plugd", "name": "Greeter"})
}

/// The minimal manifest with one more key.
fn mk_with(key: &str, value: Value) -> Value {
    let mut manifest = mk_minimal();
    manifest[key] = value;
    manifest
}

fn mk_tool(id: &str) -> Value {
    json!({"id": id, "name": id, "description": "d", "input_schema": {"type": "object"}})
}

fn mk_provider(tools: Value, toolsets: Value) -> Value {
    let provider =
        json!({"type": "robot.tool_provider", "id": "p", "version": "1", "tools": tools, "toolsets": toolsets});
    mk_with("capabilities", json!([provider]))
}

/// All that a manifest can have, in its normalised form.
fn mk_full() -> Value {
    json!({
        "id": "greeter", "author": "plugd", "name": "Greeter", "description": "Greets.", "version": "1.2",
        "command": "./greeter", "args": ["--loud", ""], "events_consumed": ["EventPostLiked", "order.paid"],
        "access": {
            "handle": "greeter", "name": "Greeter", "permissions": ["CREATE_POST"], "bio": "Hello.",
            "links": [{"text": "Home", "url": "https://example.com"}], "metadata": {"a": {"b": [1, null]}},
        },
        "configuration_schema": {"fields": [
            {"type": "string", "id": "greeting", "label": "Greeting", "description": "Said first.", "default": "hi"},
            {"type": "number", "id": "count", "label": "", "description": "", "default": 1.5},
            {"type": "boolean", "id": "", "label": "", "description": "", "default": false},
        ]},
        "capabilities": [
            {"type": "robot.llm_provider", "id": "acme.models-2", "version": "1", "name": "Acme", "description": "d"},
            {"type": "robot.tool_provider", "id": "greet", "version": "2", "tools": [{
                "id": "hello", "name": "Hello", "description": "Says it.", "title": "Say hello",
                "input_schema": {"type": "object", "properties": {"to": {"type": "string"}}},
                "output_schema": {"type": "object"}, "requires_confirmation": true, "requires_workspace": false,
                "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false},
            }], "toolsets": [{
                "id": "all", "name": "All", "description": "d", "tools": ["hello"], "instruction": "Greet.",
                "requires_workspace": true,
            }]},
        ],
    })
}

fn read(value: Value) -> Result<Manifest> {
    Manifest::from_value(value, &EventCatalog::any())
}

fn normalised(value: Value) -> Value {
    Value::Object(read(value).unwrap().to_map())
}

/// The manifest is refused with exactly these lines.
#[track_caller]
fn assert_refused(value: Value, lines: &[&str]) {
    let error = read(value).unwrap_err();
    assert_eq!(error.reason, Reason::InvalidManifest);
    assert_eq!(error.message.lines().collect::<Vec<_>>(), lines);
    assert_eq!(error.violations.len(), lines.len());
}

fn fields(error: &Error) -> Vec<&str> {
    error.violations.iter().map(|violation| &*violation.field).collect()
}

#[test]
fn a_full_manifest_comes_back_as_it_is() {
    assert_eq!(normalised(mk_full()), mk_full());
    assert_eq!(Manifest::parse(mk_full().to_string().as_bytes(), &EventCatalog::any()), read(mk_full()));
}

#[test]
fn a_minimal_manifest_gets_its_empty_texts_and_nothing_else() {
    let expected = json!({
        "id": "greeter", "author": "plugd", "name": "Greeter", "description": "", "version": "", "command": "",
    });
    assert_eq!(normalised(mk_minimal()), expected);
}

#[test]
fn null_and_empty_parts_are_absent() {
    for key in ["description", "version", "command", "args", "events_consumed", "access", "configuration_schema"] {
        assert_eq!(normalised(mk_with(key, Value::Null)), normalised(mk_minimal()), "{key}");
    }
    for key in ["args", "events_consumed", "capabilities"] {
        assert_eq!(normalised(mk_with(key, json!([]))), normalised(mk_minimal()), "{key}");
    }
    for schema in [json!({}), json!({"fields": null}), json!({"fields": []})] {
        assert_eq!(normalised(mk_with("configuration_schema", schema)), normalised(mk_minimal()));
    }
}

#[test]
fn unknown_keys_are_dropped_at_every_level() {
    fn add_keys(value: &mut Value) {
        match value {
            Value::Object(map) => {
                let is_free = map.contains_key("properties") || map.contains_key("a") || map.contains_key("b");
                let is_schema = map.len() == 1 && map.contains_key("type");
                map.iter_mut()
                    .filter(|(key, _)| !matches!(&***key, "metadata" | "input_schema" | "output_schema"))
                    .for_each(|(_, value)| add_keys(value));
                if !is_free && !is_schema {
                    map.insert("unknown".into(), json!({"x": 1}));
                }
            }
            Value::Array(values) => values.iter_mut().for_each(add_keys),
            _ => {}
        }
    }
    let mut manifest = mk_full();
    add_keys(&mut manifest);
    assert_ne!(manifest, mk_full());
    assert_eq!(normalised(manifest), mk_full());
}

#[test]
fn the_normalised_form_is_read_back() {
    let manifest = read(mk_full()).unwrap();
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
}

#[test]
fn what_an_older_rule_accepted_is_still_read_back() {
    let old: Manifest = serde_json::from_value(json!({"id": "-old-", "gone": 1, "capabilities": [
        {"type": "robot.tool_provider", "toolsets": [{"id": "s", "tools": ["nobody"]}]},
        {"type": "robot.llm_provider"},
    ], "events_consumed": ["no such event"], "access": {}, "configuration_schema": {}}))
    .unwrap();
    assert_eq!((&*old.id, old.capabilities.len()), ("-old-", 2));
}

#[test]
fn all_problems_are_told_at_once() {
    let error = read(json!({
        "id": "-x", "name": "", "args": ["a", 1], "command": 7, "events_consumed": ["ok", "not ok"], "access": [],
    }))
    .unwrap_err();
    assert_eq!(
        fields(&error),
        [
            "manifest.id",
            "manifest.author",
            "manifest.name",
            "manifest.command",
            "manifest.args[1]",
            "manifest.events_consumed",
            "manifest.access"
        ]
    );
    let lines: Vec<&str> = error.message.lines().collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("Field \"id\" is invalid. "), "{}", lines[0]);
    assert_eq!(lines[1], "Field \"author\" is required.");
    assert_eq!(lines[4], "Field \"args[1]\" must be a string.");
    assert!(lines[5].starts_with("Field \"events_consumed\" contains unknown event \"not ok\"."), "{}", lines[5]);
}

#[test]
fn hundreds_of_problems_are_counted_not_told() {
    let error = read(mk_with("args", json!(vec![0; 5000]))).unwrap_err();
    assert_eq!(error.violations.len(), 100);
    assert!(error.message.ends_with("\nThere are 4900 more problems."), "{}", error.message);
}

#[test]
fn what_is_no_object_is_refused() {
    for value in [json!(null), json!([]), json!("x"), json!(1), json!(true)] {
        assert_refused(value, &["The manifest must be an object."]);
    }
    let error = Manifest::parse(b"id: greeter", &EventCatalog::any()).unwrap_err();
    assert!(error.message.starts_with("The manifest is not valid JSON: "), "{error}");
    assert_eq!(fields(&error), ["manifest"]);
}

#[test]
fn wrong_types_are_named_with_their_path() {
    let wrong = json!([{"type": "robot.tool_provider", "id": "p", "version": "1", "name": 1, "tools": [
        {"id": "a", "name": {}, "input_schema": {"type": "object"}, "requires_confirmation": "yes",
         "annotations": {"readOnlyHint": 1}},
        7,
    ]}, null, {"type": "robot.unknown"}, {}]);
    assert_refused(
        mk_with("capabilities", wrong),
        &[
            "Field \"capabilities[1]\" must be an object.",
            "Field \"capabilities[0].name\" must be a string.",
            "Field \"capabilities[0].tools[1]\" must be an object.",
            "Field \"capabilities[0].tools[0].name\" must be a string.",
            "Field \"capabilities[0].tools[0].requires_confirmation\" must be true or false.",
            "Field \"capabilities[0].tools[0].annotations.readOnlyHint\" must be true or false.",
            "Field \"capabilities[2].type\" must be \"robot.llm_provider\" or \"robot.tool_provider\".",
            "Field \"capabilities[3].type\" must be \"robot.llm_provider\" or \"robot.tool_provider\".",
        ],
    );
}

#[test]
fn an_event_that_comes_twice_is_kept_once() {
    let manifest = read(mk_with("events_consumed", json!(["b", "a", "b", "a", "c"]))).unwrap();
    assert_eq!(manifest.events_consumed, ["b", "a", "c"]);
}

#[test]
fn a_catalogue_decides_which_events_there_are() {
    let value = mk_with("events_consumed", json!(["EventPostLiked", "order.paid"]));
    assert!(read(value.clone()).is_ok());
    let catalog = EventCatalog::from_names(["EventPostLiked"]);
    let error = Manifest::from_value(value, &catalog).unwrap_err();
    assert_eq!(error.message, "Field \"events_consumed\" contains unknown event \"order.paid\".");
}

#[test]
fn a_long_name_is_cut_in_the_message() {
    let error = read(mk_with("events_consumed", json!(["x".repeat(100_000)]))).unwrap_err();
    assert!(error.message.len() < 300);
}

#[test]
fn links_of_access_are_text_and_address() {
    let access = json!({"links": [{"text": "Home", "url": "https://example.com"}, {}]});
    let manifest = read(mk_with("access", access)).unwrap();
    let access = manifest.access.unwrap();
    assert_eq!((&*access.links[0].url, &*access.links[1].url), ("https://example.com", ""));
    assert_refused(
        mk_with("access", json!({"handle": 1, "permissions": [2], "metadata": [], "links": ["x", {"url": {}}]})),
        &[
            "Field \"access.handle\" must be a string.",
            "Field \"access.permissions[0]\" must be a string.",
            "Field \"access.links[0]\" must be an object.",
            "Field \"access.links[1].url\" must be a string.",
            "Field \"access.metadata\" must be an object.",
        ],
    );
}

#[test]
fn a_field_of_the_schema_has_a_type_and_a_default_that_fits_it() {
    let fields = json!({"fields": [{}, {"type": "date"}, {"type": 1, "id": 2}, {"type": "number", "default": "1"},
        {"type": "string", "default": null}, {"type": "boolean", "default": true}]});
    assert_refused(
        mk_with("configuration_schema", fields),
        &[
            "Field \"configuration_schema.fields[0].type\" must be \"string\", \"number\" or \"boolean\".",
            "Field \"configuration_schema.fields[1].type\" must be \"string\", \"number\" or \"boolean\".",
            "Field \"configuration_schema.fields[2].type\" must be \"string\", \"number\" or \"boolean\".",
            "Field \"configuration_schema.fields[2].id\" must be a string.",
            "Field \"configuration_schema.fields[3].default\" must be a number value.",
        ],
    );
}

#[test]
fn providers_have_ids_of_their_own_kind_and_a_version() {
    let of = |kind: &str, id: &str, version: &str| {
        read(mk_with("capabilities", json!([{"type": kind, "id": id, "version": version}]))).is_ok()
    };
    assert!(of("robot.llm_provider", "a.b-c", "1"));
    assert!(of("robot.tool_provider", "a_b", "1"));
    assert!(!of("robot.tool_provider", "a.b", "1"));
    assert!(!of("robot.llm_provider", "", "1"));
    assert!(!of("robot.llm_provider", "a", ""));
}

#[test]
fn a_tool_needs_schemas_of_type_object() {
    let with = |key: &str, schema: Value| {
        let mut tool = mk_tool("a");
        tool[key] = schema;
        mk_provider(json!([tool]), json!([]))
    };
    assert_refused(
        with("input_schema", Value::Null),
        &["Field \"capabilities[0].tools[0].input_schema\" is required: an object whose \"type\" is \"object\"."],
    );
    assert_refused(
        with("input_schema", json!(1)),
        &["Field \"capabilities[0].tools[0].input_schema\" must be an object."],
    );
    for key in ["input_schema", "output_schema"] {
        let line = format!("Field \"capabilities[0].tools[0].{key}\" is invalid. Its \"type\" must be \"object\".");
        assert_refused(with(key, json!({"type": "array"})), &[&line]);
        assert_refused(with(key, json!({})), &[&line]);
    }
    assert!(read(with("output_schema", Value::Null)).is_ok());
}

#[test]
fn tools_and_toolsets_are_unique_and_toolsets_name_tools_that_exist() {
    let tools = json!([mk_tool("a"), mk_tool("b"), mk_tool("a")]);
    let toolsets = json!([
        {"id": "s", "tools": ["a", "b"]}, {"id": "s", "tools": ["a", "a", "nobody"]}, {"tools": []}, {},
    ]);
    assert_refused(
        mk_provider(tools, toolsets),
        &[
            "Field \"capabilities[0].toolsets[2].id\" is required.",
            "Field \"capabilities[0].toolsets[3].id\" is required.",
            "Field \"capabilities[0].tools\" contains \"a\" more than once.",
            "Field \"capabilities[0].toolsets\" contains \"s\" more than once.",
            "Field \"capabilities[0].toolsets[1].tools\" contains \"a\" more than once.",
            "Field \"capabilities[0].toolsets[1].tools\" contains unknown tool \"nobody\".",
        ],
    );
}

/// Any JSON, mostly with keys that manifests have.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
        prop::sample::select(vec!["robot.tool_provider", "robot.llm_provider", "string", "object", "a"])
            .prop_map(Value::from),
    ];
    let keys = vec![
        "id",
        "author",
        "name",
        "args",
        "events_consumed",
        "access",
        "configuration_schema",
        "fields",
        "capabilities",
        "type",
        "tools",
        "toolsets",
        "input_schema",
        "annotations",
        "links",
        "metadata",
        "default",
        "version",
        "other",
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys.clone()), inner), 0..8).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn arbitrary_json_never_panics(value in any_json()) {
        if let Err(error) = read(value) {
            prop_assert!(!error.violations.is_empty() && !error.message.is_empty());
        }
    }

    #[test]
    fn whatever_is_accepted_is_its_own_normal_form(key in prop::sample::select(vec![
        "access", "configuration_schema", "capabilities", "args", "other",
    ]), value in any_json()) {
        if let Ok(manifest) = read(mk_with(key, value)) {
            let normal = Value::Object(manifest.to_map());
            prop_assert_eq!(&read(normal.clone()).unwrap(), &manifest);
            prop_assert_eq!(serde_json::from_value::<Manifest>(normal).unwrap(), manifest);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(Manifest::parse(&bytes, &EventCatalog::any()).is_err());
    }
}
