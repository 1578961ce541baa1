//! The settings of the server of a development session, and how it is reached.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use super::Home;
use crate::{
    app::Ready,
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
/// What is logged unless somebody says otherwise: what a session tells by itself is not said twice.
const LOG: &str = "warn,plugd::app::glue=error";

/// The settings of a session.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) data_dir: PathBuf,
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
pub(super) struct Access {
    pub(super) address: SocketAddr,
    /// The administrator's token.
    pub(super) token: String,
}

impl Access {
    /// How a server that is ready is reached.
    pub(super) fn of(ready: Ready, data_dir: &Path) -> Result<Self, Failure> {
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

    pub(super) fn options(&self) -> Options {
        let server = Some(format!("http://{}", self.address));
        Options { server, token: Some(self.token.clone()), ..Options::default() }
    }
}
