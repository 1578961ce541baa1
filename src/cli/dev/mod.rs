//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

mod changes;
mod deploy;
mod external;
mod output;
mod server;

use std::{net::SocketAddr, path::PathBuf, slice};

use clap::Args;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    client::Api,
    failure::{Exit, Failure},
    in_many_threads, lifecycle,
    options::{Options, Output},
    package::{BUILD, Folder, ManifestArg, Package},
    select::with_manifest_id,
    signals,
    ui::{Screen, Style, Ui, quoted, sanitize, sanitize_line},
    words,
};
use crate::{
    api::v1::{Plugin, PluginMode},
    app,
    config::{Config, Flags},
    telemetry,
};
use changes::Changes;
use server::{Access, Settings};

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
        let session = |home, api| Session { dir, manifest, data_dir, home, api, ui, stop: stop.clone() };
        if self.external && options.server.is_some() {
            let session = session(Home::Elsewhere, Api::connect(&options).await?);
            return self.run_external(&session).await.map_err(|failure| session.api.explain(failure));
        }
        let (tell, told) = oneshot::channel();
        let (config, folder, stopped) = (settings.config, settings.data_dir.clone(), stop.clone());
        let server = tokio::spawn(async move {
            let on_ready = |ready| drop(tell.send(ready));
            // A session's settings do not change: SIGHUP ends it.
            let served = Box::pin(app::serve(config, stopped.clone(), mpsc::channel(1).1, on_ready)).await;
            stopped.cancel();
            served
        });
        let work = async {
            let Ok(ready) = told.await else { return Ok(()) };
            let access = Access::of(ready, &folder)?;
            let session = session(settings.home, Api::connect(&access.options()).await?);
            let done = Box::pin(self.work(&session, &access, settings.taken)).await;
            session.say("stopping");
            done
        };
        let worked = work.await;
        stop.cancel();
        match server.await {
            Ok(served) => served.map_err(Failure::from).and(worked),
            Err(error) => Err(Failure::new(format!("the server broke off: {error}"))),
        }
    }

    /// Works until the session is over. However soon the server is gone, what the session runs is ended as it should be.
    async fn work(&self, session: &Session, access: &Access, taken: Option<SocketAddr>) -> Result<(), Failure> {
        let server = session.api.server();
        if let Some(taken) = taken {
            session.shout(&format!("{taken} is taken by another program, so this session is elsewhere:"));
        }
        session.say(&format!("serving on {server}"));
        let (plugd, folder) = (output::plugd(), output::quoted_path(&session.data_dir));
        session.say(&format!("in another terminal: {plugd} --server {server} --data-dir {folder} list"));
        if self.external {
            return self.run_external(session).await;
        }
        let own = session.dir.join(BUILD).is_file().then(|| format!("./{BUILD}"));
        deploy::run(session, access, self.build.as_deref().or(own.as_deref())).await
    }

    async fn run_external(&self, session: &Session) -> Result<(), Failure> {
        let mut changes = Changes::of(&session.dir, vec![session.data_dir.clone()])?;
        external::run(session, &self.command, &mut changes).await
    }
}

/// What the parts of a session share: its plugin's folder, a server, a screen.
#[derive(Debug, Clone)]
struct Session {
    /// The plugin's folder.
    dir: PathBuf,
    /// Its manifest, if it is not where it usually is.
    manifest: Option<PathBuf>,
    /// plugd's data folder, which is no part of the plugin even when it is within its folder.
    data_dir: PathBuf,
    home: Home,
    api: Api,
    ui: Ui,
    stop: CancellationToken,
}

/// Whose server a session is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// Its own, on the data folder that sessions have to themselves.
    Own,
    /// Its own, on a data folder that somebody named.
    Named,
    /// One that ran already.
    Elsewhere,
}

/// What the author can do about a failure.
const REMEDY: &str = "correct it and save a file: it is tried again then";

impl Session {
    /// Says something about the session itself.
    fn say(&self, text: &str) {
        self.tell(text, Style::Plain);
    }

    /// Says something that nobody should miss.
    fn shout(&self, text: &str) {
        text.lines().for_each(|line| self.tell(line, Style::Red));
    }

    fn complain(&self, failure: &Failure) {
        self.shout(&failure.to_string());
    }

    /// Says what failed, and what the author can do about it: the server's own advice is for people without the folder.
    fn failed(&self, failure: Failure) {
        let has_advice = failure.reason.is_none() && failure.hint.is_some();
        self.complain(&if has_advice { failure } else { failure.hint(REMEDY) });
        if has_advice {
            self.say("waiting: it is tried again when a file is saved");
        }
    }

    fn tell(&self, text: &str, style: Style) {
        let text = self.ui.paint(style, &sanitize_line(text));
        self.print(&format!("{}{text}", self.prefix("dev", Style::Cyan)));
    }

    /// Prints a line as it is. When nobody reads any longer, the session goes on all the same.
    fn print(&self, text: &str) {
        let _ = self.ui.line(text);
    }

    /// What stands before the lines of one source.
    fn prefix(&self, source: &str, style: Style) -> String {
        self.ui.paint(style, &format!("{source:>5} | "))
    }

    fn package(&self) -> Result<Package, Failure> {
        Package::of_folder(&self.folder())
    }

    /// Whether the folder is still as in the package with this digest.
    fn is_still(&self, digest: &str) -> bool {
        Package::digest_of_folder(&self.folder()).is_ok_and(|now| now == digest)
    }

    fn folder(&self) -> Folder<'_> {
        Folder { dir: &self.dir, manifest: self.manifest.as_deref(), except: slice::from_ref(&self.data_dir) }
    }

    /// The plugin that has this manifest id. One of the other mode that an earlier session left in the sessions' own data
    /// folder makes room.
    async fn installed(&self, id: Option<&str>, mode: PluginMode) -> Result<Option<Plugin>, Failure> {
        let id = id.ok_or_else(|| {
            Failure::new("the manifest has no id")
                .hint("give it one of letters, digits and hyphens, like \"my-plugin\"")
                .exit(Exit::Refused)
        })?;
        let plugins = with_manifest_id(&self.api, id).await?;
        let (same, other): (Vec<_>, Vec<_>) = plugins.into_iter().partition(|plugin| plugin.mode() == mode);
        for plugin in other {
            if self.home != Home::Own {
                return Err(self.taken(id, &plugin));
            }
            let mode = words::mode(plugin.mode());
            self.say(&format!("{} is of an earlier session and {mode}: it is removed", plugin.id));
            lifecycle::delete(&self.api, plugin.id).await?;
        }
        Ok(same.into_iter().next())
    }

    fn taken(&self, id: &str, plugin: &Plugin) -> Failure {
        let (id, mode) = (sanitize(id), words::mode(plugin.mode()));
        let server = match self.home {
            Home::Elsewhere => String::new(),
            Home::Own | Home::Named => format!(" on `plugd serve --data-dir {}`", quoted(&self.data_dir)),
        };
        Failure::new(format!("{} has the manifest id {id:?} already, and is {mode}", plugin.id))
            .hint(format!("delete it with `plugd delete {}`{server}, or give this one another id", plugin.id))
            .exit(Exit::Conflict)
    }
}

#[cfg(test)]
mod tests;
