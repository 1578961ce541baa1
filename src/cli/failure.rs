//! The failure of a command: words, a hint, and an exit code that scripts can use.

use std::{collections::BTreeMap, error::Error, fmt, io};

use anyhow::Chain;
use serde_json::{Value, json};
use tokio_rustls::rustls;
use tonic::{Code, Status, transport};
use tonic_types::{ErrorInfo, StatusExt};

use super::usage;
use crate::{
    api, config,
    domain::{self, text::sanitize},
    tls,
};

/// Exit codes. Stable; [`EXIT_CODES`] is their documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Exit {
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    PluginFailed = 5,
    Conflict = 6,
    Timeout = 7,
    Unavailable = 8,
    Refused = 9,
}

impl Exit {
    /// `plugd plan` has found something to do.
    pub(super) const TO_DO: Self = Self::Usage;
}

/// The exit codes as `plugd --help` shows them.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  it failed for a reason not listed here
  2  the command line or the settings are wrong; of `plugd plan`: there is something to do (and what is wrong is 1)
  3  there is no such plugin, token, package or file
  4  no token, a bad one, or one that is not good for this
  5  the plugin failed, or answered with an error
  6  conflict: it is there already, or something else came first
  7  the time is up; what was asked for may still happen
  8  the server can't be reached, or can't answer now
  9  refused: a package, manifest or configuration that is not valid, or not possible for this plugin now
Of several plugins that a command is for, the highest code counts.

With -o json standard output is one JSON document: an object, or an array where there may be several; where lines come one \
by one (watch, logs) it is one object a line. Standard error has one object a line: {\"note\": TEXT} for remarks, and last \
{\"error\": {\"exit_code\", \"message\", \"hint\", \"reason\"}} if the command failed. If that was for several plugins, the error \
has \"plugins\", too: an object with such an error for each plugin for which it failed.";

/// Why a command failed: words, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) what: String,
    pub(super) hint: Option<String>,
    /// The server's own word for it, `PLUGIN_NOT_FOUND`.
    pub(super) reason: Option<String>,
    /// Why a command for several plugins failed for some of them, by what those were called.
    pub(super) plugins: BTreeMap<String, Failure>,
    /// The reader of the output has gone away, as `head` does.
    pub(super) is_closed_pipe: bool,
    /// All that there is to say has been said: only the exit code is left.
    pub(super) is_told: bool,
}

impl Failure {
    /// A failure in these words, exit code 1.
    pub(super) fn new(what: impl Into<String>) -> Self {
        let plugins = BTreeMap::new();
        let (is_closed_pipe, is_told) = (false, false);
        Self { exit: Exit::Failure, what: what.into(), hint: None, reason: None, plugins, is_closed_pipe, is_told }
    }

    /// No failure, but an exit code.
    pub(super) fn told(exit: Exit) -> Self {
        Self { is_told: true, ..Self::new("").exit(exit) }
    }

    /// The same of `plugd plan`, with another exit code if it could be taken for [`Exit::TO_DO`].
    pub(super) fn of_plan(self) -> Self {
        if self.exit == Exit::TO_DO && !self.is_told { self.exit(Exit::Failure) } else { self }
    }

    /// The failure of a command that is not done for these of `count` plugins, with the highest of their exit codes.
    pub(super) fn of_several(plugins: BTreeMap<String, Failure>, count: usize, done: &str) -> Self {
        let exit = plugins.values().map(|failure| failure.exit).max().unwrap_or(Exit::Failure);
        let what = format!("{} of {count} plugins are not {done}", plugins.len());
        Self { plugins, ..Self::new(what).exit(exit) }
    }

    /// The same with what it is about in front.
    pub(super) fn about(self, context: impl fmt::Display) -> Self {
        Self { what: format!("{context}: {}", self.what), ..self }
    }

