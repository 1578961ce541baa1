//! The OpenAPI 3.1 document. Paths and schemas come from the handlers and the views; what follows from where a route stands
//! (its credential, its errors) is added here.

use serde_json::{Value, json};
use utoipa::{
    OpenApi,
    openapi::{
        Content, Header, HttpMethod, Object, OpenApi as Document, Ref, RefOr, Required, Response,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, SchemaType, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    access::COOKIE_NAMES,
    body::JSON,
    error::{self, PROBLEM_JSON},
    request::PLUGIN_ID,
};

/// What no handler says. The tags are in the order in which a newcomer needs them.
#[derive(OpenApi)]
#[openapi(
    info(title = "plugd", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/")),
    tags(
        (name = "Plugins", description = "Install, list and remove plugins."),
        (name = "Lifecycle", description = "Start, stop and restart the plugins that plugd runs."),
        (name = "Streams", description = "What happens to plugins and what they print, as server-sent events."),
        (name = "Configuration", description = "Settings of a plugin, which its manifest declares."),
        (name = "Packages", description = "The archives that supervised plugins come from."),
        (name = "External plugins", description = "Plugins that somebody else runs."),
        (name = "Server", description = "This server, and this document."),
    ),
    components(schemas(error::Error)),
)]
struct Frame;

/// The document without any operation.
pub(super) fn frame() -> Document {
    let mut document = Frame::openapi();
    let components = document.components.get_or_insert_default();
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE_NAMES[0])));
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme("cookie", cookie);
    document
}

/// Says of every operation that it needs a credential, and what follows from that.
pub(super) fn require_credential(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let schemes = ["bearer", "cookie"].map(|name| SecurityRequirement::new(name, [""; 0]));
            operation.security = Some(schemes.into());
            add_errors(operation, &[401, 403, 429, 500, 501, 503, 504]);
            if path.contains(PLUGIN_ID) {
                operation.parameters.get_or_insert_default().insert(0, RefOr::T(plugin_id()));
                add_errors(operation, if method == HttpMethod::Get { &[404] } else { &[404, 409] });
            }
        }
    }
}

/// Says of every operation that it needs no credential.
pub(super) fn require_nothing(document: &mut Document) {
    let operations = document.paths.paths.values_mut().flat_map(operations);
    operations.for_each(|(_, operation)| operation.security = Some(Vec::new()));
}

/// The document as JSON, with what all answers of a status have in common.
pub(super) fn to_json(mut document: Document) -> Value {
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations) {
        if operation.request_body.is_some() {
            add_errors(operation, &[400, 408, 413, 415]);
        }
        operation.responses.responses.iter_mut().for_each(|(status, response)| complete(status, response));
    }
    let mut document = serde_json::to_value(document).unwrap_or_default();
    name_variants(&mut document["components"]["schemas"]);
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn plugin_id() -> Parameter {
    ParameterBuilder::new()
        .name(PLUGIN_ID)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The installation's id. Only its first 20 characters count."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
        .build()
}

fn add_errors(operation: &mut Operation, statuses: &[u16]) {
    for status in statuses {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| Response::new("").into());
    }
}

/// Adds what the status means, and to an error its body.
fn complete(status: &str, response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    let status = status.parse().unwrap_or_default();
    if response.description.is_empty() {
        response.description = error::meaning(status).to_owned();
    }
    if status >= 400 {
        let error = Content::new(Some(Ref::from_schema_name("Error")));
        response.content =
            [JSON, PROBLEM_JSON].map(|media| (media.to_owned(), RefOr::T(error.clone()))).into_iter().collect();
    }
    let header = match status {
        401 => "WWW-Authenticate",
        429 | 503 => "Retry-After",
        _ => return,
    };
    let text = Object::with_type(SchemaType::Type(Type::String));
    response.headers.insert(header.to_owned(), RefOr::T(Header::new(text)));
}

/// Says in each variant of a schema which value of the discriminator is its own.
fn name_variants(schemas: &mut Value) {
    let unions = schemas.as_object().into_iter().flatten().map(|(_, schema)| schema["discriminator"].clone());
    for discriminator in unions.collect::<Vec<_>>() {
        let Some(property) = discriminator["propertyName"].as_str() else { continue };
        for (value, reference) in discriminator["mapping"].as_object().into_iter().flatten() {
            let name = reference.as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
            schemas[name]["properties"][property] = json!({"const": value});
        }
    }
}
