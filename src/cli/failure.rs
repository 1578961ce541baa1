//! What a command fails with: words, a hint, an exit code that scripts can use.

use std::{error::Error, fmt, io};

use serde_json::{Value, json};
use tonic::{Code, Status, transport};
use tonic_types::{ErrorInfo, StatusExt};

use super::broken;
use crate::{
    api, config,
    domain::{self, terminal::sanitize},
    tls,
};

/// Exit codes. Stable; [`EXIT_CODES`] is their documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// It worked.
    Ok = 0,
    /// Anything that has no code of its own.
    Failure = 1,
    /// The command line or the settings are wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// No token, a bad one, or not one for this.
    Denied = 4,
    /// The plugin failed.
    PluginFailed = 5,
    /// Something else came first.
    Conflict = 6,
    /// Not settled or answered in time.
    Timeout = 7,
    /// The server can't be reached or does not answer now.
    Unavailable = 8,
    /// What was given is not accepted, or not possible as things are.
    Refused = 9,
}

/// The exit codes as `plugd --help` shows them.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  it failed for a reason not listed here
  2  the command line or the settings are wrong
  3  there is no such plugin, token, package or file
  4  no token, a bad one, or one that is not good for this
  5  the plugin failed, or answered with an error
  6  conflict: it is there already, or something else came first
  7  the time is up; what was asked for may still happen
  8  the server can't be reached, or can't answer now
  9  refused: a package, manifest or configuration that is not valid, or not possible for this plugin now
Of several plugins that a command is for, the highest code counts.
With -o json an error is one JSON object on standard error: {\"error\": {\"exit_code\", \"message\", \"hint\", \"reason\"}}.";

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For scripts.
    pub(super) exit: Exit,
    /// What failed.
    pub(super) what: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// The server's own word for it, `PLUGIN_NOT_FOUND`.
    pub(super) reason: Option<String>,
    /// The reader of the output has gone away.
    is_closed_pipe: bool,
}

impl Failure {
    /// A failure in these words, exit code 1.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, what: what.into(), hint: None, reason: None, is_closed_pipe: false }
    }

    /// Did the reader of the output go away, as `head` does?
    #[must_use]
    pub(super) fn is_closed_pipe(&self) -> bool {
        self.is_closed_pipe
    }

    /// The same with what it is about in front.
    #[must_use]
    pub(super) fn about(self, context: impl fmt::Display) -> Self {
        Self { what: format!("{context}: {}", self.what), ..self }
    }

    /// The same with what else is to be known of it.
    #[must_use]
    pub(super) fn and(self, context: impl fmt::Display) -> Self {
        Self { what: format!("{}; {context}", self.what), ..self }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with the server's word for it.
    #[must_use]
    pub(super) fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }

    /// As programs read it.
    #[must_use]
    pub(super) fn json(&self) -> Value {
        let Self { exit, what, hint, reason, .. } = self;
        json!({"error": {"exit_code": *exit as u8, "message": what, "hint": hint, "reason": reason}})
    }

    /// The same with another exit code.
    #[must_use]
    pub(super) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", sanitize(&self.what))?;
        let Some(hint) = &self.hint else { return Ok(()) };
        let lines: Vec<String> = hint.lines().map(sanitize).collect();
        write!(f, "\n  hint: {}", lines.join("\n"))
    }
}

/// The reason that plugd gives programs, if the error is one of its own.
#[must_use]
pub(super) fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == api::ERROR_DOMAIN).then_some(info.reason)
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(error) = broken_connection(&status) {
            return Self::from(error).about("the connection broke");
        }
        if is_gibberish(&status) {
            return Self::new(format!("what answers there does not speak plugd's language: {}", status.message()))
                .hint("name plugd's own address, not a shim's; one that encrypts begins with https://")
                .exit(Exit::Unavailable);
        }
        let hint = status.get_details_error_info().and_then(suggestion);
        let what = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        let hint = hint.or_else(|| own_hint(&status));
        Self { exit: exit_of(&status), hint, reason: reason(&status), ..Self::new(what) }
    }
}

/// The stage of a failure before which no process ran (CONTRACT 8.3).
pub(super) const START: &str = "start";

