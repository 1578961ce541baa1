//! What a session prints: how to reach the plugin as lines to paste, its states and its log as they happen.

use std::{
    env,
    path::{Path, absolute},
    time::SystemTime,
};

use tokio_util::task::AbortOnDropHandle;

use super::{Access, Session};
use crate::{
    api::v1::{Plugin, StreamLogsRequest, WatchStateRequest},
    cli::{
        follow::{follow, resume},
        logs,
        ui::{Style, quoted, sanitize},
        watch::Printer,
    },
    files::find_program,
};

/// Where grpcurl is to be had.
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
    let title = format!("  {} runs as {}", sanitize(&plugin.name), plugin.id);
    session.print(&format!("\n{}", session.ui.paint(Style::Bold, &title)));
    session.print(&commands(access, &plugin.id, grpcurl.as_deref()));
}

/// Lines to paste; `grpcurl` is this host's, if it has it.
fn commands(Access { address, token }: &Access, id: &str, grpcurl: Option<&str>) -> String {
    let header = format!("-H 'authorization: Bearer {token}'");
    let program = grpcurl.unwrap_or("grpcurl");
    let call = |what: &str, method: &str, message: &str| {
        format!("  # {what}\n  {program} -plaintext {header} -d '{message}' {address} plugd.v1.{method}\n")
    };
    let one = |more: &str| format!("{{\"plugin_id\":\"{id}\"{more}}}");
    let set = |state: &str| one(&format!(",\"active_state\":\"ACTIVE_STATE_{state}\""));
    let plugin = format!("http://{address}/api/plugins/{id}");
    let patch = |state: &str| {
        let body = format!("-H 'content-type: application/json' -d '{{\"active\":\"{state}\"}}'");
        format!("  curl -X PATCH {header} {body} {plugin}/active\n")
    };
    let missing = match grpcurl {
        Some(_) => String::new(),
        None => format!("  # grpcurl is not on the PATH: {GRPCURL} has it\n\n"),
    };
    [
        format!("\n  gRPC    {address}\n  REST    http://{address}/api/plugins\n"),
        format!("  plugins ws://{address}/rpc\n  token   {token}\n\n{missing}"),
        call("show it", "PluginService/GetPlugin", &one("")),
        call("watch every change", "PluginService/WatchState", "{}"),
        call("stop it", "PluginService/SetActiveState", &set("INACTIVE")),
        call("start it", "PluginService/SetActiveState", &set("ACTIVE")),
        call("follow its log", "PluginService/StreamLogs", &format!("{{\"plugin_ids\":[\"{id}\"],\"follow\":true}}")),
        format!("\n  # the same over REST\n  curl {header} {plugin}\n{}{}", patch("inactive"), patch("active")),
    ]
    .concat()
}

/// Prints the state of these plugins (none given = all) and its changes, until dropped.
pub(super) fn follow_states(session: &Session, plugin_ids: Vec<String>) -> AbortOnDropHandle<()> {
    let session = session.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut printer = Printer::new(session.ui.clone(), session.prefix("state", Style::Yellow));
        let request = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
        if let Err(failure) = follow(&session.api, request, &mut printer, &session.stop).await {
            session.complain(&failure);
        }
    }))
}

/// Prints what a plugin prints from now on, until dropped.
pub(super) fn follow_log(session: &Session, plugin_id: &str) -> AbortOnDropHandle<()> {
    let (session, plugin_ids) = (session.clone(), vec![plugin_id.to_owned()]);
    let since_time = Some(SystemTime::now().into());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let request = StreamLogsRequest { plugin_ids, since_time, follow: true, ..StreamLogsRequest::default() };
        let printer = logs::Printer::with_prefix(session.ui.clone(), session.prefix("log", Style::Green));
        if let Err(failure) = resume(&session.api, &mut logs::Lines::new(request, printer), &session.stop).await {
            session.complain(&failure);
        }
    }))
}

#[cfg(test)]
mod tests;
