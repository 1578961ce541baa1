//! `plugd register`, `update-manifest` and `cycle-token`: plugins that somebody else runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use prost_types::Struct;

use super::{
    Context,
    client::{Api, QUICK, present, within},
    failure::Failure,
    get::tell,
    messages::parse_object,
    resolve::plugin_id,
    shape,
};
use crate::api::v1::{CycleTokenRequest, Plugin, RegisterExternalPluginRequest, UpdateManifestRequest};

/// Register a plugin that somebody else runs
#[derive(Debug, Args)]
pub(super) struct Register {
    /// Its manifest
    #[arg(value_name = "MANIFEST.json")]
    manifest: PathBuf,
}

/// Replace the manifest of an external plugin
#[derive(Debug, Args)]
pub(super) struct UpdateManifest {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
    /// Its new manifest
    #[arg(value_name = "MANIFEST.json")]
    manifest: PathBuf,
}

/// Give an external plugin a new token
#[derive(Debug, Args)]
pub(super) struct CycleToken {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
}

impl Register {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let plugin = register(&context.api, read_manifest(&self.manifest)?).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&shape::plugin(&plugin))?);
        }
        tell(&context.ui, &plugin)?;
        let url = rpc_url(context.api.server(), &plugin.token);
        context.ui.line(&format!("STORYDEN_RPC_URL='{url}'"))?;
        Ok(context.ui.line(&format!("PLUGD_RPC_URL='{url}'"))?)
    }
}

impl UpdateManifest {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = plugin_id(&context.api, &self.plugin).await?;
        tell(&context.ui, &update_manifest(&context.api, &id, read_manifest(&self.manifest)?).await?)
    }
}

impl CycleToken {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let token = cycle_token(&context.api, &plugin_id(&context.api, &self.plugin).await?).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&serde_json::json!({"token": token}))?);
        }
        Ok(context.ui.line(&token)?)
    }
}

/// Registers an external plugin.
///
/// # Errors
/// It is refused.
pub(super) async fn register(api: &Api, manifest: Struct) -> Result<Plugin, Failure> {
    let request = RegisterExternalPluginRequest { manifest: Some(manifest) };
    let send = within(QUICK, request, async |request| api.plugins().register_external_plugin(request).await);
    present(send.await?.plugin)
}

/// Replaces the manifest of an external plugin.
///
/// # Errors
/// It is refused.
pub(super) async fn update_manifest(api: &Api, id: &str, manifest: Struct) -> Result<Plugin, Failure> {
    let request = UpdateManifestRequest { plugin_id: id.to_owned(), manifest: Some(manifest) };
    let send = within(QUICK, request, async |request| api.plugins().update_manifest(request).await);
    present(send.await?.plugin)
}

/// Gives an external plugin a new token.
///
/// # Errors
/// It is refused.
pub(super) async fn cycle_token(api: &Api, id: &str) -> Result<String, Failure> {
    let request = CycleTokenRequest { plugin_id: id.to_owned() };
    Ok(within(QUICK, request, async |request| api.plugins().cycle_token(request).await).await?.token)
}

/// Reads a manifest.
///
/// # Errors
/// It can't be read, or is not a JSON object.
pub(super) fn read_manifest(path: &Path) -> Result<Struct, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::from(error).about(format_args!("can't read {}", path.display())))?;
    parse_object(&text, &path.display().to_string())
}

/// Where an external plugin dials in.
#[must_use]
pub(super) fn rpc_url(server: &str, token: &str) -> String {
    let address = match server.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => format!("ws://{server}"),
    };
    format!("{}/rpc?token={token}", address.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_plugin_dials_the_server_that_was_talked_to() {
        assert_eq!(rpc_url("http://127.0.0.1:8000", "sdprt_x"), "ws://127.0.0.1:8000/rpc?token=sdprt_x");
        assert_eq!(rpc_url("https://plugd.example/", "t"), "wss://plugd.example/rpc?token=t");
    }
}
