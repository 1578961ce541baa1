//! `plugd register`, `update-manifest` and `rotate-token`: plugins that somebody else runs.

use std::path::PathBuf;

use clap::Args;
use prost_types::Struct;

use super::{
    Context,
    client::{self, Api, One, QUICK, present, with_manifest_id, within},
    failure::{Exit, Failure},
    install::installed_already,
    package::{Manifest, remarks},
    show,
    ui::{Ui, quoted},
};
use crate::api::v1::{Plugin, PluginMode, RegisterExternalPluginRequest, RotateTokenRequest, UpdateManifestRequest};

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
        let plugin = self.plugin.get(&context.api).await?;
        check_external(&plugin, "its manifest comes with its package: `plugd update` replaces that")?;
        show::tell(&context.ui, &update_manifest(&context.api, &plugin.id, manifest.to_struct()?).await?)
    }
}

pub(super) async fn rotate(context: &Context, plugin: &One) -> Result<(), Failure> {
    let plugin = plugin.get(&context.api).await?;
    check_external(&plugin, "plugd gives it a new token each time that it starts it")?;
    tell_connection(context, &rotate_token(&context.api, &plugin.id).await?)
}

/// Only a plugin that somebody else runs has this.
fn check_external(plugin: &Plugin, hint: &str) -> Result<(), Failure> {
    if plugin.mode() == PluginMode::External {
        return Ok(());
    }
    Err(Failure::new(format!("{} is no external plugin: plugd runs it", plugin.id)).hint(hint).exit(Exit::Refused))
}

fn tell_connection(context: &Context, plugin: &Plugin) -> Result<(), Failure> {
    let url = rpc_url(context.api.server(), plugin.token());
    if context.ui.is_json() {
        let mut shown = show::plugin_json(plugin);
        shown["rpc_url"] = url.into();
        return Ok(context.ui.json(&shown)?);
    }
    // Beside the lines that a shell evaluates.
    let state = show::state_word(show::state_of(plugin));
    context.ui.note(&format!("{} {} is {state}", plugin.id, plugin.name));
    context.ui.line(&format!("STORYDEN_RPC_URL='{url}'"))?;
    Ok(context.ui.line(&format!("PLUGD_RPC_URL='{url}'"))?)
}

/// The same failure, with what to do about it if it is that an external plugin is not there. A caller who may not read the
/// plugin keeps the failure as it is.
pub(super) async fn explain(api: &Api, plugin_id: &str, failure: Failure) -> Failure {
    if !failure.has_reason("PLUGIN_NOT_CONNECTED") {
        return failure;
    }
    match client::plugin(api, plugin_id).await {
        Ok(plugin) if plugin.mode() == PluginMode::External => {
            let show = format!("`plugd get {plugin_id} -o json` shows its token, `plugd rotate-token` makes a new one");
            failure.hint(format!("it is an external plugin: it has to dial in by itself; {show}"))
        }
        _ => failure,
    }
}

pub(super) async fn register(api: &Api, manifest: Struct) -> Result<Plugin, Failure> {
    let request = RegisterExternalPluginRequest { manifest: Some(manifest), request_id: None };
    let send = within(QUICK, request, async |request| api.plugins().register_external_plugin(request).await);
    Ok(present(send.await?.plugin)?)
}

pub(super) async fn update_manifest(api: &Api, id: &str, manifest: Struct) -> Result<Plugin, Failure> {
    let request = UpdateManifestRequest { plugin_id: id.to_owned(), manifest: Some(manifest), if_generation: None };
    let send = within(QUICK, request, async |request| api.plugins().update_manifest(request).await);
    Ok(present(send.await?.plugin)?)
}

pub(super) async fn rotate_token(api: &Api, id: &str) -> Result<Plugin, Failure> {
    let request = RotateTokenRequest { plugin_id: id.to_owned(), if_generation: None };
    let send = within(QUICK, request, async |request| api.plugins().rotate_token(request).await);
    Ok(present(send.await?.plugin)?)
}

/// Reads the manifest of an external plugin, and says what its author may not have meant.
fn read_manifest(path: &std::path::Path, ui: &Ui) -> Result<Manifest, Failure> {
    let manifest = Manifest::read(path)?;
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
mod tests;
