//! `plugd serve`.

use std::{
    env::{self, VarError},
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    failure::Failure,
    in_many_threads,
    options::Options,
    reload, signals,
    telemetry::{self, Filter},
    ui::{Screen, Ui, quoted},
    usage,
};
use crate::{
    app::{self, AdminToken, Ready},
    config::{Config, Environment, File, Flags, Knobs},
    tls::SelfSigned,
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
    pub(super) fn run(self, options: &Options, screen: &Screen) -> Result<(), Failure> {
        let (flags, file) = (with_data_dir(self.flags, options)?, self.config);
        let load = move || {
            let file = settings_file::<Config>(file.as_deref())?;
            Ok(Config::load(&flags, &environment::<Config>()?, &file)?)
        };
        let config: Config = load()?;
        if self.print_config {
            return Ok(Ui::standard(options).raw(config.to_toml().as_bytes())?);
        }
        let filter = telemetry::install(&config.log, config.log_format, &screen.errors)?;
        in_many_threads(serve(config, load, filter, &screen.ui))
    }
}

async fn serve(
    config: Config,
    load: impl Fn() -> Result<Config, Failure> + Clone + Send + 'static,
    filter: Filter,
    ui: &Ui,
) -> Result<(), Failure> {
    let stop = signals::stop_token()?;
    let renewed = reload::on_hangup(load, |config: &Config| &config.log, filter)?;
    let folder = config.data_dir.clone();
    Ok(Box::pin(app::serve(config, stop, renewed, |ready| announce(ui, &ready, &folder))).await?)
}

fn announce(ui: &Ui, ready: &Ready, folder: &Path) {
    ui.note(&format!("plugd serves on {}", ready.url));
    if let Some(own) = &ready.self_signed {
        tell_certificate(ui, ready, own, folder);
    }
    let Some(AdminToken { secret, file, foreign }) = &ready.admin_token else { return };
    let file = file.display();
    match foreign {
        None => ui.note(&format!("This is a new database. The administrator's token is in {file}")),
        Some(foreign) => ui.note(&format!(
            "This is a new database, and the token in {} is not valid in it: that file was left as it is, and the new \
             administrator's token is in {file}",
            foreign.display()
        )),
    }
    // Not into a log that is kept.
    if std::io::stderr().is_terminal() {
        ui.note(&format!("It is {secret}"));
    }
}

/// How to know the certificate that plugd made for itself, and how to use it.
fn tell_certificate(ui: &Ui, ready: &Ready, own: &SelfSigned, folder: &Path) {
    let absolute = |path: &Path| quoted(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let port = ready.address.port();
    let url = if ready.address.ip().is_unspecified() { format!("https://localhost:{port}") } else { ready.url.clone() };
    let (folder, certificate) = (absolute(folder), absolute(&own.certificate));
    ui.note(&format!("It made its certificate itself. SHA-256 fingerprint: {}", own.fingerprint));
    ui.note(&format!("To use it: plugd --server {url} --cacert {certificate} --data-dir {folder} list"));
}

/// The environment, as far as it is text.
///
/// # Errors
/// A variable that a setting is read from is not.
pub(super) fn environment<C: Knobs>() -> Result<Environment, Failure> {
    let mut known = C::KNOBS.iter().flat_map(|knob| knob.env);
    if let Some(name) = known.find(|name| matches!(env::var(name), Err(VarError::NotUnicode(_)))) {
        return Err(usage(format!("the environment variable {name} is not UTF-8 text: give it another value")));
    }
    let texts = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Ok(env::vars_os().filter_map(texts).collect())
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
///
/// # Errors
/// The folder's path is not UTF-8, which the settings and SQLite's driver ask for.
pub(super) fn with_data_dir(flags: Flags<Config>, options: &Options) -> Result<Flags<Config>, Failure> {
    let Some(folder) = &options.data_dir else { return Ok(flags) };
    match folder.to_str() {
        Some(folder) => Ok(flags.with("data_dir", folder)),
        None => Err(usage(format!("{folder:?} can't be the data folder: its path is not UTF-8; give it another name"))),
    }
}