/// What to do, in the server's words; in those of the command line where it knows a command for it.
fn suggestion(mut info: ErrorInfo) -> Option<String> {
    let suggested = info.metadata.remove(api::SUGGESTED);
    let (stage, plugin) = (info.metadata.get("stage"), info.metadata.get("plugin_id"));
    match (info.reason.as_str(), plugin) {
        ("PLUGIN_NOT_FOUND", _) => Some("`plugd list` shows the plugins and their ids".to_owned()),
        ("PLUGIN_FAILED", Some(plugin)) => Some(remedy(plugin, stage.is_some_and(|stage| stage != START))),
        ("NO_PREVIOUS_PACKAGE", plugin) => {
            let id = plugin.map_or("ID", String::as_str);
            Some(format!("`plugd update {id} DIR` brings the package that you want"))
        }
        ("MANIFEST_ID_MISMATCH", _) => of_mismatch(&info).or(suggested),
        _ => suggested,
    }
}

/// What to do about a plugin that failed, whose log tells why if it has run.
pub(super) fn remedy(plugin: &str, has_run: bool) -> String {
    let look = if has_run { format!("`plugd logs {plugin}` shows what it printed; ") } else { String::new() };
    format!(
        "{look}mend it, then `plugd update {plugin} DIR`; `plugd activate {plugin}` tries the same package once more"
    )
}

/// What to do about a package of another plugin.
fn of_mismatch(info: &ErrorInfo) -> Option<String> {
    let (installed, uploaded) = (info.metadata.get("installed")?, info.metadata.get("uploaded")?);
    Some(format!(
        "the plugin's manifest id is {installed:?}, and this package's {uploaded:?}: `plugd install` makes it a plugin of \
         its own"
    ))
}

/// Did something else than gRPC in the clear come back?
fn is_gibberish(status: &Status) -> bool {
    let message = status.message();
    status.code() == Code::Internal && ["protocol error", "h2 protocol error"].iter().any(|it| message.starts_with(it))
}

/// The error of the connection that ended a call. A deadline is one of the transport's errors too.
fn broken_connection(status: &Status) -> Option<&transport::Error> {
    status.source().filter(|_| exit_of(status) != Exit::Timeout)?.downcast_ref()
}

/// A connection that can't be made, or that broke.
impl From<&transport::Error> for Failure {
    fn from(error: &transport::Error) -> Self {
        let (cause, hint) = broken::why(error);
        let otherwise = "check that the server runs; the address of one that encrypts begins with https://, and one \
                         that asks for certificates is shown yours with --cert and --key";
        Self::new(cause).hint(hint.unwrap_or(otherwise)).exit(Exit::Unavailable)
    }
}

fn exit_of(status: &Status) -> Exit {
    if matches!(reason(status).as_deref(), Some("PLUGIN_FAILED" | "PLUGIN_CALL_FAILED" | "CONFIGURATION_REJECTED")) {
        return Exit::PluginFailed;
    }
    match status.code() {
        Code::Ok => Exit::Ok,
        Code::NotFound => Exit::NotFound,
        Code::Unauthenticated | Code::PermissionDenied => Exit::Denied,
        Code::Aborted | Code::AlreadyExists => Exit::Conflict,
        Code::DeadlineExceeded => Exit::Timeout,
        Code::Cancelled if status.message().contains("Timeout expired") => Exit::Timeout,
        Code::Unavailable | Code::Cancelled => Exit::Unavailable,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => Exit::Refused,
        Code::ResourceExhausted if reason(status).as_deref() == Some("TOO_LARGE") => Exit::Refused,
        _ => Exit::Failure,
    }
}

/// A hint for errors that are not plugd's own and so carry none.
fn own_hint(status: &Status) -> Option<String> {
    let hint = match exit_of(status) {
        Exit::Denied => "give a token with --token or PLUGD_TOKEN, or the server's data folder with --data-dir",
        Exit::Unavailable => "check that the server runs, then try again",
        Exit::Timeout => "try again; see with `plugd list` what happened meanwhile",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::FileTooLarge => Exit::Refused,
            _ => Exit::Failure,
        };
        Self { exit, is_closed_pipe: error.kind() == io::ErrorKind::BrokenPipe, ..Self::new(error.to_string()) }
    }
}

