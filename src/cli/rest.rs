//! `plugd rest`.

use std::path::PathBuf;

use clap::Args;

use super::{
    failure::Failure,
    in_many_threads,
    serve::{environment, settings_file},
    signals, telemetry,
    ui::Ui,
};
use crate::{
    app,
    config::{Flags, RestConfig},
};

/// Serve REST in front of another plugd
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd rest --listen 127.0.0.1:8080 --upstream http://127.0.0.1:8000")]
pub(super) struct Rest {
    /// File with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags<RestConfig>,
}

impl Rest {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let file = settings_file::<RestConfig>(self.config.as_deref())?;
        let config = RestConfig::load(&self.flags, &environment(), &file)?;
        telemetry::install(&config.log, config.log_format)?;
        in_many_threads(serve(config, ui))
    }
}

async fn serve(config: RestConfig, ui: &Ui) -> Result<(), Failure> {
    let announce = |url: &str| ui.note(&format!("plugd serves REST on {url}"));
    Ok(Box::pin(app::serve_rest(config, signals::stop_token()?, announce)).await?)
}
