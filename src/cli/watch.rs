//! `plugd watch`.

use std::collections::BTreeMap;

use clap::Args;
use tonic::Status;

mod change;

use self::change::Change;
use super::{
    Context,
    failure::Failure,
    follow::{Sink, follow},
    list::{State, states},
    resolve::plugin_ids,
    signals,
    ui::Ui,
};
use crate::api::v1::{
    Cursor, Plugin, PluginEvent, WatchStateRequest, WatchStateResponse, plugin_event::Kind, watch_state_request::Start,
    watch_state_response::Frame,
};

/// Print each change of each plugin as it happens
///
/// Begins with every plugin as it is now. When the connection breaks, or the server restarts, it goes on by itself
/// where it was, until Ctrl-C. Changes of which there is nothing to tell are printed with -o json only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd watch\n  plugd watch my-plugin --live\n  plugd watch -o json --state error")]
pub(super) struct Watch {
    /// Only these plugins
    #[arg(value_name = "ID")]
    plugins: Vec<String>,
    /// Only plugins in this state; may be given several times
    #[arg(long, value_enum)]
    state: Vec<State>,
    /// Go on after this cursor, which `-o json` prints with each change
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    after: Option<Cursor>,
    /// Only what changes from now on
    #[arg(long, conflicts_with = "after")]
    live: bool,
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = self.request(plugin_ids(&context.api, &self.plugins).await?);
        let mut printer = Printer::new(context.ui.clone());
        follow(&context.api, request, &mut printer, &signals::stop_token()?).await
    }

    fn request(&self, plugin_ids: Vec<String>) -> WatchStateRequest {
        let after = self.after.clone().map(Start::After);
        let start = after.or(self.live.then_some(Start::LiveOnly(true)));
        WatchStateRequest { plugin_ids, states: states(&self.state), start, ..WatchStateRequest::default() }
    }
}

/// A cursor as text: `EPOCH:REVISION`.
fn cursor(text: &str) -> Result<Cursor, &'static str> {
    let parts = text.rsplit_once(':').and_then(|(epoch, revision)| Some((epoch, revision.parse().ok()?)));
    let (epoch, revision) = parts.ok_or("a cursor like EPOCH:REVISION is expected")?;
    Ok(Cursor { epoch: epoch.to_owned(), revision })
}

/// Prints the frames of a watch, and remembers what state each plugin was in.
#[derive(Debug)]
pub(super) struct Printer {
    ui: Ui,
    prefix: String,
    known: BTreeMap<String, Plugin>,
    /// Plugins of the snapshot that is coming in.
    snapshot: BTreeMap<String, Plugin>,
}

impl Printer {
    /// A printer to this screen.
    pub(super) fn new(ui: Ui) -> Self {
        Self { ui, prefix: String::new(), known: BTreeMap::new(), snapshot: BTreeMap::new() }
    }

    /// The same with something before each line.
    pub(super) fn with_prefix(self, prefix: String) -> Self {
        Self { prefix, ..self }
    }

    /// A plugin as it was last seen.
    pub(super) fn known(&self, id: &str) -> Option<&Plugin> {
        self.known.get(id)
    }

    /// Prints what differs between what was known and a complete snapshot.
    fn compare(&mut self, cursor: &Cursor) -> Result<(), Failure> {
        let snapshot = std::mem::take(&mut self.snapshot);
        let known = std::mem::replace(&mut self.known, snapshot.clone());
        for (id, plugin) in &snapshot {
            let before = known.get(id);
            if before.map(|before| before.revision) != Some(plugin.revision) {
                self.print(&Change::seen(plugin, before), cursor)?;
            }
        }
        let gone = known.iter().filter(|(id, _)| !snapshot.contains_key(*id));
        gone.into_iter().try_for_each(|(_, plugin)| self.print(&Change::gone(plugin), cursor))
    }

    /// Takes one change.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn event(&mut self, event: &PluginEvent, epoch: &str) -> Result<(), Failure> {
        let Some(plugin) = &event.plugin else { return Ok(()) };
        let before = match event.kind() {
            Kind::Removed => self.known.remove(&event.plugin_id),
            _ => self.known.insert(event.plugin_id.clone(), plugin.clone()),
        };
        let (kind, before) = (kind(event.kind()), before.as_ref());
        let change = Change { kind, revision: event.revision, time: event.time, before, plugin };
        self.print(&change, &Cursor { epoch: epoch.to_owned(), revision: event.revision })
    }

    fn print(&self, change: &Change<'_>, cursor: &Cursor) -> Result<(), Failure> {
        if !self.ui.is_json() && !change.is_visible() {
            return Ok(());
        }
        match self.ui.is_json() {
            true => Ok(self.ui.json_line(&change.json(cursor))?),
            false => Ok(self.ui.line(&format!("{}{}", self.prefix, change.line(&self.ui)))?),
        }
    }
}

impl Sink for Printer {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        let cursor = frame.cursor.unwrap_or_default();
        match frame.frame {
            Some(Frame::Snapshot(chunk)) => {
                self.snapshot.extend(chunk.plugins.into_iter().map(|plugin| (plugin.id.clone(), plugin)));
                Ok(())
            }
            Some(Frame::SnapshotEnd(_)) => self.compare(&cursor),
            Some(Frame::Events(batch)) => batch.events.iter().try_for_each(|event| self.event(event, &cursor.epoch)),
            None | Some(Frame::Opened(_) | Frame::Heartbeat(_)) => Ok(()),
        }
    }

    fn lost(&mut self, why: &Status) {
        self.snapshot.clear();
        self.ui.note(&format!("{}changes were missed ({}); going on from a snapshot", self.prefix, why.message()));
    }

    fn broken(&mut self, why: &Status) {
        self.snapshot.clear();
        self.ui.note(&format!("{}the watch broke off ({}); resuming", self.prefix, why.message()));
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "unknown",
        Kind::Added => "added",
        Kind::Changed => "changed",
        Kind::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_an_epoch_and_a_revision() {
        assert_eq!(cursor("abc:7"), Ok(Cursor { epoch: "abc".to_owned(), revision: 7 }));
        assert!(cursor("abc").is_err());
        assert!(cursor("abc:x").is_err());
    }
}
