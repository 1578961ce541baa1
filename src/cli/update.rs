//! `plugd update` and `plugd rollback`.

use std::path::PathBuf;

use clap::Args;

use super::{
    Context,
    active::Waiting,
    client::{present, within},
    failure::Failure,
    get::tell,
    package::Package,
    resolve::plugin_id,
    transfer,
};
use crate::api::v1::RollbackPackageRequest;

/// Replace the package of a plugin
#[derive(Debug, Args)]
pub(super) struct Update {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
    /// The package, or a folder with a manifest.json
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    #[command(flatten)]
    waiting: Waiting,
}

impl Update {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let package = Package::read(&self.path)?;
        let id = plugin_id(&context.api, &self.plugin).await?;
        tell(&context.ui, &transfer::update(&context.api, &id, &package, self.waiting).await?)
    }
}

/// Go back to the package before this one
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = RollbackPackageRequest {
            plugin_id: plugin_id(&context.api, &self.plugin).await?,
            return_immediately: self.waiting.no_wait,
            wait_timeout: self.waiting.limit(),
        };
        let send = async |request| context.api.plugins().rollback_package(request).await;
        tell(&context.ui, &present(within(self.waiting.deadline(), request, send).await?.plugin)?)
    }
}
