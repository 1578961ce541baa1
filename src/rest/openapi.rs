//! The OpenAPI 3.1 document, made from the table of operations.

use serde_json::{Map, Value, json};

use super::{
    body::JSON,
    caller::COOKIE_NAME,
    context::PROBLEM_JSON,
    guard::Access,
    operation::{Group, Operation, Success},
    schemas,
};

/// The whole document.
pub(super) fn document(groups: &[Group]) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "plugd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": groups.iter().map(|group| json!({"name": group.name, "description": group.description})).collect::<Vec<_>>(),
        "paths": paths(groups),
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE_NAME},
            },
        },
    })
}

fn paths(groups: &[Group]) -> Value {
    let mut paths = Map::new();
    let flat = groups.iter().flat_map(|group| group.operations.iter().map(|operation| (group.name, operation)));
    for (tag, operation) in flat {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = describe(tag, operation);
    }
    Value::Object(paths)
}

fn describe(tag: &str, operation: &Operation) -> Value {
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag],
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
    match status {
        200 => "It is done.",
        202 => "It is stored, and not waited for.",
        204 => "It is done; there is no body.",
        400 => "The request is wrong, or the plugin's mode or state does not allow it.",
        401 => "There is no valid credential.",
        403 => "The credential is not good for this, or a cookie came from another site.",
        404 => "There is no such thing.",
        408 => "The body stopped coming.",
        409 => "A later call, or another change, came first.",
        410 => "The cursor is of another store, or no longer kept.",
        413 => "The body is too large.",
        415 => "The body has the wrong media type.",
        429 => "There are too many requests.",
        500 => "plugd has a defect; its log says more.",
        501 => "This plugd does not have this operation.",
        502 => "The plugin failed; its logs say more.",
        503 => "Not now: try again in a moment.",
        504 => "The time is up; what was begun goes on.",
        _ => "Other.",
    }
}
