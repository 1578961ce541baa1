//! `plugd install`.

use std::path::Path;

use clap::Args;

use super::{
    Context,
    active::{self, Waiting},
    failure::{Exit, Failure},
    get::tell,
    package::{ManifestArg, Package},
    progress,
    resolve::with_manifest_id,
    shape, transfer,
    ui::{quoted, sanitize},
    update, usage,
};
use crate::api::v1::{ActiveState, Plugin, PluginMode};

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
        let start = active::start(api, &plugin.id, active::set(api, &plugin.id, ActiveState::Active, self.waiting));
        let plugin = Box::pin(progress::during(context, &plugin.id, start))
            .await
            .map_err(|failure| failure.about(format_args!("{} is installed, but", plugin.id)))?;
        tell(&context.ui, &plugin)
    }

    async fn send(&self, context: &Context) -> Result<Plugin, Failure> {
        let package = Package::read(Path::new(&self.source), &self.manifest)?;
        package.warn(&context.ui);
        let there = match package.manifest_id() {
            Some(id) if !self.again => with_manifest_id(&context.api, id).await?,
            _ => Vec::new(),
        };
        match there.as_slice() {
            [] => transfer::install(&context.api, &package).await,
            [plugin] if self.update => {
                update::check_supervised(plugin)?;
                update::replace(context, plugin, &package, self.waiting).await
            }
            several => Err(self.installed_already(several)),
        }
    }

    fn installed_already(&self, there: &[Plugin]) -> Failure {
        let [first, others @ ..] = there else { return Failure::new("it is installed already") };
        let id = shape::manifest_id(first).unwrap_or_default();
        let count = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
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
        let plugin = transfer::install_from_url(&context.api, &self.source).await?;
        let id = shape::manifest_id(&plugin).unwrap_or_default();
        let others = with_manifest_id(&context.api, id).await?.into_iter().filter(|other| other.id != plugin.id);
        for other in others.filter(|_| !self.again) {
            let remedy = format!("`plugd delete {}` removes this one", plugin.id);
            context.ui.warn(&format!("the manifest id {id:?} was installed already, as {}; {remedy}", other.id));
        }
        Ok(plugin)
    }
}
