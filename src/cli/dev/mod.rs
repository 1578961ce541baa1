//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

mod changes;
mod deploy;
mod external;
mod output;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    slice,
};

use clap::Args;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Api, with_manifest_id},
    failure::{Exit, Failure},
    in_many_threads, lifecycle,
    options::{Options, Output, read_token},
    package::{BUILD, Folder, ManifestArg, Package},
    serve::{stop_token, stop_with_terminal, with_data_dir},
    show,
    ui::{Screen, Style, Ui, quoted, sanitize, sanitize_line},
};
use crate::{
    api::v1::{Plugin, PluginMode},
    app::{self, Ready},
    config::{self, Config, Environment, Flags},
    telemetry,
};
use changes::Changes;

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
        let settings = settings(&self.flags, &options, &dir)?;
        telemetry::install(&settings.config.log, settings.config.log_format, &screen.errors)?;
        in_many_threads(self.develop(dir, settings, options, screen.ui.clone().in_words()))
    }

    async fn develop(self, dir: PathBuf, settings: Settings, options: Options, ui: Ui) -> Result<(), Failure> {
        let stop = stop_token()?;
        stop_with_terminal(&stop)?;
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
#[derive(Clone)]
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
    async fn installed(&self, id: &str, mode: PluginMode) -> Result<Option<Plugin>, Failure> {
        let plugins = with_manifest_id(&self.api, id).await?;
        let (same, other): (Vec<_>, Vec<_>) = plugins.into_iter().partition(|plugin| plugin.mode() == mode);
        for plugin in other {
            if self.home != Home::Own {
                return Err(self.taken(id, &plugin));
            }
            let mode = show::mode(&plugin);
            self.say(&format!("{} is of an earlier session and {mode}: it is removed", plugin.id));
            lifecycle::delete(&self.api, plugin.id).await?;
        }
        Ok(same.into_iter().next())
    }

    fn taken(&self, id: &str, plugin: &Plugin) -> Failure {
        let (id, mode) = (sanitize(id), show::mode(plugin));
        let server = match self.home {
            Home::Elsewhere => String::new(),
            Home::Own | Home::Named => format!(" on `plugd serve --data-dir {}`", quoted(&self.data_dir)),
        };
        Failure::new(format!("{} has the manifest id {id:?} already, and is {mode}", plugin.id))
            .hint(format!("delete it with `plugd delete {}`{server}, or give this one another id", plugin.id))
            .exit(Exit::Conflict)
    }
}

/// Folder of the data of development sessions.
const DATA_DIR: &str = ".plugd-dev";
/// The address that is tried first.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// What is logged unless somebody says otherwise: a session tells by itself what plugd logs as information.
const LOG: &str = "warn";

/// The settings of a session.
#[derive(Debug)]
struct Settings {
    config: Config,
    data_dir: PathBuf,
    home: Home,
    /// The usual address, if another program has it.
    taken: Option<SocketAddr>,
}

/// The settings of a session: those of `plugd serve`, but with a data folder, a port and a quieter log of its own.
fn settings(flags: &Flags<Config>, options: &Options, dir: &Path) -> Result<Settings, Failure> {
    let (environment, mut taken, mut home) = (Environment::of_process::<Config>()?, None, Home::Named);
    let mut flags = with_data_dir(flags.clone(), options)?;
    if flags.get("data_dir").is_none() {
        home = Home::Own;
        let name = dir.file_name().unwrap_or_default();
        flags = flags.with("data_dir", Path::new(DATA_DIR).join(name).to_string_lossy());
    }
    if flags.get("listen").is_none() && environment.first_of(&["PLUGD_LISTEN", "LISTEN_ADDR"]).is_none() {
        let is_free = TcpListener::bind(USUAL).is_ok();
        taken = (!is_free).then_some(USUAL);
        let address = if is_free { USUAL } else { SocketAddr::new(USUAL.ip(), 0) };
        flags = flags.with("listen", address.to_string());
    }
    if flags.get("log").is_none() && environment.first_of(&["PLUGD_LOG"]).is_none() {
        flags = flags.with("log", LOG);
    }
    let config = config::load(&flags, &environment, None)?;
    if config.tls_cert.is_some() || config.tls_self_signed {
        return Err(Failure::new("`plugd dev` serves this machine only and does not encrypt")
            .hint("leave out --tls-cert, --tls-self-signed and their variables; for a server that encrypts: `plugd serve`, then `plugd install`")
            .exit(Exit::Usage));
    }
    Ok(Settings { data_dir: config.data_dir.clone(), config, home, taken })
}

/// How a server is reached from this machine.
#[derive(Debug, Clone)]
struct Access {
    address: SocketAddr,
    /// The administrator's token.
    token: String,
}

impl Access {
    /// How a server that is ready is reached.
    fn of(ready: Ready, data_dir: &Path) -> Result<Self, Failure> {
        let mut address = ready.address;
        if address.ip().is_unspecified() {
            let is_v4 = address.is_ipv4();
            address.set_ip(if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        let found = ready.admin_token.map_or_else(|| read_token(data_dir), |token| Ok(token.secret));
        let token = found.map_err(|error| {
            Failure::new(format!("can't read admin.token in {}: {error}", data_dir.display()))
                .hint("remove that folder to begin anew")
        })?;
        Ok(Self { address, token })
    }

    fn options(&self) -> Options {
        let server = Some(format!("http://{}", self.address));
        Options { server, token: Some(self.token.clone()), ..Options::default() }
    }
}

#[cfg(test)]
mod tests;
