use serde_json::json;

use super::*;

fn mk_schema() -> ConfigurationSchema {
    serde_json::from_value(json!({"fields": [
        {"type": "string", "id": "greeting"},
        {"type": "number", "id": "count"},
        {"type": "boolean", "id": "loud"},
        {"type": "string", "id": "  "},
        {"type": "string"},
    ]}))
    .unwrap()
}

fn outcome(value: Value) -> Result<()> {
    check(Some(&mk_schema()), value.as_object().unwrap())
}

#[test]
fn declared_types_missing_keys_and_unknown_keys_are_fine() {
    for value in [
        json!({}),
        json!({"greeting": "hi", "count": 1, "loud": true}),
        json!({"count": 1.5, "other": [1, {"a": null}]}),
        json!({"": 1, "  ": 2}),
    ] {
        assert_eq!(outcome(value), Ok(()));
    }
}

#[test]
fn each_field_of_another_type_has_its_line_and_its_violation() {
    let error = outcome(json!({"greeting": 1, "count": null, "loud": "yes"})).unwrap_err();
    assert_eq!(error.reason, Reason::InvalidConfiguration);
    assert_eq!(
        error.message,
        "Field \"greeting\" must be a string value.\nField \"count\" must be a number value.\n\
         Field \"loud\" must be a boolean value."
    );
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["configuration.greeting", "configuration.count", "configuration.loud"]);
}

#[test]
fn without_a_schema_nothing_is_checked() {
    assert_eq!(check(None, json!({"a": null}).as_object().unwrap()), Ok(()));
}
