//! Options that every subcommand has.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use tonic::codegen::http::Uri;

use super::{
    credential::Credential,
    failure::{Exit, Failure},
};
use crate::{
    app::{MAX_TOKEN_FILE, TOKEN_FILE},
    files,
    tls::Trust,
};

/// Where a server is expected when nobody says.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";
/// Where the data folder is expected when nobody says.
const DEFAULT_DATA_DIR: &str = "./data";

/// Options that every subcommand has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Options {
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

/// Form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one document, or one object a line where lines come one by one.
    Json,
}

/// When to print in colour.
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

impl Options {
    /// The same, with what the environment says where the command line says nothing. Not left to the parser, which would
    /// then take the variables for arguments and show them in every usage line.
    #[must_use]
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

    /// The server's address, without a slash at its end.
    #[must_use]
    pub(super) fn server(&self) -> &str {
        let given = self.server.as_deref().filter(|server| !server.is_empty());
        given.unwrap_or(DEFAULT_SERVER).trim_end_matches('/')
    }

    /// Which server to believe, and how to say who calls.
    #[must_use]
    pub(super) fn trust(&self) -> Trust {
        let (authority, certificate, key) = (self.cacert.clone(), self.cert.clone(), self.key.clone());
        Trust { authority, is_blind: self.insecure, certificate, key }
    }

    /// The token to show: the one given, else the one in the data folder. The latter goes to another machine only if the
    /// folder was named, so that a local token is not sent away by accident.
    ///
    /// # Errors
    /// A named data folder whose token can't be read.
    pub(super) fn credential(&self) -> Result<Credential, Failure> {
        if let Some(token) = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            return Ok(Credential::Given(token.to_owned()));
        }
        let folder = match &self.data_dir {
            None if !is_local(self.server()) => return Ok(Credential::Withheld),
            None => Path::new(DEFAULT_DATA_DIR),
            Some(folder) => folder,
        };
        let file = folder.join(TOKEN_FILE);
        match read_token(folder) {
            Ok(token) => Ok(Credential::Found { token, file }),
            Err(error) if self.data_dir.is_none() || error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Credential::Missing { file, why: error.to_string() })
            }
            Err(error) => Err(Failure::new(format!("can't read {}: {error}", file.display()))
                .hint("run this as the user who runs the server, or give a token with --token")
                .exit(Exit::Denied)),
        }
    }
}

/// The administrator's token in a data folder.
///
/// # Errors
/// It is not there or can't be read.
pub(super) fn read_token(folder: &Path) -> std::io::Result<String> {
    Ok(files::read_text(&folder.join(TOKEN_FILE), MAX_TOKEN_FILE)?.trim().to_owned())
}

/// Does a variable that is yes or no say yes?
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
mod tests {
    use std::fs;

    use super::*;

    fn folder_with_token() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TOKEN_FILE), "\u{feff}found \r\n\n").unwrap();
        folder
    }

    #[test]
    fn the_token_given_beats_the_one_in_the_data_folder() {
        let folder = folder_with_token();
        let mut options = Options { data_dir: Some(folder.path().into()), ..Options::default() };
        assert_eq!(options.credential().unwrap().token(), Some("found"));
        options.token = Some("given".to_owned());
        assert_eq!(options.credential().unwrap().token(), Some("given"));
    }

    #[test]
    fn a_folder_without_a_token_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { data_dir: Some(folder.path().into()), ..Options::default() };
        assert_eq!(options.credential().unwrap().token(), None);
    }

    #[test]
    fn a_token_found_by_itself_does_not_leave_this_machine() {
        let options = Options { server: Some("http://example.com".to_owned()), ..Options::default() };
        assert_eq!(options.credential().unwrap(), Credential::Withheld);
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_an_empty_variable_is_none() {
        let environment = |name: &str| match name {
            "PLUGD_SERVER" => Some("http://env".into()),
            "PLUGD_TOKEN" => Some(" ".into()),
            _ => None,
        };
        let given = Options { server: Some("http://given".to_owned()), ..Options::default() };
        assert_eq!(given.or_from(environment).server(), "http://given");
        let options = Options::default().or_from(environment);
        assert_eq!((options.server(), options.token.as_deref()), ("http://env", None));
    }

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        for server in ["http://localhost:8000", "http://127.0.0.1:1", "http://127.8.0.1", "http://[::1]:8000"] {
            assert!(is_local(server), "{server}");
        }
        for server in ["http://example.com", "http://localhost.example.com", "http://10.0.0.1:8000", "nonsense"] {
            assert!(!is_local(server), "{server}");
        }
    }
}
