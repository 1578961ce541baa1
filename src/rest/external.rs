//! What only external plugins have: a token, and a manifest of their own (CONTRACT 3.7, 3.8).

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::{
    answer,
    api::Api,
    body::{self, JSON, JsonObject},
    error::Problem,
    operation::Operation,
    path::PluginId,
};
use crate::api::v1::{CycleTokenRequest, UpdateManifestRequest};

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/api/plugins/{plugin_instance_id}/token", "PluginCycleToken", cycle_token)
            .summary("Gives an external plugin a new token and drops the connection made with the old one.")
            .fails(400)
            .answers(200, "PluginToken"),
        Operation::patch("/api/plugins/{plugin_instance_id}/manifest", "PluginUpdateManifest", update_manifest)
            .summary("Replaces the manifest of an external plugin, which has to connect again.")
            .takes(JSON, "PluginManifest")
            .answers(200, "Plugin"),
    ]
}

async fn cycle_token(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(CycleTokenRequest { plugin_id });
    let cycled = api.unary().cycle_token(request).await?.into_inner();
    Ok(answer::json(StatusCode::OK, &json!({"token": cycled.token})))
}

async fn update_manifest(
    api: Api,
    PluginId(plugin_id): PluginId,
    JsonObject(manifest): JsonObject,
) -> Result<Response, Problem> {
    let request = UpdateManifestRequest { plugin_id, manifest: Some(body::to_struct(manifest).await?) };
    let updated = api.unary().update_manifest(api.request(request)).await?;
    answer::plugin(updated.into_inner().plugin)
}
