//! The configuration of a plugin (CONTRACT 3.11 to 3.13).

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ETAG, IF_MATCH},
    },
    response::Response,
};
use prost_types::Struct;
use serde_json::{Value, json};

use super::{
    answer,
    api::Api,
    body::{self, JSON, JsonObject},
    error::Problem,
    operation::{Operation, Success},
    path::PluginId,
    query::Query,
    schemas, view,
};
use crate::api::v1::{GetConfigurationRequest, GetConfigurationSchemaRequest, UpdateConfigurationRequest};

/// Query parameter with the revision that must be stored now.
const IF_REVISION: &str = "if_revision";

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    let stored = || Success { status: 200, content: Some((JSON, "PluginConfiguration")), headers: &["ETag"] };
    let schema_path = "/api/plugins/{plugin_instance_id}/configuration-schema";
    let path = "/api/plugins/{plugin_instance_id}/configuration";
    vec![
        Operation::get(schema_path, "PluginGetConfigurationSchema", schema)
            .summary("Returns the fields that a manifest declares.")
            .answers(200, "PluginConfigurationSchema"),
        Operation::get(path, "PluginGetConfiguration", get)
            .summary("Returns the stored configuration; its ETag is the revision.")
            .answers_with(stored()),
        Operation::patch(path, "PluginUpdateConfiguration", update)
            .summary("Replaces the whole configuration of an active plugin, which must accept it.")
            .slow()
            .parameter(schemas::if_match())
            .parameter(schemas::if_revision(IF_REVISION))
            .takes(JSON, "PluginConfiguration")
            .answers_with(stored()),
    ]
}

async fn schema(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(GetConfigurationSchemaRequest { plugin_id });
    let schema = api.unary().get_configuration_schema(request).await?.into_inner();
    let fields: Vec<Value> = schema.fields.iter().map(view::field).collect();
    Ok(answer::json(StatusCode::OK, &json!({"fields": fields})))
}

async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(GetConfigurationRequest { plugin_id });
    let stored = api.unary().get_configuration(request).await?.into_inner();
    Ok(tagged(stored.configuration.as_ref(), stored.configuration_revision))
}

async fn update(
    api: Api,
    PluginId(plugin_id): PluginId,
    (query, headers): (Query, HeaderMap),
    JsonObject(configuration): JsonObject,
) -> Result<Response, Problem> {
    let if_revision = expected_revision(&query, &headers)?;
    let configuration = Some(body::to_struct(configuration).await?);
    let request = UpdateConfigurationRequest { plugin_id, configuration, if_revision };
    let stored = api.unary().update_configuration(api.request(request)).await?.into_inner();
    Ok(tagged(stored.configuration.as_ref(), stored.configuration_revision))
}

fn tagged(configuration: Option<&Struct>, revision: u64) -> Response {
    let mut response = answer::json(StatusCode::OK, &view::object(configuration));
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
