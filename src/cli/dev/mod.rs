//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

mod banner;
mod build;
mod changes;
mod deploy;
mod external;
mod server;
mod trail;

use std::path::{Path, PathBuf};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{
    client::Api,
    failure::Failure,
    in_many_threads,
    options::{Options, Output},
    signals, telemetry,
    ui::{Style, Ui},
};
use crate::config::{Config, Flags};
use changes::Changes;
use server::{Access, Server};

/// Run a plugin from its folder, again each time that a file changes
///
/// Serves on a data folder of its own, .plugd-dev in the current folder unless --data-dir names another, on port 8000
/// or, if that is taken, any other. Every setting of `plugd serve` can be given as a flag or in the environment.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Folder of the plugin, with its manifest.json
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Command that builds the plugin, run by sh in its folder before each packaging
    #[arg(long, value_name = "COMMAND", conflicts_with = "external")]
    build: Option<String>,
    /// Run COMMAND as an external plugin; on the server of --server, if one is named
    #[arg(long, requires = "command")]
    external: bool,
    /// The plugin, with --external
    #[arg(last = true, value_name = "COMMAND", requires = "external")]
    command: Vec<String>,
    #[command(flatten)]
    flags: Flags<Config>,
}

/// What the parts of a development session share.
#[derive(Debug, Clone)]
struct Session {
    /// The plugin's folder.
    dir: PathBuf,
    /// plugd's data folder, which is no part of the plugin even when it is within its folder.
    data_dir: PathBuf,
    api: Api,
    ui: Ui,
    stop: CancellationToken,
}

impl Session {
    /// Says something about the session itself.
    fn say(&self, text: &str) {
        self.print(&format!("{}{text}", prefix(&self.ui, "dev", Style::Cyan)));
    }

    /// Prints a line of its own. When nobody reads any longer, the session goes on all the same.
    fn print(&self, text: &str) {
        let _ = self.ui.line(text);
    }

    /// Says loudly what went wrong.
    fn complain(&self, failure: &Failure) {
        let text = self.ui.paint(Style::Red, &failure.to_string());
        text.lines().for_each(|line| self.say(line));
    }

    /// Folders that are no part of the plugin.
    fn except(&self) -> Vec<PathBuf> {
        vec![self.data_dir.clone()]
    }
}

#[cfg(test)]
mod tests;

/// What stands before the lines of one source.
fn prefix(ui: &Ui, source: &str, style: Style) -> String {
    ui.paint(style, &format!("{source:>5} | "))
}

impl Dev {
    pub(super) fn run(self, options: Options) -> Result<(), Failure> {
        let dir = self
            .dir
            .canonicalize()
            .map_err(|error| Failure::from(error).about(format_args!("can't find {}", self.dir.display())))?;
        let options = Options { output: Output::Table, ..options };
        let config = server::settings(&self.flags, &options, &dir)?;
        telemetry::install(&config.log, config.log_format)?;
        in_many_threads(self.develop(dir, config, options))
    }

    async fn develop(self, dir: PathBuf, config: Config, options: Options) -> Result<(), Failure> {
        let (stop, ui) = (signals::stop_token()?, Ui::standard(&options));
        if self.external && options.server.is_some() {
            let api = Api::connect(&options).await?;
            let session = Session { dir, data_dir: config.data_dir, api, ui, stop };
            return self.work(&session).await;
        }
        let data_dir = config.data_dir.clone();
        let mut server = Server::start(config, stop.clone()).await?;
        let access = server.access()?;
        let api = Api::connect(&access.options()).await?;
        let session = Session { dir, data_dir, api, ui, stop: stop.clone() };
        let folder = session.data_dir.display();
        session.say(&format!("serving on {}", session.api.server()));
        session.say(&format!("elsewhere: plugd --server {} --data-dir {folder} list", session.api.server()));
        let done = tokio::select! {
            ended = server.ended() => ended,
            done = self.work_here(&session, &access) => done,
        };
        stop.cancel();
        session.say("stopping");
        done.and(server.ended().await)
    }

    async fn work_here(&self, session: &Session, access: &Access) -> Result<(), Failure> {
        if self.external {
            return self.work(session).await;
        }
        let mut changes = Changes::of(&session.dir, session.except())?;
        let _trail = trail::states(session, Vec::new());
        let mut deployment = deploy::Deployment::new(session, self.build.as_deref());
        loop {
            let Some(done) = session.stop.run_until_cancelled(deployment.deploy()).await else { return Ok(()) };
            match done {
                Ok(deploy::Outcome::First(plugin)) => banner::print(session, access, &plugin),
                Ok(deploy::Outcome::Again(plugin)) => session.say(&format!("{} runs the new package", plugin.id)),
                Ok(deploy::Outcome::Unchanged) => {}
                Err(failure) => session.complain(&failure),
            }
            if !changes.next(session).await {
                return Ok(());
            }
        }
    }

    async fn work(&self, session: &Session) -> Result<(), Failure> {
        let mut changes = Changes::of(&session.dir, session.except())?;
        external::run(session, &self.command, &mut changes).await
    }
}

/// The manifest of the plugin in a folder.
fn manifest(dir: &Path) -> PathBuf {
    dir.join(super::package::MANIFEST)
}
