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
use crate::api::v1::{GetPluginRequest, PluginView, RotateTokenRequest, UpdateManifestRequest};

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
    let plugin = api.call(RotateTokenRequest { plugin_id, if_generation: None }).await?.plugin;
    let token = plugin.and_then(|plugin| plugin.token).ok_or_else(Problem::internal)?;
    Ok(request::json(&PluginToken { token }))
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
    let manifest = Some(body::to_struct(manifest).await?);
    api.call(UpdateManifestRequest { plugin_id: plugin_id.clone(), manifest, if_generation: None }).await?;
    // Only a read shows the token (CONTRACT 2).
    request::plugin(api.call(GetPluginRequest { plugin_id, view: PluginView::Full.into() }).await?.plugin)
}
