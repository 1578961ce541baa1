//! The server of a development session, in this process.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::session::Home;
use crate::{
    app::{self, Ready},
    cli::{
        failure::{Exit, Failure},
        options::{Options, read_token},
        serve::with_data_dir,
    },
    config::{self, Config, Environment, Flags},
};

/// Folder of the data of development sessions.
const DATA_DIR: &str = ".plugd-dev";
/// The address that is tried first.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// A server that runs in a task.
#[derive(Debug)]
pub(super) struct Server {
    task: Option<JoinHandle<anyhow::Result<()>>>,
    address: SocketAddr,
    data_dir: PathBuf,
    token: Option<String>,
}

/// What is logged unless somebody says otherwise: what a session tells by itself is not said twice.
const LOG: &str = "warn,plugd::app::glue=error";

/// The settings of a session.
#[derive(Debug)]
pub(super) struct Settings {
    /// Those of its server.
    pub(super) config: Config,
    /// Whose data folder it is on.
    pub(super) home: Home,
    /// The usual address, if another program has it.
    pub(super) taken: Option<SocketAddr>,
}

/// The settings of a session: those of `plugd serve`, but with a data folder, a port and a quieter log of its own.
pub(super) fn settings(flags: &Flags<Config>, options: &Options, dir: &Path) -> Result<Settings, Failure> {
    let (environment, mut taken, mut home) = (Environment::of_process::<Config>()?, None, Home::Named);
    let mut flags = with_data_dir(flags.clone(), options)?;
    if flags.get("data_dir").is_none() {
        home = Home::Own;
        let name = dir.file_name().unwrap_or_default();
        flags = flags.with("data_dir", Path::new(DATA_DIR).join(name).to_string_lossy());
    }
    if flags.get("listen").is_none() && environment.first_of(&["PLUGD_LISTEN", "LISTEN_ADDR"]).is_none() {
        let (address, is_usual) = free_address();
        taken = (!is_usual).then_some(USUAL);
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
    Ok(Settings { config, home, taken })
}

/// The usual address if it is free, else any; and which of both.
fn free_address() -> (SocketAddr, bool) {
    let is_free = TcpListener::bind(USUAL).is_ok();
    (if is_free { USUAL } else { SocketAddr::new(USUAL.ip(), 0) }, is_free)
}

impl Server {
    /// Starts a server and waits until it serves.
    pub(super) async fn start(config: Config, stop: CancellationToken) -> Result<Self, Failure> {
        let (tell, told) = oneshot::channel::<Ready>();
        let data_dir = config.data_dir.clone();
        let on_ready = move |ready| {
            // Nobody waits any longer when the session was interrupted meanwhile.
            let _ = tell.send(ready);
        };
        // A session's settings do not change: SIGHUP ends it.
        let renewed = mpsc::channel(1).1;
        let task = tokio::spawn(async move { Box::pin(app::serve(config, stop, renewed, on_ready)).await });
        match told.await {
            Ok(ready) => Ok(Self {
                task: Some(task),
                address: ready.address,
                data_dir,
                token: ready.admin_token.map(|token| token.secret),
            }),
            Err(_) => {
                Err(joined(task).await.err().unwrap_or_else(|| Failure::new("the server ended before it served")))
            }
        }
    }

    /// Waits until it has ended. At once when that was already seen.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let done = joined(task).await;
        self.task = None;
        done
    }

    /// How it is reached.
    pub(super) fn access(&self) -> Result<Access, Failure> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => read_token(&self.data_dir).map_err(|error| {
                Failure::new(format!("can't read admin.token in {}: {error}", self.data_dir.display()))
                    .hint("remove that folder to begin anew")
            })?,
        };
        Ok(Access { address: reachable(self.address), token })
    }
}

/// How a server is reached from this machine.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The administrator's token.
    pub(super) token: String,
}

impl Access {
    /// Options for a client.
    pub(super) fn options(&self) -> Options {
        let server = Some(format!("http://{}", self.address));
        Options { server, token: Some(self.token.clone()), ..Options::default() }
    }
}

/// The address to dial for one to listen on: "any" is no place to go to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host: IpAddr = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(host, address.port())
}

async fn joined(task: impl Future<Output = Result<anyhow::Result<()>, tokio::task::JoinError>>) -> Result<(), Failure> {
    match task.await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::new(format!("the server broke off: {error}"))),
    }
}
