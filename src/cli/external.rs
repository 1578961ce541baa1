//! `plugd register`, `update-manifest` and `rotate-token`: plugins that somebody else runs.

use std::path::PathBuf;

use clap::Args;
use prost_types::Struct;

use super::{
    Context,
    client::{Api, QUICK, present, within},
    failure::{Exit, Failure},
    list::tell,
    package::{Manifest, remarks},
    select::{self, One, with_manifest_id},
    ui::Ui,
    words,
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

/// Give an external plugin a new token
///
/// The old one stops working at once. Prints the new URL that the plugin dials, as a line for its environment.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd rotate-token my-plugin")]
pub(super) struct RotateToken {
    #[command(flatten)]
    plugin: One,
}

impl Register {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let manifest = read_manifest(&self.manifest, &context.ui)?;
        let there = match manifest.id() {
            Some(id) if !self.again => with_manifest_id(&context.api, id).await?,
            _ => Vec::new(),
        };
        if let Some(other) = there.first() {
            return Err(registered_already(other));
        }
        tell_connection(context, &register(&context.api, manifest.to_struct()?).await?)
    }
}

fn registered_already(other: &Plugin) -> Failure {
    let (id, mode) = (words::manifest_id(other).unwrap_or_default(), words::mode(other.mode()));
    let hint = match other.mode() {
        PluginMode::External => format!("`plugd update-manifest {} MANIFEST` replaces its manifest; ", other.id),
        _ => String::new(),
    };
    Failure::new(format!("the manifest id {id:?} is there already: {} is {mode}", other.id))
        .hint(format!("{hint}with --again this becomes one more plugin"))
        .exit(Exit::Conflict)
}

impl UpdateManifest {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let manifest = read_manifest(&self.manifest, &context.ui)?;
        let plugin = self.plugin.get(&context.api).await?;
        check_external(&plugin, "its manifest comes with its package: `plugd update` replaces that")?;
        tell(&context.ui, &update_manifest(&context.api, &plugin.id, manifest.to_struct()?).await?)
    }
}

impl RotateToken {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let plugin = self.plugin.get(&context.api).await?;
        check_external(&plugin, "plugd gives it a new token each time that it starts it")?;
        tell_connection(context, &rotate_token(&context.api, &plugin.id).await?)
    }
}

/// Only a plugin that somebody else runs has this.
fn check_external(plugin: &Plugin, hint: &str) -> Result<(), Failure> {
    if plugin.mode() == PluginMode::External {
        return Ok(());
    }
    Err(Failure::new(format!("{} is no external plugin: plugd runs it", plugin.id)).hint(hint).exit(Exit::Refused))
}

/// Prints a plugin and how it dials in.
fn tell_connection(context: &Context, plugin: &Plugin) -> Result<(), Failure> {
    let url = rpc_url(context.api.server(), plugin.token());
    if context.ui.is_json() {
        let mut shown = words::plugin(plugin);
        shown["rpc_url"] = url.into();
        return Ok(context.ui.json(&shown)?);
    }
    // Beside the lines that a shell evaluates.
    let state = words::state(words::state_of(plugin));
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
    match select::plugin(api, plugin_id).await {
        Ok(plugin) if plugin.mode() == PluginMode::External => {
            let show = format!("`plugd get {plugin_id} -o json` shows its token, `plugd rotate-token` makes a new one");
            failure.hint(format!("it is an external plugin: it has to dial in by itself; {show}"))
        }
        _ => failure,
    }
}

/// Registers an external plugin.
pub(super) async fn register(api: &Api, manifest: Struct) -> Result<Plugin, Failure> {
    let request = RegisterExternalPluginRequest { manifest: Some(manifest), request_id: None };
    let send = within(QUICK, request, async |request| api.plugins().register_external_plugin(request).await);
    Ok(present(send.await?.plugin)?)
}

/// Replaces the manifest of an external plugin.
pub(super) async fn update_manifest(api: &Api, id: &str, manifest: Struct) -> Result<Plugin, Failure> {
    let request = UpdateManifestRequest { plugin_id: id.to_owned(), manifest: Some(manifest), if_generation: None };
    let send = within(QUICK, request, async |request| api.plugins().update_manifest(request).await);
    Ok(present(send.await?.plugin)?)
}

/// Gives an external plugin a new token.
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

/// Where an external plugin dials in.
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
