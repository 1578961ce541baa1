//! `plugd serve`, `plugd rest`, and `plugd fetch`, which the pods of a server run.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::Args;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;

use super::{
    doctor::examination,
    failure::Failure,
    global::GlobalOptions,
    in_many_threads,
    ui::{Screen, Ui, quoted},
    usage,
};
use crate::{
    app::{self, AdminToken, DIGEST_VARIABLE, Ready, URL_VARIABLE},
    config::{self, Config, Environment, Flags, RestConfig, Settings},
    domain::{Digest, PluginId},
    telemetry::{self, Filter, LogFormat, trace},
    tls::SelfSigned,
};

/// Serve gRPC, REST and the plugins' WebSocket
///
/// Every setting can be given as a flag, as an environment variable or in a TOML file, whose keys are the flags with
/// underscores; in this order, and of several variables the first one named wins. Durations are written like 100ms, 5s or 1m30s, lists with commas.
///
/// Where OTEL_EXPORTER_OTLP_ENDPOINT names a collector it is sent traces; other variables OTEL_* say how.
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

impl Serve {
    pub(super) fn run(self, options: &GlobalOptions, screen: &Screen) -> Result<(), Failure> {
        let flags = with_data_dir(self.flags, options)?;
        if self.print_config {
            let config = settings(&flags, self.config.as_deref())?;
            return Ok(Ui::standard(options).raw(config.to_toml().as_bytes())?);
        }
        app::adopt_orphans();
        let log = |config: &Config| (config.log.clone(), config.log_format);
        let file = self.config.clone();
        run(flags, self.config, log, screen, async |config, stop, renewed| {
            let folder = config.data_dir.clone();
            Box::pin(app::serve(config, examination(file), stop, renewed, |ready| {
                announce(&screen.ui, &ready, &folder)
            }))
            .await
        })
    }
}

impl Rest {
    pub(super) fn run(self, screen: &Screen) -> Result<(), Failure> {
        let log = |config: &RestConfig| (config.log.clone(), config.log_format);
        run(self.flags, self.config, log, screen, async |config, stop, renewed| {
            let announce = |url: &str| screen.ui.note(&format!("plugd serves REST on {url}"));
            Box::pin(app::serve_rest(config, stop, renewed, announce)).await
        })
    }
}

impl Fetch {
    pub(super) fn run(self) -> Result<(), Failure> {
        in_many_threads(async { Ok(app::fetch_package(&self.url, (self.plugin, self.digest), self.folder).await?) })
    }
}

/// The setting of a server's log: its filter and its form.
type Log<S> = fn(&S) -> (String, LogFormat);

/// Reads settings, starts the log and serves. SIGHUP has the settings read again.
fn run<S: Settings + Clone + Send + 'static>(
    flags: Flags<S>,
    file: Option<PathBuf>,
    log: Log<S>,
    screen: &Screen,
    serve: impl AsyncFnOnce(S, CancellationToken, mpsc::Receiver<S>) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let config = settings(&flags, file.as_deref())?;
    let (text, format) = log(&config);
    let filter = telemetry::install(&text, format, &screen.errors)?;
    in_many_threads(async {
        let stop = stop_token()?;
        let renewed = on_hangup(move || settings(&flags, file.as_deref()), log, filter)?;
        trace::start()?;
        let served = serve(config, stop, renewed).await;
        trace::finish().await;
        Ok(served?)
    })
}

/// The settings of a server: from these flags, the environment and the file, if one was named.
pub(super) fn settings<S: Settings>(flags: &Flags<S>, file: Option<&Path>) -> Result<S, Failure> {
    Ok(config::load(flags, &Environment::of_process::<S>()?, file)?)
}

/// Reads the settings with `load` at each SIGHUP. The log's filter is changed here; the settings are handed on to what takes
/// the rest.
fn on_hangup<S: Send + 'static>(
    load: impl Fn() -> Result<S, Failure> + Clone + Send + 'static,
    log: Log<S>,
    mut filter: Filter,
) -> Result<mpsc::Receiver<S>, Failure> {
    let mut hangups = signal(SignalKind::hangup())?;
    let (renewed, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: reading the settings again");
            // A file may be on a disk that hangs.
            let Ok(loaded) = spawn_blocking(load.clone()).await else { return };
            match loaded {
                Ok(config) => {
                    filter.renew(&log(&config).0);
                    if renewed.send(config).await.is_err() {
                        return;
                    }
                }
                Err(failure) => tracing::error!("{}; nothing is changed", failure.what),
            }
        }
    });
    Ok(receiver)
}

fn announce(ui: &Ui, ready: &Ready, folder: &Path) {
    ui.note(&format!("plugd serves on {}", ready.url));
    if let Some(own) = &ready.self_signed {
        tell_certificate(ui, ready, own, folder);
    }
    if let Some(link) = ready.link() {
        ui.note(&format!("The console, for one browser and within an hour: {link}"));
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
    // The token must not get into a log that is kept.
    if std::io::stderr().is_terminal() {
        ui.note(&format!("It is {}", secret.expose()));
    }
}

/// How to know the certificate that plugd made for itself, and how to use it.
fn tell_certificate(ui: &Ui, ready: &Ready, own: &SelfSigned, folder: &Path) {
    let absolute = |path: &Path| quoted(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let url = ready.local_url();
    let (folder, certificate) = (absolute(folder), absolute(&own.certificate));
    ui.note(&format!("It made its certificate itself. SHA-256 fingerprint: {}", own.fingerprint));
    ui.note(&format!("To use it: plugd --server {url} --cacert {certificate} --data-dir {folder} list"));
}

/// Exit code of a process that a second signal ends at once: 128 and the number of SIGINT.
const SECOND_SIGNAL: i32 = 130;

/// A token that SIGINT or SIGTERM cancels. A second one ends the process at once. Neither is missed because whoever started
/// the process ignores it.
pub(super) fn stop_token() -> Result<CancellationToken, Failure> {
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        next(&mut signals).await;
        stopped.cancel();
        next(&mut signals).await;
        std::process::exit(SECOND_SIGNAL);
    });
    Ok(stop)
}

async fn next((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Cancels the token when the terminal is closed: nobody sees any more what is printed there.
pub(super) fn stop_with_terminal(stop: &CancellationToken) -> Result<(), Failure> {
    let (mut hangups, stop) = (signal(SignalKind::hangup())?, stop.clone());
    tokio::spawn(async move {
        hangups.recv().await;
        stop.cancel();
    });
    Ok(())
}

/// The flags with the global option for the data folder among them.
pub(super) fn with_data_dir(flags: Flags<Config>, options: &GlobalOptions) -> Result<Flags<Config>, Failure> {
    let Some(folder) = &options.data_dir else { return Ok(flags) };
    match folder.to_str() {
        Some(folder) => Ok(flags.with("data_dir", folder)),
        None => Err(usage(format!("{folder:?} can't be the data folder: its path is not UTF-8; give it another name"))),
    }
}

impl From<trace::Error> for Failure {
    fn from(error: trace::Error) -> Self {
        usage(error.to_string())
            .hint("change the variable, or take it out of the environment; docs/traces.md has them all")
    }
}

impl From<telemetry::Error> for Failure {
    fn from(error: telemetry::Error) -> Self {
        match error {
            telemetry::Error::Filter(..) => {
                usage(error.to_string()).hint("write it like \"info\" or \"warn,plugd=debug\"")
            }
            telemetry::Error::Start(_) => Self::new(error.to_string()),
        }
    }
}
