//! `plugd update` and `plugd rollback`.

use std::path::PathBuf;

use clap::Args;

use super::{
    Context,
    active::Waiting,
    aftermath,
    client::{present, within},
    failure::{Exit, Failure},
    get::sentence,
    package::{ManifestArg, Package},
    progress, resolve, shape, transfer,
    ui::Ui,
};
use crate::api::v1::{Plugin, PluginMode, RollbackPackageRequest};

/// Replace the package of a plugin
///
/// If the plugin does not become stable with it, the package before it comes back by itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugd update my-plugin ./my-plugin\n  plugd update my-plugin my-plugin.zip --no-wait"
)]
pub(super) struct Update {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
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
        let before = resolve::plugin(&context.api, &self.plugin).await?;
        check_supervised(&before)?;
        package.warn(&context.ui);
        let after = replace(context, &before, &package, self.waiting).await?;
        tell(&context.ui, &before, &after)
    }
}

/// Makes this the package of a plugin, and waits as told: if it fails, until it is known what became of the plugin.
///
/// # Errors
/// It is refused, fails or is not settled in time.
pub(super) async fn replace(
    context: &Context,
    before: &Plugin,
    package: &Package,
    waiting: Waiting,
) -> Result<Plugin, Failure> {
    let api = &context.api;
    let work = async {
        match transfer::update(api, &before.id, package, waiting).await {
            Ok(after) => Ok(after),
            Err(status) => Err(aftermath::explain(api, before, package, status).await),
        }
    };
    Box::pin(progress::during(context, &before.id, work)).await
}

/// Go back to the package before this one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd rollback my-plugin")]
pub(super) struct Rollback {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let before = resolve::plugin(&context.api, &self.plugin).await?;
        check_supervised(&before)?;
        let request = RollbackPackageRequest {
            plugin_id: before.id.clone(),
            return_immediately: self.waiting.no_wait,
            wait_timeout: self.waiting.limit(),
        };
        let send = async |request| context.api.plugins().rollback_package(request).await;
        let work = within(self.waiting.deadline(), request, send);
        let after = present(progress::during(context, &before.id, work).await?.plugin)?;
        tell(&context.ui, &before, &after)
    }
}

/// Only a plugin that plugd runs has a package.
///
/// # Errors
/// It is an external one.
pub(super) fn check_supervised(plugin: &Plugin) -> Result<(), Failure> {
    if plugin.mode() != PluginMode::External {
        return Ok(());
    }
    Err(Failure::new(format!("{} is an external plugin and has no package", plugin.id))
        .hint(format!("`plugd update-manifest {} MANIFEST` changes what is known of it", plugin.id))
        .exit(Exit::Refused))
}

/// Prints a plugin, and from which version it came to which.
fn tell(ui: &Ui, before: &Plugin, after: &Plugin) -> Result<(), Failure> {
    if ui.is_json() {
        let mut shown = shape::plugin(after);
        shown["previous_version"] = before.version.as_str().into();
        return Ok(ui.json(&shown)?);
    }
    Ok(ui.line(&format!("{}: {}", sentence(ui, after), versions(&before.version, &after.version)))?)
}

/// Two versions for a person.
pub(super) fn versions(before: &str, after: &str) -> String {
    match before == after {
        true => format!("{} as before", shape::version(after)),
        false => format!("{} -> {}", shape::version(before), shape::version(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_for_a_person() {
        assert_eq!(versions("1", "2"), "version 1 -> version 2");
        assert_eq!(versions("", "2"), "no version -> version 2");
        assert_eq!(versions("2", "2"), "version 2 as before");
    }
}
