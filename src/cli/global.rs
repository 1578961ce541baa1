//! The options that every command has: which server, whom it is told that calls, and how things are printed.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use tonic::codegen::http::Uri;

use super::failure::{Exit, Failure};
use crate::{
    app::{MAX_TOKEN_FILE, TOKEN_FILE},
    files,
    tls::Trust,
};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";
const DEFAULT_DATA_DIR: &str = "./data";

/// The options that every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct GlobalOptions {
    /// Server to talk to [env: PLUGD_SERVER] [default: http://127.0.0.1:8000]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) server: Option<String>,
    /// Token to show it [env: PLUGD_TOKEN] [default: what is in admin.token in the data folder]
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// Data folder of the server [env: PLUGD_DATA_DIR] [default: ./data; of `plugd dev`: ./.plugd-dev/NAME]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Who vouches for an https:// server, or its own certificate, in PEM [env: PLUGD_CACERT] [default: those whom browsers believe]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// Believe any https:// server, whoever it is: only for trying [env: PLUGD_INSECURE=true]
    #[arg(long, global = true)]
    pub(super) insecure: bool,
    /// Certificate to show a server that asks for one, in PEM; with --key [env: PLUGD_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// Private key of --cert, in PEM [env: PLUGD_KEY]
    #[arg(id = "client_key", long = "key", global = true, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Form of what is printed
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(super) output: Output,
    /// When to print in colour; NO_COLOR is respected
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one document, or one object a line where lines come one by one.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl GlobalOptions {
    /// The same, with what the environment says where the command line says nothing. Not left to the parser, which would
    /// then take the variables for arguments and show them in every usage line.
    pub(super) fn or_from(self, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name| environment(name)?.into_string().ok().filter(|text| !text.trim().is_empty());
        let path = |name| environment(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            server: self.server.or_else(|| variable("PLUGD_SERVER")),
            token: self.token.or_else(|| variable("PLUGD_TOKEN")),
            data_dir: self.data_dir.or_else(|| path("PLUGD_DATA_DIR")),
            cacert: self.cacert.or_else(|| path("PLUGD_CACERT")),
            insecure: self.insecure || variable("PLUGD_INSECURE").is_some_and(|said| is_yes(&said)),
            cert: self.cert.or_else(|| path("PLUGD_CERT")),
            key: self.key.or_else(|| path("PLUGD_KEY")),
            ..self
        }
    }

    pub(super) fn server(&self) -> &str {
        let given = self.server.as_deref().filter(|server| !server.is_empty());
        given.unwrap_or(DEFAULT_SERVER).trim_end_matches('/')
    }

    /// Which server to believe, and how to say who calls.
    pub(super) fn trust(&self) -> Trust {
        let (authority, certificate, key) = (self.cacert.clone(), self.cert.clone(), self.key.clone());
        Trust { authority, is_blind: self.insecure, certificate, key }
    }

    /// The token to show: the one given, else the one in the data folder. The latter goes to another machine only if the
    /// folder was named, so that a local token is not sent away by accident.
    pub(super) fn credential(&self) -> Result<Credential, Failure> {
        if let Some(token) = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            return Ok(Credential { token: Some(token.to_owned()), hint: OF_GIVEN.to_owned() });
        }
        let folder = match &self.data_dir {
            None if !is_local(self.server()) => return Ok(Credential { token: None, hint: OF_NONE.to_owned() }),
            None => Path::new(DEFAULT_DATA_DIR),
            Some(folder) => folder,
        };
        let path = folder.join(TOKEN_FILE);
        let file = path.display();
        match read_token(folder) {
            Ok(token) => {
                let hint = format!(
                    "the token in {file} is not one of this server's: name the server's own folder with --data-dir, or \
                     give a token with --token or PLUGD_TOKEN; where that folder has had another database before, the \
                     token is in {file}.new (or .new.2, ...)"
                );
                Ok(Credential { token: Some(token), hint })
            }
            Err(error) if self.data_dir.is_none() || error.kind() == std::io::ErrorKind::NotFound => {
                let hint = format!(
                    "neither --token nor PLUGD_TOKEN is given, and {file} can't be read ({error}): give a token, or name \
                     the server's data folder with --data-dir or PLUGD_DATA_DIR"
                );
                Ok(Credential { token: None, hint })
            }
            Err(error) => Err(Failure::new(format!("can't read {file}: {error}"))
                .hint("run this as the user who runs the server, or give a token with --token")
                .exit(Exit::Denied)),
        }
    }
}

const OF_GIVEN: &str = "the token of --token or PLUGD_TOKEN is not one of this server's, or no longer";
const OF_NONE: &str = "neither --token nor PLUGD_TOKEN is given; the token in a data folder is shown to a server on another \
    machine only if --data-dir names that folder";

/// A token, if there is one, and what to do when the server does not know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) token: Option<String>,
    pub(super) hint: String,
}

pub(super) fn read_token(folder: &Path) -> std::io::Result<String> {
    Ok(files::read_text(&folder.join(TOKEN_FILE), MAX_TOKEN_FILE)?.trim().to_owned())
}

fn is_yes(said: &str) -> bool {
    matches!(said.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn is_local(server: &str) -> bool {
    let uri: Option<Uri> = server.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests;
