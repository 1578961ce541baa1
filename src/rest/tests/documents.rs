//! What this server says of itself.

use std::collections::BTreeSet;

use axum::{body::Body, http::StatusCode};
use serde_json::{Value, json};
use tonic_health::ServingStatus;

use super::{Harness, anonymous};
use crate::api::v1::plugin_service_server::SERVICE_NAME;

async fn document() -> Value {
    Harness::new().get("/api/openapi.json").await.json()
}

/// Every operation with its path and method.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let flat = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.clone(), method.to_ascii_uppercase(), operation.clone()))
    });
    flat.collect()
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_operation_of_the_contract_is_there() {
    let document = document().await;
    let found: BTreeSet<_> =
        operations(&document).into_iter().map(|(path, method, _)| format!("{method} {path}")).collect();
    let one = "/api/plugins/{plugin_instance_id}";
    let rest = ["GET /active", "GET /x"];
    assert!(rest.iter().all(|missing| !found.contains(*missing)));
    for (method, path) in [
        ("GET", "/api/plugins".to_owned()),
        ("POST", "/api/plugins".to_owned()),
        ("GET", one.to_owned()),
        ("DELETE", one.to_owned()),
        ("PATCH", format!("{one}/active")),
        ("GET", format!("{one}/logs")),
        ("POST", format!("{one}/token")),
        ("PATCH", format!("{one}/manifest")),
        ("GET", format!("{one}/package")),
        ("PATCH", format!("{one}/package")),
        ("GET", format!("{one}/configuration-schema")),
        ("GET", format!("{one}/configuration")),
        ("PATCH", format!("{one}/configuration")),
        ("POST", format!("{one}/restart")),
        ("POST", format!("{one}/rollback")),
        ("GET", "/api/plugins/watch".to_owned()),
        ("GET", "/healthz".to_owned()),
        ("GET", "/readyz".to_owned()),
        ("GET", "/api/info".to_owned()),
        ("GET", "/api/openapi.json".to_owned()),
        ("GET", "/api/docs".to_owned()),
    ] {
        assert!(found.contains(&format!("{method} {path}")), "{method} {path}");
    }
    assert_eq!(found.len(), 21);
}

#[tokio::test]
async fn what_the_document_names_the_router_has() {
    let harness = Harness::new();
    for (path, method, operation) in operations(&document().await) {
        let path = path.replace("{plugin_instance_id}", super::ID);
        let answer = harness.send(anonymous(&method, &path).body(Body::empty()).unwrap()).await;
        let is_public = operation["security"] == json!([]);
        let expected = if is_public { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document().await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let known: BTreeSet<_> = schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    assert_eq!(found, known);
}

/// The schemas without a name within this one, of a kind for which a generator has to make one up.
fn nameless<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
    let lists = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let values = schema["properties"].as_object().into_iter().flat_map(|properties| properties.values());
    let single = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key));
    for inner in lists.chain(values).chain(single) {
        let is_object = inner["type"] == "object" || inner["type"][0] == "object";
        let is_optional = inner["oneOf"].as_array().is_some_and(|variants| variants.contains(&json!({"type": "null"})));
        let is_kind = ["properties", "enum", "oneOf"].iter().any(|key| inner.get(*key).is_some()) && !is_optional;
        found.extend((is_object || is_kind).then_some(inner));
        nameless(inner, found);
    }
}

#[tokio::test]
async fn every_schema_that_becomes_a_type_has_a_name() {
    let document = document().await;
    let mut found = Vec::new();
    for schema in document["components"]["schemas"].as_object().unwrap().values() {
        nameless(schema, &mut found);
    }
    for (_, _, operation) in &operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let mut inner = Vec::new();
            nameless(&parameter["schema"], &mut inner);
            assert_eq!(inner, [] as [&Value; 0], "{parameter}");
        }
    }
    assert_eq!(found, [] as [&Value; 0]);
}

/// So that a client knows from one property which of the schemas it has before it.
#[tokio::test]
async fn one_of_several_schemas_is_told_by_a_property() {
    let document = document().await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let unions: Vec<_> = schemas.values().filter(|schema| schema.get("oneOf").is_some()).collect();
    assert_eq!(unions.len(), 5);
    for union in unions {
        let property = union["discriminator"]["propertyName"].as_str().unwrap();
        let mapping = union["discriminator"]["mapping"].as_object().unwrap();
        assert_eq!(mapping.len(), union["oneOf"].as_array().unwrap().len());
        for (value, reference) in mapping {
            let variant = &document.pointer(&reference.as_str().unwrap()[1..]).unwrap();
            assert_eq!(variant["properties"][property]["const"], *value);
            assert!(variant["required"].as_array().unwrap().contains(&json!(property)));
            assert!(union["oneOf"].as_array().unwrap().contains(&json!({"$ref": reference})));
        }
    }
}

