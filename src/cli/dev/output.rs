//! What a session prints: how to reach the plugin as lines to paste, its states and its log as they happen.

use std::{
    env,
    fmt::Write,
    path::{Path, absolute},
};

use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{
    server::Access,
    session::{REMEDY, Session},
};
use crate::{
    api::v1::{
        LogLine, Plugin, PluginEvent, StreamLogsRequest, StreamLogsResponse, WatchStateRequest, WatchStateResponse,
        watch_state_response::Frame,
    },
    cli::{
        failure::Failure,
        follow::{Sink, follow},
        logs::{Lines, stream_logs},
        ui::{Style, quoted, sanitize, sanitize_line},
        watch::Printer,
        words,
    },
    files::find_program,
};

/// Where grpcurl is had.
const GRPCURL: &str = "https://github.com/fullstorydev/grpcurl/releases";

/// This program in any terminal, whatever folder it is in: by its name if a shell would find it by that, else by its path.
pub(super) fn plugd() -> String {
    let own = env::current_exe().and_then(|path| path.canonicalize());
    let path = env::var_os("PATH").unwrap_or_default();
    let named = find_program("plugd", &path).and_then(|path| path.canonicalize().ok());
    match own {
        Ok(own) if named.as_ref() != Some(&own) => quoted_path(&own),
        _ => "plugd".to_owned(),
    }
}

/// A path as a word of a shell's, from the root.
pub(super) fn quoted_path(path: &Path) -> String {
    quoted(absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Prints where everything is and how to reach it.
pub(super) fn print_how_to_reach(session: &Session, access: &Access, plugin: &Plugin) {
    // By its path: where this program finds it another terminal may not.
    let grpcurl = env::var_os("PATH").and_then(|path| find_program("grpcurl", &path)).map(|path| quoted_path(&path));
    let (address, token) = (access.address.to_string(), access.token.clone());
    let commands = Commands { address, token, plugin_id: plugin.id.clone(), grpcurl };
    let title = format!("  {} runs as {}", sanitize(&plugin.name), plugin.id);
    session.print(&format!("\n{}", session.ui.paint(Style::Bold, &title)));
    session.print(&commands.text());
}

/// What the lines to paste name.
struct Commands {
    address: String,
    token: String,
    plugin_id: String,
    /// If this host has it.
    grpcurl: Option<String>,
}

impl Commands {
    fn text(&self) -> String {
        let Self { address, token, plugin_id, grpcurl } = self;
        let mut text = String::new();
        let id = format!("{{\"plugin_id\":\"{plugin_id}\"}}");
        let state =
            |state: &str| format!("{{\"plugin_id\":\"{plugin_id}\",\"active_state\":\"ACTIVE_STATE_{state}\"}}");
        let calls = [
            ("show it", "PluginService/GetPlugin", id.clone()),
            ("watch every change", "PluginService/WatchState", "{}".to_owned()),
            ("stop it", "PluginService/SetActiveState", state("INACTIVE")),
            ("start it", "PluginService/SetActiveState", state("ACTIVE")),
            (
                "follow its log",
                "PluginService/StreamLogs",
                format!("{{\"plugin_ids\":[\"{plugin_id}\"],\"follow\":true}}"),
            ),
        ];
        let _ = writeln!(text, "\n  gRPC    {address}\n  REST    http://{address}/api/plugins");
        let _ = writeln!(text, "  plugins ws://{address}/rpc\n  token   {token}\n");
        if grpcurl.is_none() {
            let _ = writeln!(text, "  # grpcurl is not on the PATH: {GRPCURL} has it\n");
        }
        for (what, method, message) in calls {
            let _ = writeln!(text, "  # {what}\n  {}", self.grpcurl(method, &message));
        }
        let _ = writeln!(text, "\n  # the same over REST\n  {}", self.curl("GET", "", None));
        for state in ["inactive", "active"] {
            let _ = writeln!(text, "  {}", self.curl("PATCH", "/active", Some(state)));
        }
        text
    }

    fn grpcurl(&self, method: &str, message: &str) -> String {
        let Self { address, token, .. } = self;
        let header = format!("-H 'authorization: Bearer {token}'");
        let program = self.grpcurl.as_deref().unwrap_or("grpcurl");
        format!("{program} -plaintext {header} -d '{message}' {address} plugd.v1.{method}")
    }

    fn curl(&self, method: &str, path: &str, active: Option<&str>) -> String {
        let Self { address, token, plugin_id, .. } = self;
        let body = active.map(|state| format!(" -H 'content-type: application/json' -d '{{\"active\":\"{state}\"}}'"));
        let header = format!("-H 'authorization: Bearer {token}'{}", body.unwrap_or_default());
        format!("curl -X {method} {header} http://{address}/api/plugins/{plugin_id}{path}")
    }
}

/// Prints the state of these plugins (none given = all) and its changes, until dropped.
pub(super) fn follow_states(session: &Session, plugin_ids: Vec<String>) -> AbortOnDropHandle<()> {
    let session = session.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let printer = Printer::new(session.ui.clone()).with_prefix(session.prefix("state", Style::Yellow));
        let request = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
        let mut states = States { session: &session, printer };
        if let Err(failure) = follow(&session.api, request, &mut states, &session.stop).await {
            session.complain(&failure);
        }
    }))
}

/// A watch of which the author is told the reason where a new package was taken back.
struct States<'a> {
    session: &'a Session,
    printer: Printer,
}

impl States<'_> {
    fn tell_taken_back(&self, event: &PluginEvent) {
        let (Some(before), Some(after)) = (self.printer.known(&event.plugin_id), &event.plugin) else { return };
        if let Some(why) = why_taken_back(before, after) {
            let version = words::version(&after.version);
            self.session.shout(&format!("the new package failed ({why}): the one before it, {version}, is back"));
            self.session.say(REMEDY);
        }
    }
}

impl Sink for States<'_> {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        let Some(Frame::Events(batch)) = &frame.frame else { return self.printer.frame(frame) };
        for event in &batch.events {
            self.tell_taken_back(event);
            self.printer.event(event)?;
        }
        Ok(())
    }

    fn lost(&mut self, why: &Status) {
        self.printer.lost(why);
    }

    fn broken(&mut self, why: &Status) {
        self.printer.broken(why);
    }
}

/// Why the package before this one is back; none if it is not, or not for a failure.
fn why_taken_back(before: &Plugin, after: &Plugin) -> Option<String> {
    let is_back =
        after.package_digest != before.package_digest && after.package_digest == before.previous_package_digest;
    let why = Some(sanitize(before.message())).filter(|why| !why.is_empty());
    why.filter(|_| is_back)
}

/// Prints what a plugin prints after this cursor, until dropped.
pub(super) fn follow_log(session: &Session, plugin_id: &str, after: Option<String>) -> AbortOnDropHandle<()> {
    let (session, plugin_ids) = (session.clone(), vec![plugin_id.to_owned()]);
    let cursors = after.into_iter().collect();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let request = StreamLogsRequest { plugin_ids, cursors, follow: true, ..StreamLogsRequest::default() };
        let prefix = session.prefix("log", Style::Green);
        let mut print = |_: &StreamLogsResponse, line: &LogLine| {
            Ok(session.ui.line(&format!("{prefix}{}", sanitize_line(&line.text)))?)
        };
        let mut lines = Lines { line: &mut print, note: &|text| session.say(text) };
        if let Err(failure) = stream_logs(&session.api, request, &mut lines, &session.stop).await {
            session.complain(&failure);
        }
    }))
}

#[cfg(test)]
mod tests;
