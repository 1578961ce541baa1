//! The configuration of a plugin (CONTRACT 3.11 to 3.13).

use axum::{
    http::{
        HeaderMap, HeaderValue,
        header::{ETAG, IF_MATCH},
    },
    response::Response,
};
use prost_types::Struct;
use utoipa_axum::routes;

use super::{
    Routes,
    body::{self, JsonObject},
    error::Problem,
    request::{self, Api, PluginId, Query},
    schemas::PluginConfiguration,
    views::{self, PluginConfigurationField, PluginConfigurationSchema},
};
use crate::api::v1::{GetConfigurationRequest, GetConfigurationSchemaRequest, UpdateConfigurationRequest};

/// Query parameter with the revision that must be stored now.
const IF_REVISION: &str = "if_revision";

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
    let request = api.request(GetConfigurationSchemaRequest { plugin_id });
    let schema = api.app.backend.unary().get_configuration_schema(request).await?.into_inner();
    let fields = schema.fields.iter().map(PluginConfigurationField::from).collect();
    Ok(request::json(&PluginConfigurationSchema { fields }))
}

/// Returns the stored configuration; its ETag is the revision.
#[utoipa::path(
    get,
    path = "/api/plugins/{plugin_instance_id}/configuration",
    operation_id = "PluginGetConfiguration",
    tag = "Configuration",
    responses((status = 200, body = PluginConfiguration, headers(("ETag")))),
)]
async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(GetConfigurationRequest { plugin_id });
    let stored = api.app.backend.unary().get_configuration(request).await?.into_inner();
    Ok(tagged(stored.configuration.as_ref(), stored.configuration_revision))
}

/// Replaces the whole configuration of an active plugin, which must accept it.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/configuration",
    operation_id = "PluginUpdateConfiguration",
    tag = "Configuration",
    params(
        ("If-Match" = Option<String>, Header, nullable = false, pattern = "^(\\*|\"[0-9]{1,19}\")$", description = "The ETag that the stored configuration must have."),
        ("if_revision" = Option<u64>, Query, description = "The revision that the stored configuration must have, else 409."),
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
    let if_revision = expected_revision(&query, &headers)?;
    let configuration = Some(body::to_struct(configuration).await?);
    let request = UpdateConfigurationRequest { plugin_id, configuration, if_revision };
    let stored = api.app.backend.unary().update_configuration(api.request(request)).await?.into_inner();
    Ok(tagged(stored.configuration.as_ref(), stored.configuration_revision))
}

fn tagged(configuration: Option<&Struct>, revision: u64) -> Response {
    let mut response = request::json(&views::object(configuration));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The revision in the query, else in `If-Match`, where `*` stands for any.
fn expected_revision(query: &Query, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    if let Some(revision) = query.number(IF_REVISION)? {
        return Ok(Some(revision));
    }
    let Some(tag) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = tag.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    let invalid = || Problem::invalid("If-Match", "must be the ETag of the configuration, for example \"3\"");
    revision.map(Some).ok_or_else(invalid)
}
