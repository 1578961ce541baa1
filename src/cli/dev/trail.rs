//! What a plugin does and prints, as it happens: each source in a task of its own, each line with its prefix.

use tokio_util::task::AbortOnDropHandle;

use super::{Session, prefix};
use crate::{
    api::v1::{LogLine, StreamLogsRequest, WatchStateRequest},
    cli::{
        follow::follow,
        logs::{Lines, stream_logs},
        ui::Style,
        watch::Printer,
    },
};

/// Lines of earlier sessions that are shown.
const TAIL: u32 = 20;

/// Prints the state of these plugins (none given = all) and its changes, until dropped.
pub(super) fn states(session: &Session, plugin_ids: Vec<String>) -> AbortOnDropHandle<()> {
    let session = session.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut printer = Printer::new(session.ui.clone()).with_prefix(prefix(&session.ui, "state", Style::Yellow));
        let request = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
        if let Err(failure) = follow(&session.api, request, &mut printer, &session.stop).await {
            session.complain(&failure);
        }
    }))
}

/// Prints what a plugin prints, until dropped.
pub(super) fn log(session: &Session, plugin_id: &str) -> AbortOnDropHandle<()> {
    let (session, plugin_id) = (session.clone(), plugin_id.to_owned());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let request = StreamLogsRequest { plugin_id, follow: true, tail_lines: TAIL, after: String::new() };
        let prefix = prefix(&session.ui, "log", Style::Green);
        let mut print = |line: &LogLine| Ok(session.ui.line(&format!("{prefix}{}", line.text))?);
        let mut lines = Lines { line: &mut print, note: &|text| session.say(text) };
        if let Err(failure) = stream_logs(&session.api, request, &mut lines, &session.stop).await {
            session.complain(&failure);
        }
    }))
}
