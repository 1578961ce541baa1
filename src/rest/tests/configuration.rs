//! Configuration and its schema.

use axum::{body::Body, http::StatusCode};
use prost_types::{Value, value::Kind};
use serde_json::json;

use super::{Harness, admin, json as json_body, path};
use crate::api::v1::{ConfigurationField, configuration_field::Type};

#[tokio::test]
async fn a_field_has_all_its_keys_and_a_default_only_if_declared() {
    let harness = Harness::new();
    let default = Some(Value { kind: Some(Kind::NumberValue(1.5)) });
    let number = ConfigurationField { r#type: Type::Number.into(), id: "n".to_owned(), default, ..Default::default() };
    let boolean = ConfigurationField { r#type: Type::Boolean.into(), id: "b".to_owned(), ..Default::default() };
    harness.fake.declares(vec![number, boolean]);
    let expected = json!({"fields": [
        {"type": "number", "id": "n", "label": "", "description": "", "default": 1.5},
        {"type": "boolean", "id": "b", "label": "", "description": ""},
    ]});
    assert_eq!(harness.get(&path("/configuration-schema")).await.json(), expected);
}

#[tokio::test]
async fn a_manifest_without_fields_has_a_schema_without_fields() {
    assert_eq!(Harness::new().get(&path("/configuration-schema")).await.json(), json!({"fields": []}));
}

#[tokio::test]
async fn a_configuration_never_set_is_an_empty_object_with_a_tag() {
    let answer = Harness::new().get(&path("/configuration")).await;
    assert_eq!((answer.json(), answer.header("etag")), (json!({}), Some("\"7\"")));
}

#[tokio::test]
async fn an_update_answers_what_is_stored() {
    let harness = Harness::new();
    let answer = harness.json("PATCH", &path("/configuration"), r#"{"a":1,"b":null}"#).await;
    assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, Some("\"8\"")));
    assert_eq!(answer.json(), json!({"a": 1, "b": null}));
    assert!(harness.fake.seen()[0].contains("if_generation: None"));
}

#[tokio::test]
async fn an_update_may_name_the_revision_that_it_changes() {
    for (query, tag, expected) in [
        ("?if_generation=3", None, "if_generation: Some(3)"),
        ("", Some("\"4\""), "if_generation: Some(4)"),
        ("?if_generation=3", Some("\"4\""), "if_generation: Some(3)"),
        ("", Some("*"), "if_generation: None"),
    ] {
        let harness = Harness::new();
        let mut request = admin("PATCH", &path(&format!("/configuration{query}")));
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        assert_eq!(harness.send(json_body(request, "{}")).await.status, StatusCode::OK);
        assert!(harness.fake.seen()[0].contains(expected), "{query} {tag:?}");
    }
}

#[tokio::test]
async fn a_revision_that_is_none_is_wrong() {
    let harness = Harness::new();
    for query in ["?if_generation=x", "?if_generation=-1", "?if_generation=", "?if_generation=1&if_generation=2"] {
        let answer = harness.json("PATCH", &path(&format!("/configuration{query}")), "{}").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json()["metadata"]["violations"][0]["field"], "if_generation");
    }
    for tag in ["3", "W/\"3\"", "\"x\"", ""] {
        let request = admin("PATCH", &path("/configuration")).header("if-match", tag);
        let request = request.header("content-type", "application/json").body(Body::from("{}")).unwrap();
        assert_eq!(harness.send(request).await.status, StatusCode::BAD_REQUEST, "{tag}");
    }
}
