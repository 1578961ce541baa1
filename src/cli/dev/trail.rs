//! What a plugin does and prints, as it happens: each source in a task of its own, each line with its prefix.

use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{Session, prefix};
use crate::{
    api::v1::{
        LogLine, Plugin, PluginEvent, StreamLogsRequest, WatchStateRequest, WatchStateResponse,
        watch_state_response::Frame,
    },
    cli::{
        failure::Failure,
        follow::{Sink, follow},
        logs::{Lines, stream_logs},
        shape,
        ui::{Style, sanitize, sanitize_line},
        watch::Printer,
    },
};

/// Prints the state of these plugins (none given = all) and its changes, until dropped.
pub(super) fn states(session: &Session, plugin_ids: Vec<String>) -> AbortOnDropHandle<()> {
    let session = session.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let printer = Printer::new(session.ui.clone()).with_prefix(prefix(&session.ui, "state", Style::Yellow));
        let request = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
        let mut trail = Trail { session: &session, printer };
        if let Err(failure) = follow(&session.api, request, &mut trail, &session.stop).await {
            session.complain(&failure);
        }
    }))
}

/// A watch of which the author is told the reason where a new package was taken back.
struct Trail<'a> {
    session: &'a Session,
    printer: Printer,
}

impl Trail<'_> {
    fn tell_taken_back(&self, event: &PluginEvent) {
        let (Some(before), Some(after)) = (self.printer.known(&event.plugin_id), &event.plugin) else { return };
        if let Some(why) = why_taken_back(before, after) {
            let version = shape::version(&after.version);
            self.session.shout(&format!("the new package failed ({why}): the one before it, {version}, is back"));
            self.session.say("mend it and save a file: it is tried again then");
        }
    }
}

impl Sink for Trail<'_> {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        let Some(Frame::Events(batch)) = &frame.frame else { return self.printer.frame(frame) };
        for event in &batch.events {
            self.tell_taken_back(event);
            self.printer.event(event, frame.cursor.as_ref().map_or("", |cursor| &cursor.epoch))?;
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
    let why = before.status.as_ref().map(|status| sanitize(&status.message)).filter(|why| !why.is_empty());
    why.filter(|_| is_back)
}

/// Where the log of a plugin ends, as a cursor; none if nothing was ever printed.
///
/// # Errors
/// The log can't be read.
pub(super) async fn end_of_log(session: &Session, plugin_id: &str) -> Result<String, Failure> {
    let request = StreamLogsRequest { plugin_id: plugin_id.to_owned(), tail_lines: 1, ..StreamLogsRequest::default() };
    let mut end = String::new();
    let mut note = |line: &LogLine| {
        end.clone_from(&line.cursor);
        Ok(())
    };
    stream_logs(&session.api, request, &mut Lines { line: &mut note, note: &|_| {} }, &session.stop).await?;
    Ok(end)
}

/// Prints what a plugin prints after this cursor, until dropped.
pub(super) fn log(session: &Session, plugin_id: &str, after: String) -> AbortOnDropHandle<()> {
    let (session, plugin_id) = (session.clone(), plugin_id.to_owned());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let request = StreamLogsRequest { plugin_id, follow: true, tail_lines: 0, after };
        let prefix = prefix(&session.ui, "log", Style::Green);
        let mut print = |line: &LogLine| Ok(session.ui.line(&format!("{prefix}{}", sanitize_line(&line.text)))?);
        let mut lines = Lines { line: &mut print, note: &|text| session.say(text) };
        if let Err(failure) = stream_logs(&session.api, request, &mut lines, &session.stop).await {
            session.complain(&failure);
        }
    }))
}
