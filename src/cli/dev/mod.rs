//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

mod changes;
mod deploy;
mod external;
mod output;
mod server;
mod session;

use std::path::PathBuf;

use clap::Args;

use super::{
    client::Api,
    failure::Failure,
    in_many_threads,
    options::{Options, Output},
    package::{BUILD, ManifestArg},
    signals,
    ui::{Screen, Ui},
};
use crate::{
    config::{Config, Flags},
    telemetry,
};
use changes::Changes;
use server::{Access, Server, Settings};
use session::{Home, Session};

/// Run a plugin from its folder, again each time that a file changes
///
/// Serves on a data folder of its own, .plugd-dev/NAME in the current folder unless --data-dir names another, on port
/// 8000 or, if that is taken, any other. Every setting of `plugd serve` can be given as a flag or in the environment.
/// What `plugd package` leaves out is no part of the plugin here either. Ctrl-C ends the plugin and the server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd dev my-plugin\n  plugd dev my-plugin --build 'cargo build --release'\n  \
                        plugd dev my-plugin --external -- python3 main.py\n  \
                        plugd --server http://127.0.0.1:8000 dev my-plugin --external   on a server that runs already")]
pub(super) struct Dev {
    /// Folder of the plugin
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    manifest: ManifestArg,
    /// Command that builds the plugin, run by sh in its folder before each packaging [default: its build.sh, if it has one]
    #[arg(long, value_name = "COMMAND", conflicts_with = "external")]
    build: Option<String>,
    /// Run COMMAND as an external plugin; on the server of --server, if one is named
    #[arg(long)]
    pub(super) external: bool,
    /// The plugin, with --external [default: the command of its manifest]
    #[arg(last = true, value_name = "COMMAND", requires = "external")]
    command: Vec<String>,
    #[command(flatten)]
    flags: Flags<Config>,
}

/// The settings with which no session is run: it serves this machine only, and does not encrypt.
pub(super) fn is_refused(setting: &str) -> bool {
    setting.starts_with("tls_")
}

impl Dev {
    pub(super) fn run(self, options: Options, screen: &Screen) -> Result<(), Failure> {
        let dir = self
            .dir
            .canonicalize()
            .map_err(|error| Failure::from(error).about(format_args!("can't find {}", self.dir.display())))?;
        let options = Options { output: Output::Table, ..options };
        let settings = server::settings(&self.flags, &options, &dir)?;
        telemetry::install(&settings.config.log, settings.config.log_format, &screen.errors)?;
        in_many_threads(self.develop(dir, settings, options, screen.ui.clone().in_words()))
    }

    async fn develop(self, dir: PathBuf, settings: Settings, options: Options, ui: Ui) -> Result<(), Failure> {
        let stop = signals::stop_token()?;
        signals::stop_with_terminal(&stop)?;
        let (data_dir, manifest) = (settings.config.data_dir.clone(), self.manifest.manifest.clone());
        if self.external && options.server.is_some() {
            let api = Api::connect(&options).await?;
            let session = Session { dir, manifest, data_dir, home: Home::Elsewhere, api, ui, stop };
            return self.work(&session).await.map_err(|failure| session.api.explain(failure));
        }
        let mut server = Server::start(settings.config, stop.clone()).await?;
        let access = server.access()?;
        let api = Api::connect(&access.options()).await?;
        let session = Session { dir, manifest, data_dir, home: settings.home, api, ui, stop: stop.clone() };
        if let Some(taken) = settings.taken {
            session.shout(&format!("{taken} is taken by another program, so this session is elsewhere:"));
        }
        session.say(&format!("serving on {}", session.api.server()));
        let (plugd, folder) = (output::plugd(), output::quoted_path(&session.data_dir));
        session
            .say(&format!("in another terminal: {plugd} --server {} --data-dir {folder} list", session.api.server()));
        let done = self.work_beside(&session, &access, &mut server).await;
        session.say("stopping");
        stop.cancel();
        done.and(server.ended().await)
    }

    /// Works until the session is over. However soon the server is gone, what the session runs is ended as it should be.
    async fn work_beside(&self, session: &Session, access: &Access, server: &mut Server) -> Result<(), Failure> {
        let mut work = std::pin::pin!(self.work_here(session, access));
        tokio::select! {
            done = &mut work => done,
            ended = server.ended() => {
                session.stop.cancel();
                ended.and(work.await)
            }
        }
    }

    async fn work_here(&self, session: &Session, access: &Access) -> Result<(), Failure> {
        if self.external {
            return self.work(session).await;
        }
        let own = session.dir.join(BUILD).is_file().then(|| format!("./{BUILD}"));
        deploy::run(session, access, self.build.as_deref().or(own.as_deref())).await
    }

    async fn work(&self, session: &Session) -> Result<(), Failure> {
        let mut changes = Changes::of(&session.dir, vec![session.data_dir.clone()])?;
        external::run(session, &self.command, &mut changes).await
    }
}

#[cfg(test)]
mod tests;
