//! The OpenAPI 3.1 document, made from the table of operations.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Options,
    body::JSON,
    caller::COOKIE_NAME,
    context::PROBLEM_JSON,
    guard::Access,
    operation::{Operation, Success},
    schemas,
};

/// The whole document.
pub(super) fn document(operations: &[Operation], options: &Options) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "plugd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": options.public_url.as_deref().unwrap_or("/")}],
        "paths": paths(operations),
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE_NAME},
            },
        },
    })
}

fn paths(operations: &[Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = describe(operation);
    }
    Value::Object(paths)
}

fn describe(operation: &Operation) -> Value {
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(operation)],
        "security": security(operation.access),
        "responses": responses(operation),
    });
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        entry["parameters"] = Value::Array(parameters);
    }
    if !operation.bodies.is_empty() {
        entry["requestBody"] = json!({"required": true, "content": content(&operation.bodies)});
    }
    entry
}

fn tag(operation: &Operation) -> &'static str {
    if operation.access.is_public() { "system" } else { "plugins" }
}

fn security(access: Access) -> Value {
    if access.is_public() { json!([]) } else { json!([{"bearer": []}, {"cookie": []}]) }
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let id = operation.has_plugin_id().then(schemas::plugin_id);
    id.into_iter().chain(operation.parameters.iter().cloned()).collect()
}

/// Media types stand without their parameters.
fn content(bodies: &[(&str, &str)]) -> Value {
    let bodies = bodies.iter().map(|(media, schema)| {
        let essence = media.split(';').next().unwrap_or_default();
        (essence.to_owned(), json!({"schema": schemas::named(schema)}))
    });
    Value::Object(bodies.collect())
}

fn responses(operation: &Operation) -> Value {
    let successes = operation.successes.iter().map(|success| (success.status.to_string(), describe_success(success)));
    let errors = operation.errors().into_iter().map(|status| (status.to_string(), describe_error(status)));
    Value::Object(successes.chain(errors).collect())
}

fn describe_success(success: &Success) -> Value {
    let mut response = json!({"description": phrase(success.status)});
    if let Some(body) = success.content {
        response["content"] = content(&[body]);
    }
    for header in success.headers {
        response["headers"][*header] = json!({"schema": {"type": "string"}});
    }
    response
}

fn describe_error(status: u16) -> Value {
    let mut response = json!({
        "description": phrase(status),
        "content": content(&[(JSON, "Error"), (PROBLEM_JSON, "Error")]),
    });
    let header = match status {
        401 => Some("WWW-Authenticate"),
        503 => Some("Retry-After"),
        _ => None,
    };
    if let Some(header) = header {
        response["headers"][header] = json!({"schema": {"type": "string"}});
    }
    response
}

fn phrase(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Other")
}
