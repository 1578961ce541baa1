//! `plugd install`, `update` and `rollback`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    Context,
    client::{present, within},
    failure::{Exit, Failure},
    lifecycle::set,
    list::{sentence, tell},
    package::{ManifestArg, Package},
    select::{One, with_manifest_id},
    transfer::{check_supervised, install_from_url, send_new, send_update},
    ui::{quoted, sanitize},
    usage,
    wait::{self, Waiting, during},
    words,
};
use crate::api::v1::{ActiveState, Plugin, PluginMode, RollbackPackageRequest};

/// Install a plugin from a folder, a package or a URL
///
/// A plugin whose manifest id is installed already is refused, unless --update or --again says what is meant.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd install my-plugin --activate\n  plugd install my-plugin.zip\n  \
                        plugd install https://example.org/my-plugin.zip   the server fetches it\n  \
                        plugd install my-plugin --update                  whether it is installed already or not")]
pub(super) struct Install {
    /// The package, a folder with a manifest, or the URL of a package
    #[arg(value_name = "FILE|DIR|URL")]
    source: String,
    #[command(flatten)]
    manifest: ManifestArg,
    /// If its manifest id is installed already, replace the package of that plugin
    #[arg(long, conflicts_with = "again")]
    update: bool,
    /// Install it even if its manifest id is installed already, as one more plugin
    #[arg(long)]
    again: bool,
    /// Start it, too
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Install {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let is_url = self.source.starts_with("http://") || self.source.starts_with("https://");
        let plugin = if is_url { self.have_fetched(context).await? } else { self.send(context).await? };
        if !self.activate {
            return tell(&context.ui, &plugin);
        }
        context.ui.note(&format!("{} {} is installed", plugin.id, sanitize(&plugin.name)));
        let api = &context.api;
        let start = wait::start(api, &plugin.id, set(api, &plugin.id, ActiveState::Active, self.waiting));
        let plugin = Box::pin(during(context, &plugin.id, start))
            .await
            .map_err(|failure| failure.about(format_args!("{} is installed, but", plugin.id)))?;
        tell(&context.ui, &plugin)
    }

    async fn send(&self, context: &Context) -> Result<Plugin, Failure> {
        let package = Package::read(Path::new(&self.source), &self.manifest)?;
        package.warn(&context.ui);
        let installed = match package.manifest_id() {
            Some(id) if !self.again => with_manifest_id(&context.api, id).await?,
            _ => Vec::new(),
        };
        match installed.as_slice() {
            [] => send_new(&context.api, &package).await,
            [plugin] if self.update => {
                check_supervised(plugin)?;
                replace(context, plugin, &package, self.waiting).await
            }
            [first, others @ ..] => Err(self.installed_already(first, others.len())),
        }
    }

    fn installed_already(&self, first: &Plugin, others: usize) -> Failure {
        let id = words::manifest_id(first).unwrap_or_default();
        let count = if others == 0 { String::new() } else { format!(" and {others} more") };
        let replace = match first.mode() {
            PluginMode::External => format!("plugd update-manifest {} MANIFEST", first.id),
            _ => format!("plugd update {} {}", first.id, quoted(&self.source)),
        };
        Failure::new(format!("the manifest id {id:?} is installed already, as {}{count}", first.id))
            .hint(format!("`{replace}` replaces it; with --again this becomes one more plugin"))
            .exit(Exit::Conflict)
    }

    /// What the server fetches is known only afterwards.
    async fn have_fetched(&self, context: &Context) -> Result<Plugin, Failure> {
        if self.update || self.manifest.manifest.is_some() {
            return Err(usage("--update and --manifest are not for URLs: the server fetches the package by itself")
                .hint("download it, then install the file"));
        }
        let plugin = install_from_url(&context.api, &self.source).await?;
        let id = words::manifest_id(&plugin).unwrap_or_default();
        let others = with_manifest_id(&context.api, id).await?.into_iter().filter(|other| other.id != plugin.id);
        for other in others.filter(|_| !self.again) {
            let remedy = format!("`plugd delete {}` removes this one", plugin.id);
            context.ui.warn(&format!("the manifest id {id:?} was installed already, as {}; {remedy}", other.id));
        }
        Ok(plugin)
    }
}

/// Replace the package of a plugin
///
/// If the plugin does not become stable with it, the package before it comes back by itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugd update my-plugin ./my-plugin\n  plugd update my-plugin my-plugin.zip --no-wait"
)]
pub(super) struct Update {
    #[command(flatten)]
    plugin: One,
    /// The package, or a folder with a manifest
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    #[command(flatten)]
    manifest: ManifestArg,
    #[command(flatten)]
    waiting: Waiting,
}

impl Update {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let package = Package::read(&self.path, &self.manifest)?;
        let before = self.plugin.get(&context.api).await?;
        check_supervised(&before)?;
        package.warn(&context.ui);
        let after = replace(context, &before, &package, self.waiting).await?;
        tell_versions(context, &before, &after)
    }
}

/// Makes this the package of a plugin, and waits as told: if it fails, until it is known what became of the plugin.
async fn replace(context: &Context, before: &Plugin, package: &Package, waiting: Waiting) -> Result<Plugin, Failure> {
    let api = &context.api;
    let work = async {
        match send_update(api, &before.id, package, waiting).await {
            Ok(after) => Ok(after),
            Err(status) => Err(wait::explain(api, &before.id, package.version().unwrap_or_default(), status).await),
        }
    };
    Box::pin(during(context, &before.id, work)).await
}

/// Go back to the package before this one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd rollback my-plugin")]
pub(super) struct Rollback {
    #[command(flatten)]
    plugin: One,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let before = self.plugin.get(&context.api).await?;
        check_supervised(&before)?;
        let request =
            RollbackPackageRequest { plugin_id: before.id.clone(), wait: self.waiting.wait(), if_generation: None };
        let send = async |request| context.api.packages().rollback_package(request).await;
        let work = within(self.waiting.deadline(), request, send);
        let after = present(during(context, &before.id, work).await?.plugin)?;
        tell_versions(context, &before, &after)
    }
}

/// Prints a plugin, and from which version it came to which.
fn tell_versions(context: &Context, before: &Plugin, after: &Plugin) -> Result<(), Failure> {
    let json = || {
        let mut shown = words::plugin(after);
        shown["previous_version"] = before.version.as_str().into();
        shown
    };
    let line = || format!("{}: {}", sentence(&context.ui, after), versions(&before.version, &after.version));
    Ok(context.ui.json_or(json, line)?)
}

/// Two versions for a person.
pub(super) fn versions(before: &str, after: &str) -> String {
    match before == after {
        true => format!("{} as before", words::version(after)),
        false => format!("{} -> {}", words::version(before), words::version(after)),
    }
}

#[cfg(test)]
mod tests;
