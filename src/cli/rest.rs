//! `plugd rest`.

use std::path::PathBuf;

use clap::Args;

use super::{
    failure::Failure,
    in_many_threads, reload,
    serve::{environment, settings_file},
    signals,
    telemetry::{self, Filter},
    ui::{Screen, Ui},
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
    pub(super) fn run(self, screen: &Screen) -> Result<(), Failure> {
        let load = move || {
            let file = settings_file::<RestConfig>(self.config.as_deref())?;
            Ok(RestConfig::load(&self.flags, &environment::<RestConfig>()?, &file)?)
        };
        let config: RestConfig = load()?;
        let filter = telemetry::install(&config.log, config.log_format, &screen.errors)?;
        in_many_threads(serve(config, load, filter, &screen.ui))
    }
}

async fn serve(
    config: RestConfig,
    load: impl Fn() -> Result<RestConfig, Failure> + Clone + Send + 'static,
    filter: Filter,
    ui: &Ui,
) -> Result<(), Failure> {
    let announce = |url: &str| ui.note(&format!("plugd serves REST on {url}"));
    let stop = signals::stop_token()?;
    let renewed = reload::on_hangup(load, |config: &RestConfig| &config.log, filter)?;
    Ok(Box::pin(app::serve_rest(config, stop, renewed, announce)).await?)
}