    /// The same with what else is to be known of it.
    pub(super) fn and(self, context: impl fmt::Display) -> Self {
        Self { what: format!("{}; {context}", self.what), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    pub(super) fn has_reason(&self, reason: &str) -> bool {
        self.reason.as_deref() == Some(reason)
    }

    /// The object that programs get, behind the key `error`.
    pub(super) fn json(&self) -> Value {
        let Self { exit, what, hint, reason, plugins, .. } = self;
        let mut error = json!({"exit_code": *exit as u8, "message": what, "hint": hint, "reason": reason});
        if !plugins.is_empty() {
            error["plugins"] = plugins.iter().map(|(plugin, failure)| (plugin.clone(), failure.json())).collect();
        }
        error
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (plugin, failure) in &self.plugins {
            writeln!(f, "{}", failure.clone().about(plugin))?;
        }
        write!(f, "error: {}", sanitize(&self.what))?;
        let Some(hint) = &self.hint else { return Ok(()) };
        let lines: Vec<String> = hint.lines().map(sanitize).collect();
        write!(f, "\n  hint: {}", lines.join("\n"))
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // The details that plugd adds for programs to an error of its own.
        let info = status.get_details_error_info().filter(|info| info.domain == api::ERROR_DOMAIN);
        let exit = exit_of(&status, info.as_ref().map_or("", |info| &info.reason));
        // A deadline is one of the transport's errors too.
        let source = status.source().filter(|_| exit != Exit::Timeout);
        if let Some(error) = source.and_then(<dyn Error>::downcast_ref::<transport::Error>) {
            return Self::from(error).about("the connection broke");
        }
        let message = status.message();
        if status.code() == Code::Internal
            && ["protocol error", "h2 protocol error"].iter().any(|it| message.starts_with(it))
        {
            return Self::new(format!("what answers there does not speak plugd's language: {message}"))
                .hint("name plugd's own address, not a shim's; one that encrypts begins with https://")
                .exit(Exit::Unavailable);
        }
        let what = if message.is_empty() { status.code().description() } else { message };
        let failure = Self::new(what).exit(exit);
        let Some(info) = info else { return failure };
        let is_put_back = info.metadata.contains_key("going_back_to");
        let failure = if is_put_back { failure.and("the package before this one is put back") } else { failure };
        Self { hint: suggestion(&info), reason: Some(info.reason), ..failure }
    }
}

/// A connection that can't be made, or that broke: the cause at the bottom, and what to do about it.
impl From<&transport::Error> for Failure {
    fn from(error: &transport::Error) -> Self {
        let mut chain = Chain::new(error);
        let last = chain.clone().last().map(ToString::to_string).unwrap_or_default();
        let of_encryption = |error: &'_ (dyn Error + 'static)| {
            error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>().cloned()
        };
        let (what, hint) = match chain.find_map(of_encryption) {
            // No server that encrypts answers so, whatever the client says.
            Some(rustls::Error::InvalidMessage(_)) => {
                ("what answers there does not encrypt".to_owned(), "write its address with http:// instead of https://")
            }
            Some(rustls::Error::InvalidCertificate(_)) => (last, OF_CERTIFICATES),
            Some(rustls::Error::AlertReceived(_)) => {
                (last, "the server may want to see a certificate: --cert and --key, or PLUGD_CERT and PLUGD_KEY")
            }
            _ => (last, OF_CONNECTIONS),
        };
        Self::new(what).hint(hint).exit(Exit::Unavailable)
    }
}

const OF_CERTIFICATES: &str = "the server's certificate must be for the name in the address and not expired; who vouches \
    for it, or the certificate itself, is named with --cacert or PLUGD_CACERT; to try without, --insecure believes anybody";
const OF_CONNECTIONS: &str = "start a server with `plugd serve`, or name one with --server; the address of one that encrypts \
    begins with https://, and one that asks for certificates is shown yours with --cert and --key";

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::FileTooLarge => Exit::Refused,
            _ => Exit::Failure,
        };
        let is_closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_closed_pipe, ..Self::new(error.to_string()).exit(exit) }
    }
}

/// The refusal of a package or manifest, in the server's own words.
impl From<domain::Error> for Failure {
    fn from(error: domain::Error) -> Self {
        let failure = Self::new(error.message).hint(error.reason.suggestion()).exit(Exit::Refused);
        Self { reason: Some(error.reason.name().to_owned()), ..failure }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        usage(error.to_string()).hint("`plugd serve --help` and `plugd rest --help` list every setting")
    }
}

/// The error that keeps a server from starting. A cause that the words before it have said already is not said again: errors of some
/// libraries print their own cause too.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let words = error
            .chain()
            .map(ToString::to_string)
            .reduce(|said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") });
        let failure = Self::new(words.unwrap_or_default());
        match (error.downcast_ref::<io::Error>().map(io::Error::kind), error.downcast_ref::<tls::Error>()) {
            (Some(io::ErrorKind::AddrInUse), _) => {
                failure.hint("another program has it: name another address with --listen")
            }
            (Some(io::ErrorKind::AddrNotAvailable), _) => failure
                .hint("this machine has no such address: name one that it has, or 0.0.0.0 for all, with --listen"),
            (_, Some(tls::Error::Unmade(_) | tls::Error::Unwritable { .. }) | None) => failure,
            (_, Some(_)) => failure.exit(Exit::Usage).hint("`plugd serve --help` tells what each --tls-… option takes"),
        }
    }
}

fn exit_of(status: &Status, reason: &str) -> Exit {
    match (status.code(), reason) {
        (_, "PLUGIN_FAILED" | "PLUGIN_CALL_FAILED" | "CONFIGURATION_REJECTED") => Exit::PluginFailed,
        (Code::ResourceExhausted, "TOO_LARGE") => Exit::Refused,
        (Code::ResourceExhausted, "TOO_MANY_FAILED_ATTEMPTS") => Exit::Denied,
        (Code::NotFound, _) => Exit::NotFound,
        (Code::Unauthenticated | Code::PermissionDenied, _) => Exit::Denied,
        (Code::Aborted | Code::AlreadyExists, _) => Exit::Conflict,
        (Code::DeadlineExceeded, _) => Exit::Timeout,
        (Code::Cancelled, _) if status.message().contains("Timeout expired") => Exit::Timeout,
        (Code::Unavailable | Code::Cancelled, _) => Exit::Unavailable,
        (Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange, _) => Exit::Refused,
        _ => Exit::Failure,
    }
}

/// The stage of a failure before which no process ran (CONTRACT 8.3).
const START: &str = "start";

/// Tells what to do: as commands for a plugin that failed, else in the server's words.
fn suggestion(info: &ErrorInfo) -> Option<String> {
    let about = |key: &str| info.metadata.get(key).map(String::as_str);
    match about("plugin_id").filter(|_| info.reason == "PLUGIN_FAILED") {
        Some(plugin) => Some(remedy(plugin, about("stage").is_some_and(|stage| stage != START))),
        None => about(api::SUGGESTED).map(str::to_owned),
    }
}

/// Tells what to do about a plugin that failed. Its log says why if it has run.
pub(super) fn remedy(plugin: &str, has_run: bool) -> String {
    let look = if has_run { format!("`plugd logs {plugin}` shows what it printed; ") } else { String::new() };
    format!(
        "{look}correct it, then `plugd update {plugin} DIR`; `plugd activate {plugin}` tries the same package once more"
    )
}

#[cfg(test)]
mod tests;
