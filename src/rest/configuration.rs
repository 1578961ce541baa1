//! The configuration of a plugin (CONTRACT 3.11 to 3.13).

use axum::{
    http::{
        HeaderMap, HeaderValue,
        header::{ETAG, IF_MATCH},
    },
    response::Response,
};
use prost_types::Struct;
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        Object,
        schema::{SchemaType, Type},
    },
};
use utoipa_axum::routes;

use super::{
    Routes,
    body::{self, JsonObject},
    error::Problem,
    request::{self, Api, PluginId, Query},
    schemas::PluginConfiguration,
    views,
};
use crate::api::{
    json,
    v1::{
        self, GetConfigurationRequest, GetConfigurationSchemaRequest, UpdateConfigurationRequest,
        configuration_field::Type as FieldType,
    },
};

/// Query parameter with the generation that must be desired now.
const IF_GENERATION: &str = "if_generation";

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(schema), routes!(get, update)]
}

/// Returns the fields that a manifest declares.
#[utoipa::path(
    get,
    path = "/api/plugins/{plugin_instance_id}/configuration-schema",
    operation_id = "PluginGetConfigurationSchema",
    tag = "Configuration",
    responses((status = 200, body = PluginConfigurationSchema)),
)]
async fn schema(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let schema = api.call(GetConfigurationSchemaRequest { plugin_id }).await?;
    let fields = schema.fields.iter().map(PluginConfigurationField::from).collect();
    Ok(request::json(&PluginConfigurationSchema { fields }))
}

/// Returns the stored configuration; its ETag is the generation of what is desired.
#[utoipa::path(
    get,
    path = "/api/plugins/{plugin_instance_id}/configuration",
    operation_id = "PluginGetConfiguration",
    tag = "Configuration",
    responses((status = 200, body = PluginConfiguration, headers(("ETag")))),
)]
async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let stored = api.call(GetConfigurationRequest { plugin_id }).await?;
    Ok(tagged(stored.configuration.as_ref(), stored.generation))
}

/// Replaces the whole configuration of an active plugin, which must accept it.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/configuration",
    operation_id = "PluginUpdateConfiguration",
    tag = "Configuration",
    params(
        ("If-Match" = Option<String>, Header, nullable = false, pattern = "^(\\*|\"[0-9]{1,19}\")$", description = "The ETag of the configuration that the caller has seen, else 409."),
        ("if_generation" = Option<u64>, Query, description = "The generation that must be desired of the plugin now, else 409."),
    ),
    request_body = PluginConfiguration,
    responses((status = 200, body = PluginConfiguration, headers(("ETag")))),
)]
async fn update(
    api: Api,
    PluginId(plugin_id): PluginId,
    (query, headers): (Query, HeaderMap),
    JsonObject(configuration): JsonObject,
) -> Result<Response, Problem> {
    let if_generation = expected_generation(&query, &headers)?;
    let configuration = Some(body::to_struct(configuration).await?);
    let stored = api.call(UpdateConfigurationRequest { plugin_id, configuration, if_generation }).await?;
    let generation = stored.plugin.map(|plugin| plugin.generation).unwrap_or_default();
    Ok(tagged(stored.configuration.as_ref(), generation))
}

fn tagged(configuration: Option<&Struct>, generation: u64) -> Response {
    let mut response = request::json(&views::object(configuration));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{generation}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The generation in the query, else in `If-Match`, where `*` stands for any.
fn expected_generation(query: &Query, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    if let Some(generation) = query.number(IF_GENERATION)? {
        return Ok(Some(generation));
    }
    let Some(tag) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = tag.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let generation = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    let invalid = || Problem::invalid("If-Match", "must be the ETag of the configuration, for example \"3\"");
    generation.map(Some).ok_or_else(invalid)
}

/// The fields that a manifest declares.
#[derive(Serialize, ToSchema)]
struct PluginConfigurationSchema {
    fields: Vec<PluginConfigurationField>,
}

/// A field that a form asks for.
#[derive(Serialize, ToSchema)]
struct PluginConfigurationField {
    r#type: PluginConfigurationFieldType,
    id: String,
    label: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = scalar, required = false)]
    default: Option<Value>,
}

/// What a field's value is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PluginConfigurationFieldType {
    String,
    Number,
    Boolean,
}

fn scalar() -> Object {
    Object::with_type(SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]))
}

impl From<&v1::ConfigurationField> for PluginConfigurationField {
    fn from(field: &v1::ConfigurationField) -> Self {
        let kind = match field.r#type() {
            FieldType::Number => PluginConfigurationFieldType::Number,
            FieldType::Boolean => PluginConfigurationFieldType::Boolean,
            FieldType::String | FieldType::Unspecified => PluginConfigurationFieldType::String,
        };
        Self {
            r#type: kind,
            id: field.id.clone(),
            label: field.label.clone(),
            description: field.description.clone(),
            default: field.default.as_ref().map(json::from_value),
        }
    }
}