#[tokio::test]
async fn statuses_that_an_operation_can_answer_are_documented() {
    let document = document().await;
    let statuses = |path: &str, method: &str| -> Vec<String> {
        document["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    let set = statuses("/api/plugins/{plugin_instance_id}/active", "patch");
    #[rustfmt::skip]
    let expected = ["200", "202", "400", "401", "403", "404", "408", "409", "413", "415", "429", "500", "501", "502", "503", "504"];
    assert_eq!(set, expected);
    assert!(statuses("/api/plugins/watch", "get").contains(&"410".to_owned()));
    assert_eq!(statuses("/api/plugins", "get"), ["200", "401", "403", "429", "500", "501", "503", "504"]);
    assert_eq!(statuses("/healthz", "get"), ["200"]);
}

#[tokio::test]
async fn names_of_operations_are_unique() {
    let operations = operations(&document().await);
    let names: BTreeSet<_> = operations.iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations.len());
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let answer = Harness::new().get("/api/docs").await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(answer.text.contains("/api/plugins/{plugin_instance_id}/active"));
    assert!(!answer.text.contains("<script") && !answer.text.contains("src="));
}

#[tokio::test]
async fn the_page_has_each_operation_once_in_a_group_and_with_a_command() {
    let document = document().await;
    let text = Harness::new().get("/api/docs").await.text;
    let operations = operations(&document);
    for (path, method, operation) in &operations {
        let id = operation["operationId"].as_str().unwrap();
        assert_eq!(text.matches(&format!("<details id=\"{id}\">")).count(), 1, "{id}");
        let verb = if method == "GET" { String::new() } else { format!(" -X {method}") };
        let path = path.replace("{plugin_instance_id}", "$ID");
        let is_shown = |flags: &str| text.contains(&format!("curl{verb}{flags} &quot;$PLUGD{path}&quot;"));
        assert!(["", " -N", " -OJ"].into_iter().any(is_shown), "{method} {path}");
        assert!(text.contains(&format!(
            "<h2 id=\"{}\"",
            operation["tags"][0].as_str().unwrap().to_lowercase().replace(' ', "-")
        )));
    }
    assert!(text.contains("-d '{&quot;active&quot;:&quot;active&quot;}'"), "bodies have examples");
    assert!(!text.contains("-d 'null'"), "each of them");
}

/// What stands between this and the next quotation mark, wherever it is in the text.
fn quoted_after<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}

#[tokio::test]
async fn links_within_the_page_lead_to_one_place() {
    let text = Harness::new().get("/api/docs").await.text;
    let mut places = BTreeSet::new();
    for id in quoted_after(&text, " id=\"") {
        assert!(places.insert(id), "{id} is there twice");
    }
    let links: BTreeSet<_> = quoted_after(&text, "href=\"#").collect();
    assert!(links.len() > 5 && links.is_subset(&places), "{:?}", links.difference(&places));
}

#[tokio::test]
async fn the_information_names_the_plugins_capability() {
    let harness = Harness::new();
    for status in [ServingStatus::Serving, ServingStatus::NotServing] {
        harness.health.set_service_status(SERVICE_NAME, status).await;
        let info = harness.send(anonymous("GET", "/api/info").body(Body::empty()).unwrap()).await.json();
        assert_eq!((&info["name"], &info["capabilities"]), (&json!("plugd"), &json!(["plugins"])));
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test]
async fn the_information_names_no_plugins_where_they_are_disabled() {
    let harness = Harness::new();
    // The health service does not know a service that is disabled.
    harness.health.clone().clear_service_status(SERVICE_NAME).await;
    let info = harness.get("/api/info").await.json();
    assert_eq!((&info["name"], &info["capabilities"]), (&json!("plugd"), &json!([])));
}

#[tokio::test]
async fn liveness_has_no_body() {
    let answer = Harness::new().send(anonymous("GET", "/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn readiness_follows_the_service() {
    for (status, expected) in
        [(ServingStatus::NotServing, StatusCode::SERVICE_UNAVAILABLE), (ServingStatus::Serving, StatusCode::OK)]
    {
        let harness = Harness::new();
        harness.health.set_service_status("", status).await;
        let answer = harness.send(anonymous("GET", "/readyz").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, expected);
    }
}
