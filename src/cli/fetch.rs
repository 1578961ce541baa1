//! `plugd fetch`, which pods run.

use std::path::PathBuf;

use clap::Args;

use super::{failure::Failure, in_many_threads};
use crate::{
    app::{self, DIGEST_VARIABLE, URL_VARIABLE},
    domain::{Digest, PluginId},
};

/// Fetch the package of a plugin and lay it out
///
/// The pods that `plugd serve --runtime-provider kubernetes` makes run this; their variables say what to fetch from where.
#[derive(Debug, Args)]
#[command(hide = true, after_help = "Example:\n  plugd fetch /plugins   with the variables that such a pod has")]
pub(super) struct Fetch {
    /// Folder in which the plugin's own folder is made
    folder: PathBuf,
    /// Where the package is, with the token of the run
    #[arg(long, env = URL_VARIABLE, hide_env_values = true)]
    url: String,
    /// Which package it has to be
    #[arg(long, env = DIGEST_VARIABLE)]
    digest: Digest,
    /// Whose it is
    #[arg(long, env = "PLUGD_PLUGIN_ID")]
    plugin: PluginId,
}

impl Fetch {
    pub(super) fn run(self) -> Result<(), Failure> {
        in_many_threads(async { Ok(app::fetch_package(&self.url, (self.plugin, self.digest), self.folder).await?) })
    }
}