/// What the rules of packages and manifests say, in the server's own words.
impl From<domain::Error> for Failure {
    fn from(error: domain::Error) -> Self {
        let failure = Self::new(error.message).hint(error.reason.suggestion()).exit(Exit::Refused);
        Self { reason: Some(error.reason.name().to_owned()), ..failure }
    }
}

/// What to do about settings of encryption.
const OF_TLS: &str = "`plugd serve --help` tells what each --tls-… option takes";

/// What keeps a server from starting. A cause that the words before it have said already is not said again: errors of some
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
            (_, Some(tls::Error::Incomplete { given, missing })) if given.starts_with("tls_") => {
                let flag = |setting: &str| format!("--{}", setting.replace('_', "-"));
                Self::new(format!("{} needs {}", flag(given), flag(missing))).exit(Exit::Usage).hint(OF_TLS)
            }
            (_, Some(tls::Error::Unmade(_) | tls::Error::Unwritable { .. }) | None) => failure,
            (_, Some(_)) => failure.exit(Exit::Usage).hint(OF_TLS),
        }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::new(error.to_string())
            .exit(Exit::Usage)
            .hint("`plugd serve --help` and `plugd rest --help` list every setting")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str) -> Status {
        let metadata = HashMap::from([(api::SUGGESTED.to_owned(), "do this".to_owned())]);
        Status::with_error_details(code, "it broke", ErrorDetails::with_error_info(reason, api::ERROR_DOMAIN, metadata))
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = anyhow::anyhow!("no such database").context("refused: no such database").context("can't start");
        assert_eq!(Failure::from(cause).what, "can't start: refused: no such database");
        let half = anyhow::Error::from(tls::Error::Incomplete { given: "tls_cert", missing: "tls_key" });
        assert_eq!(Failure::from(half).exit, Exit::Usage);
        let taken = anyhow::Error::from(io::Error::from(io::ErrorKind::AddrInUse)).context("can't listen");
        assert!(Failure::from(taken).hint.unwrap().contains("--listen"));
    }

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let cases = [
            (status(Code::NotFound, "PLUGIN_NOT_FOUND"), 3),
            (status(Code::Unauthenticated, "UNAUTHENTICATED"), 4),
            (status(Code::PermissionDenied, "PERMISSION_DENIED"), 4),
            (status(Code::FailedPrecondition, "PLUGIN_FAILED"), 5),
            (status(Code::FailedPrecondition, "EXTERNAL_PLUGIN"), 9),
            (status(Code::Aborted, "SUPERSEDED"), 6),
            (status(Code::DeadlineExceeded, "NOT_SETTLED"), 7),
            (Status::cancelled("Timeout expired"), 7),
            (status(Code::Unavailable, "DRAINING"), 8),
            (status(Code::InvalidArgument, "INVALID_PACKAGE"), 9),
            (status(Code::OutOfRange, "REVISION_COMPACTED"), 9),
            (status(Code::ResourceExhausted, "TOO_LARGE"), 9),
            (status(Code::Internal, "INTERNAL"), 1),
        ];
        for (status, exit) in cases {
            assert_eq!(Failure::from(status.clone()).exit as u8, exit, "{status}");
        }
    }

    #[test]
    fn a_failure_says_what_is_wrong_and_what_to_do() {
        let failure = Failure::from(status(Code::NotFound, "TOKEN_NOT_FOUND"));
        assert_eq!(failure.to_string(), "error: it broke\n  hint: do this");
    }

    #[test]
    fn programs_get_all_of_a_failure() {
        let shown = Failure::from(status(Code::NotFound, "TOKEN_NOT_FOUND")).json();
        let error = json!({"exit_code": 3, "message": "it broke", "hint": "do this", "reason": "TOKEN_NOT_FOUND"});
        assert_eq!(shown, json!({"error": error}));
    }

    #[test]
    fn a_plugin_failure_of_another_domain_is_not_taken_for_one() {
        let details = ErrorDetails::with_error_info("PLUGIN_FAILED", "example.com", HashMap::new());
        let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
        assert_eq!(Failure::from(status).exit, Exit::Refused);
    }

    #[test]
    fn the_exit_codes_are_documented() {
        for exit in 0..=Exit::Refused as u8 {
            assert!(EXIT_CODES.contains(&format!("\n  {exit}  ")), "{exit}");
        }
    }
}
