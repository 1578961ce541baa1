//! What only external plugins have: a token, and a manifest of their own (CONTRACT 3.7, 3.8).

use axum::response::Response;
use utoipa_axum::routes;

use super::{
    Routes,
    body::{self, JsonObject},
    error::Problem,
    request::{self, Api, PluginId},
    schemas::PluginManifest,
    views::{Plugin, PluginToken},
};
use crate::api::v1::{CycleTokenRequest, UpdateManifestRequest};

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(rotate_token), routes!(update_manifest)]
}

/// Gives an external plugin a new token and drops the connection made with the old one.
#[utoipa::path(
    post,
    path = "/api/plugins/{plugin_instance_id}/token",
    operation_id = "PluginCycleToken",
    tag = "External plugins",
    responses((status = 200, body = PluginToken), (status = 400)),
)]
async fn rotate_token(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(CycleTokenRequest { plugin_id });
    let cycled = api.app.backend.unary().cycle_token(request).await?.into_inner();
    Ok(request::json(&PluginToken { token: cycled.token }))
}

/// Replaces the manifest of an external plugin, which has to connect again.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/manifest",
    operation_id = "PluginUpdateManifest",
    tag = "External plugins",
    request_body = PluginManifest,
    responses((status = 200, body = Plugin)),
)]
async fn update_manifest(
    api: Api,
    PluginId(plugin_id): PluginId,
    JsonObject(manifest): JsonObject,
) -> Result<Response, Problem> {
    let request = UpdateManifestRequest { plugin_id, manifest: Some(body::to_struct(manifest).await?) };
    let updated = api.app.backend.unary().update_manifest(api.request(request)).await?;
    request::plugin(updated.into_inner().plugin)
}
