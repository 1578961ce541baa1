//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

mod changes;
mod deploy;
mod external;

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf, absolute},
    slice,
    time::SystemTime,
};

use clap::Args;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    client::{Api, with_manifest_id},
    doctor::examination,
    failure::{Exit, Failure},
    follow::{Resumable, States, resume},
    global::GlobalOptions,
    in_many_threads, logs,
    package::{Folder, ManifestArg},
    serve::{stop_token, stop_with_terminal, with_data_dir},
    show,
    ui::{Screen, Style, Ui, quoted, sanitize, sanitize_line},
    usage, watch,
};
use crate::{
    api::v1::{Plugin, PluginMode, StreamLogsRequest, WatchStateRequest},
    app::{self, Ready},
    config::{self, Config, Environment, Flags},
    files::find_program,
    telemetry,
};

/// Folder of the data of development sessions.
const DATA_DIR: &str = ".plugd-dev";
/// The address that is tried first.
const USUAL: &str = "127.0.0.1:8000";
/// The log's filter unless somebody sets another: the session itself tells what plugd logs as information.
const LOG: &str = "warn";
/// The script of a plugin's folder that builds it.
const BUILD: &str = "build.sh";

/// Run a plugin from its folder, again each time that a file changes
///
/// Serves on a data folder of its own, .plugd-dev/NAME (with --external NAME-external) in the current folder unless
/// --data-dir names another, on port 8000 or, if that is taken, any other. Every setting of `plugd serve` can be given as a
/// flag or in the environment.
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
    pub(super) fn run(self, options: GlobalOptions, screen: &Screen) -> Result<(), Failure> {
        let dir = self
            .dir
            .canonicalize()
            .map_err(|error| Failure::from(error).about(format_args!("can't find {}", self.dir.display())))?;
        let (config, is_usual_taken) = self.settings(&options, &dir)?;
        telemetry::install(&config.log, config.log_format, &screen.errors)?;
        let ui = screen.ui.clone().in_words();
        if is_usual_taken {
            ui.warn(&format!("{USUAL} is taken by another program, so this session is elsewhere"));
        }
        in_many_threads(self.develop(dir, config, options, ui))
    }

    /// The settings of `plugd serve`, but with a data folder, a port and a quieter log of its own; and whether the usual port
    /// is taken.
    fn settings(&self, options: &GlobalOptions, dir: &Path) -> Result<(Config, bool), Failure> {
        let environment = Environment::of_process::<Config>()?;
        let mut flags = with_data_dir(self.flags.clone(), options)?;
        if flags.get("data_dir").is_none() {
            let mut name = dir.file_name().unwrap_or_default().to_owned();
            // A plugin is supervised or external for life.
            name.push(if self.external { "-external" } else { "" });
            flags = flags.with("data_dir", Path::new(DATA_DIR).join(name).to_string_lossy());
        }
        let mut is_usual_taken = false;
        if flags.get("listen").is_none() && environment.first_of(&["PLUGD_LISTEN", "LISTEN_ADDR"]).is_none() {
            is_usual_taken = TcpListener::bind(USUAL).is_err();
            flags = flags.with("listen", if is_usual_taken { "127.0.0.1:0" } else { USUAL });
        }
        if flags.get("log").is_none() && environment.first_of(&["PLUGD_LOG"]).is_none() {
            flags = flags.with("log", LOG);
        }
        let config = config::load(&flags, &environment, None)?;
        if config.tls_cert.is_some() || config.tls_self_signed {
            return Err(usage("`plugd dev` serves this machine only and does not encrypt")
                .hint("leave out --tls-cert, --tls-self-signed and their variables; `plugd serve` takes them"));
        }
        Ok((config, is_usual_taken))
    }

    async fn develop(self, dir: PathBuf, config: Config, options: GlobalOptions, ui: Ui) -> Result<(), Failure> {
        let stop = stop_token()?;
        stop_with_terminal(&stop)?;
        let (begin, data_dir, manifest) = (SystemTime::now(), config.data_dir.clone(), self.manifest.manifest.clone());
        let session = |api| Session { dir, manifest, data_dir, api, ui, begin, stop: stop.clone() };
        if self.external && options.server.is_some() {
            let session = session(Api::connect(&options).await?);
            return external::run(&session, &self.command).await.map_err(|failure| session.api.explain(failure));
        }
        let (tell, told) = oneshot::channel();
        let (folder, stopped) = (config.data_dir.clone(), stop.clone());
        let server = tokio::spawn(async move {
            let on_ready = |ready| drop(tell.send(ready));
            // A session's settings do not change: SIGHUP ends it.
            let served =
                Box::pin(app::serve(config, examination(None), stopped.clone(), mpsc::channel(1).1, on_ready)).await;
            stopped.cancel();
            served
        });
        let work = async {
            let Ok(ready) = told.await else { return Ok(()) };
            let link = ready.link();
            let session = session(Api::connect(&own_server(ready, folder)).await?);
            if let Some(link) = link {
                session.say(&format!("console, for one browser: {link}"));
            }
            let done = Box::pin(self.work(&session)).await;
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
    async fn work(&self, session: &Session) -> Result<(), Failure> {
        let (server, folder) = (session.api.server(), quoted_path(&session.data_dir));
        let plugd = env::current_exe().map_or_else(|_| "plugd".to_owned(), |path| quoted_path(&path));
        session.say(&format!("serving on {server}"));
        session.say(&format!("in another terminal: {plugd} --server {server} --data-dir {folder} list"));
        if self.external {
            return external::run(session, &self.command).await;
        }
        let own = session.dir.join(BUILD).is_file().then(|| format!("./{BUILD}"));
        let deployed = deploy::run(session, self.build.as_deref().or(own.as_deref()));
        session.stop.run_until_cancelled(deployed).await.unwrap_or(Ok(()))
    }
}

/// How the server of a session, whose data are in this folder, is reached from this machine.
fn own_server(ready: Ready, data_dir: PathBuf) -> GlobalOptions {
    let url = ready.local_url();
    let token = ready.admin_token.map(|token| token.secret.expose().to_owned());
    GlobalOptions { server: Some(url), token, data_dir: Some(data_dir), ..GlobalOptions::default() }
}

/// The plugin's folder, the server and the screen that the parts of a session share.
#[derive(Clone)]
struct Session {
    /// The plugin's folder.
    dir: PathBuf,
    /// Its manifest, if it is not where it usually is.
    manifest: Option<PathBuf>,
    /// plugd's data folder, which is no part of the plugin even when it is within its folder.
    data_dir: PathBuf,
    api: Api,
    ui: Ui,
    /// The time when the session began.
    begin: SystemTime,
    stop: CancellationToken,
}

impl Session {
    /// Says something about the session itself.
    fn say(&self, text: &str) {
        self.tell(text, Style::Plain);
    }

    fn complain(&self, failure: &Failure) {
        failure.to_string().lines().for_each(|line| self.tell(line, Style::Red));
    }

    /// Says what failed, and what the author can do about it: the server's own advice is for people without the folder.
    fn failed(&self, failure: Failure) {
        let hint = failure.hint.clone().filter(|_| failure.reason.is_none());
        self.complain(&Failure { hint, ..failure });
        self.say("correct it and save a file: it is tried again then");
    }

    fn tell(&self, text: &str, style: Style) {
        let text = self.ui.paint(style, &sanitize_line(text));
        self.print(&format!("{}{text}", self.prefix("dev", Style::Cyan)));
    }

    /// Prints a line as it is. When nobody reads any longer, the session goes on all the same.
    fn print(&self, text: &str) {
        let _ = self.ui.line(text);
    }

    /// The words before the lines of one source.
    fn prefix(&self, source: &str, style: Style) -> String {
        self.ui.paint(style, &format!("{source:>5} | "))
    }

    fn folder(&self) -> Folder<'_> {
        Folder { dir: &self.dir, manifest: self.manifest.as_deref(), except: slice::from_ref(&self.data_dir) }
    }

    /// The plugin that has this manifest id, unless it is one of the other mode.
    async fn installed(&self, id: &str, mode: PluginMode) -> Result<Option<Plugin>, Failure> {
        let plugins = with_manifest_id(&self.api, id).await?;
        match plugins.iter().find(|plugin| plugin.mode() != mode) {
            None => Ok(plugins.into_iter().next()),
            Some(other) => {
                let is_there = format!("{} has the manifest id {id:?} already, and is {}", other.id, show::mode(other));
                Err(Failure::new(is_there).hint("delete that plugin, or give this one another id").exit(Exit::Conflict))
            }
        }
    }
}

