//! `plugd install`.

use std::path::PathBuf;

use clap::Args;

use super::{
    Context,
    active::{self, Waiting},
    failure::Failure,
    get::tell,
    package::Package,
    transfer,
};
use crate::api::v1::ActiveState;

/// Install a package, or a folder as a package
#[derive(Debug, Args)]
pub(super) struct Install {
    /// The package, or a folder with a manifest.json
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Start it, too
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Install {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let package = Package::read(&self.path)?;
        let plugin = transfer::install(&context.api, &package).await?;
        if !self.activate {
            return tell(&context.ui, &plugin);
        }
        let set = active::set(&context.api, &plugin.id, ActiveState::Active, self.waiting).await;
        let plugin =
            set.map_err(|status| Failure::from(status).about(format_args!("{} is installed, but", plugin.id)))?;
        tell(&context.ui, &plugin)
    }
}
