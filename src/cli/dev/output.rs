//! The output of a session: how to reach the plugin as lines to paste, its states and its log as they happen.

use std::{
    env,
    path::{Path, absolute},
};

use tokio_util::task::AbortOnDropHandle;

use super::Session;
use crate::{
    api::v1::{Plugin, StreamLogsRequest, WatchStateRequest},
    cli::{
        follow::{Resumable, resume},
        logs,
        ui::{Style, quoted, sanitize},
        watch::States,
    },
    files::find_program,
};

/// A path as a word of a shell's, from the root: the lines are good in any terminal, whatever folder it is in.
pub(super) fn quoted_path(path: &Path) -> String {
    quoted(absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Prints where everything is and how to reach it.
pub(super) fn print_how_to_reach(session: &Session, plugin: &Plugin) {
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
pub(super) fn follow_states(session: &Session, plugin_ids: Vec<String>) -> AbortOnDropHandle<()> {
    let request = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
    follow(session, States::new(request, session.ui.clone(), session.prefix("state", Style::Yellow)))
}

/// Prints what a plugin has printed since the session began, and goes on until dropped.
pub(super) fn follow_log(session: &Session, plugin_id: &str) -> AbortOnDropHandle<()> {
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
