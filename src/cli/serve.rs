//! `plugd serve`.

use std::{
    env,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    failure::Failure,
    in_many_threads,
    options::{Options, TOKEN_FILE},
    signals, telemetry,
    ui::Ui,
};
use crate::{
    app::{self, Ready},
    config::{Config, Environment, File, Flags, Knobs},
};

/// Serve gRPC, REST and the plugins' WebSocket
///
/// Every setting can be given as a flag, as an environment variable or in a TOML file, whose keys are the flags with
/// underscores; in this order, and of several variables the first one named wins. Durations are written like 100ms, 5s or 1m30s, lists with commas.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugd serve --listen 0.0.0.0:8000 --data-dir /var/lib/plugd\n  plugd serve --config plugd.toml --print-config"
)]
pub(super) struct Serve {
    /// File with settings
    #[arg(long, env = "PLUGD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings as they are in effect, as TOML and without passwords, and end
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    flags: Flags<Config>,
}

impl Serve {
    pub(super) fn run(self, options: &Options, ui: &Ui) -> Result<(), Failure> {
        let flags = with_data_dir(self.flags, options);
        let config = Config::load(&flags, &environment(), &settings_file::<Config>(self.config.as_deref())?)?;
        if self.print_config {
            return Ok(ui.raw(config.to_toml().as_bytes())?);
        }
        telemetry::install(&config.log, config.log_format)?;
        in_many_threads(serve(config, ui))
    }
}

async fn serve(config: Config, ui: &Ui) -> Result<(), Failure> {
    let stop = signals::stop_token()?;
    let token_file = config.data_dir.join(TOKEN_FILE);
    Ok(Box::pin(app::serve(config, stop, |ready| announce(ui, &ready, &token_file))).await?)
}

fn announce(ui: &Ui, ready: &Ready, token_file: &Path) {
    ui.note(&format!("plugd serves on {}", ready.url));
    let Some(token) = &ready.admin_token else { return };
    let file = token_file.display();
    ui.note(&format!("This is a new data folder. The administrator's token is in {file}"));
    // Not into a log that is kept.
    if std::io::stderr().is_terminal() {
        ui.note(&format!("It is {token}"));
    }
}

/// The environment, as far as it is text.
pub(super) fn environment() -> Environment {
    let texts = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    env::vars_os().filter_map(texts).collect()
}

/// The settings file, if one was named.
///
/// # Errors
/// It can't be read or used.
pub(super) fn settings_file<C: Knobs>(path: Option<&std::path::Path>) -> Result<File, Failure> {
    let file = path.map(|path| File::read(path, C::KNOBS)).transpose()?;
    Ok(file.unwrap_or_default())
}

/// The flags with the global option for the data folder among them.
pub(super) fn with_data_dir(flags: Flags<Config>, options: &Options) -> Flags<Config> {
    match &options.data_dir {
        Some(folder) => flags.with("data_dir", folder.to_string_lossy()),
        None => flags,
    }
}