/// A path as a word of a shell's, from the root: the lines are good in any terminal, whatever folder it is in.
fn quoted_path(path: &Path) -> String {
    quoted(absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Prints where everything is and how to reach it.
fn print_how_to_reach(session: &Session, plugin: &Plugin) {
    let grpcurl = env::var_os("PATH").and_then(|path| find_program("grpcurl", &path));
    let grpcurl = grpcurl.map_or_else(|| "grpcurl".to_owned(), |path| quoted_path(&path));
    let title = format!("  {} runs as {}", sanitize(&plugin.name), plugin.id);
    session.print(&format!("\n{}", session.ui.paint(Style::Bold, &title)));
    session.print(&commands(session.api.server(), session.api.token(), &plugin.id, &grpcurl));
}

/// The lines that can be pasted into another terminal.
fn commands(server: &str, token: &str, id: &str, grpcurl: &str) -> String {
    let address = server.trim_start_matches("http://");
    let header = format!("-H 'authorization: Bearer {token}'");
    let call = format!("{grpcurl} -plaintext {header} -d");
    let patch = format!("curl -X PATCH {header} -H 'content-type: application/json' -d");
    let plugin = format!("{server}/api/plugins/{id}");
    format!(
        r#"
  gRPC    {address}
  REST    {server}/api/plugins
  plugins ws://{address}/rpc
  token   {token}

  # show it, watch every change, stop it, start it, follow its log
  {call} '{{"plugin_id":"{id}"}}' {address} plugd.v1.PluginService/GetPlugin
  {call} '{{}}' {address} plugd.v1.PluginService/WatchState
  {call} '{{"plugin_id":"{id}","active_state":"ACTIVE_STATE_INACTIVE"}}' {address} plugd.v1.PluginService/SetActiveState
  {call} '{{"plugin_id":"{id}","active_state":"ACTIVE_STATE_ACTIVE"}}' {address} plugd.v1.PluginService/SetActiveState
  {call} '{{"plugin_ids":["{id}"],"follow":true}}' {address} plugd.v1.LogService/StreamLogs

  # the same over REST
  curl {header} {plugin}
  {patch} '{{"active":"inactive"}}' {plugin}/active
  {patch} '{{"active":"active"}}' {plugin}/active
"#
    )
}

/// Prints the state of these plugins (none given = all) and its changes, until dropped.
fn follow_states(session: &Session, plugin_ids: Vec<String>) -> AbortOnDropHandle<()> {
    let request = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
    let printer = watch::Printer::new(session.ui.clone(), session.prefix("state", Style::Yellow));
    follow(session, States::new(request, printer))
}

/// Prints what a plugin has printed since the session began, and goes on until dropped.
fn follow_log(session: &Session, plugin_id: &str) -> AbortOnDropHandle<()> {
    let (plugin_ids, since_time) = (vec![plugin_id.to_owned()], Some(session.begin.into()));
    let request = StreamLogsRequest { plugin_ids, since_time, follow: true, ..StreamLogsRequest::default() };
    let printer = logs::Printer::with_prefix(session.ui.clone(), session.prefix("log", Style::Green));
    follow(session, logs::Lines::new(request, printer))
}

fn follow(session: &Session, mut stream: impl Resumable + Send + 'static) -> AbortOnDropHandle<()> {
    let session = session.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(failure) = resume(&session.api, &mut stream, &session.stop).await {
            session.complain(&failure);
        }
    }))
}

#[cfg(test)]
mod tests;
