//! `plugd register`, `update-manifest` and `rotate-token`: plugins that somebody else runs.

use std::path::{Path, PathBuf};

use clap::Args;
use prost_types::Struct;

use super::{
    Context,
    client::{Api, One, QUICK, present, with_manifest_id},
    failure::Failure,
    install::installed_already,
    package::{ManifestFile, remarks},
    show,
    ui::{Ui, quoted},
};
use crate::api::v1::{Plugin, RegisterExternalPluginRequest, RotateTokenRequest, UpdateManifestRequest};

/// Register a plugin that somebody else runs
///
/// Prints the URL that it dials, as a line for its environment. A manifest id that is registered already is refused,
/// unless --again says that one more plugin is meant.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd register external.yaml")]
pub(super) struct Register {
    /// Its manifest, JSON or YAML
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Register it even if its manifest id is there already, as one more plugin
    #[arg(long)]
    again: bool,
}

/// Replace the manifest of an external plugin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd update-manifest my-plugin external.yaml")]
pub(super) struct UpdateManifest {
    #[command(flatten)]
    plugin: One,
    /// Its new manifest, JSON or YAML
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
}

impl Register {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let manifest = read_manifest(&self.manifest, &context.ui)?;
        let id = manifest.id().filter(|_| !self.again).unwrap_or_default();
        if let Some(other) = with_manifest_id(&context.api, id).await?.first() {
            return Err(installed_already(other, "DIR", &quoted(&self.manifest)));
        }
        tell_connection(context, &register(&context.api, manifest.to_struct()?).await?)
    }
}

impl UpdateManifest {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let manifest = read_manifest(&self.manifest, &context.ui)?;
        let id = self.plugin.id(&context.api).await?;
        show::tell(&context.ui, &update_manifest(&context.api, &id, manifest.to_struct()?).await?)
    }
}

pub(super) async fn rotate(context: &Context, plugin: &One) -> Result<(), Failure> {
    let plugin_id = plugin.id(&context.api).await?;
    let answer = context.api.call(QUICK, RotateTokenRequest { plugin_id, if_generation: None }).await?;
    tell_connection(context, &present(answer.plugin)?)
}

fn tell_connection(context: &Context, plugin: &Plugin) -> Result<(), Failure> {
    let url = rpc_url(context.api.server(), plugin.token());
    if context.ui.is_json() {
        let mut shown = show::plugin_json(plugin);
        shown["rpc_url"] = url.into();
        return Ok(context.ui.json(&shown)?);
    }
    // This is no line that a shell evaluates.
    let state = show::state_word(show::state_of(plugin));
    context.ui.note(&format!("{} {} is {state}", plugin.id, plugin.name));
    context.ui.line(&format!("STORYDEN_RPC_URL='{url}'"))?;
    Ok(context.ui.line(&format!("PLUGD_RPC_URL='{url}'"))?)
}

pub(super) async fn register(api: &Api, manifest: Struct) -> Result<Plugin, Failure> {
    let request = RegisterExternalPluginRequest { manifest: Some(manifest), request_id: None };
    Ok(present(api.call(QUICK, request).await?.plugin)?)
}

pub(super) async fn update_manifest(api: &Api, id: &str, manifest: Struct) -> Result<Plugin, Failure> {
    let request = UpdateManifestRequest { plugin_id: id.to_owned(), manifest: Some(manifest), if_generation: None };
    Ok(present(api.call(QUICK, request).await?.plugin)?)
}

/// Reads the manifest of an external plugin, and says what its author may not have meant.
fn read_manifest(path: &Path, ui: &Ui) -> Result<ManifestFile, Failure> {
    let manifest = ManifestFile::read(path)?;
    remarks(&manifest.object, false).iter().for_each(|remark| ui.warn(remark));
    Ok(manifest)
}

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
