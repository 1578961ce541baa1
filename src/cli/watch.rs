//! `plugd watch`: the changes of plugins, for people and for programs.

use std::collections::BTreeMap;

use clap::Args;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{
    Context,
    failure::Failure,
    follow::{Sink, follow},
    list::state,
    select::plugin_ids,
    signals,
    ui::{Style, Ui, sanitize},
    words,
};
use crate::api::v1::{
    ActiveState, Plugin, PluginEvent, PluginMode, ReportedState, WatchStateRequest, WatchStateResponse,
    plugin_event::Kind, watch_state_request::Start, watch_state_response::Frame,
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
    #[arg(long, value_parser = state())]
    state: Vec<ReportedState>,
    /// Go on after this cursor, which `-o json` prints with each change
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
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
        let after = self.after.clone().map(Start::Cursor);
        let start = after.or(self.live.then_some(Start::LiveOnly(true)));
        let states = self.state.iter().map(|state| i32::from(*state)).collect();
        WatchStateRequest { plugin_ids, states, start, ..WatchStateRequest::default() }
    }
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

    /// Prints what differs between what was known and a complete snapshot.
    fn compare(&mut self, cursor: &str) -> Result<(), Failure> {
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
    fn event(&mut self, event: &PluginEvent) -> Result<(), Failure> {
        let Some(plugin) = &event.plugin else { return Ok(()) };
        let before = match event.kind() {
            Kind::Removed => self.known.remove(&event.plugin_id),
            _ => self.known.insert(event.plugin_id.clone(), plugin.clone()),
        };
        let (kind, before) = (kind(event.kind()), before.as_ref());
        let change = Change { kind, revision: event.revision, time: event.commit_time, before, plugin };
        self.print(&change, &event.cursor)
    }

    fn print(&self, change: &Change<'_>, cursor: &str) -> Result<(), Failure> {
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
            Some(Frame::Events(batch)) => batch.events.iter().try_for_each(|event| self.event(event)),
            None | Some(Frame::Opened(_) | Frame::Heartbeat(_)) => Ok(()),
        }
    }

    fn broken(&mut self, remark: &str) {
        self.snapshot.clear();
        self.ui.note(&format!("{}{remark}", self.prefix));
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

/// One change of one plugin.
pub(super) struct Change<'a> {
    /// What kind of change it is.
    pub(super) kind: &'static str,
    /// Its place in the order.
    pub(super) revision: u64,
    /// When it was committed.
    pub(super) time: Option<Timestamp>,
    /// The plugin before it, if it was seen then.
    pub(super) before: Option<&'a Plugin>,
    /// The plugin after it.
    pub(super) plugin: &'a Plugin,
}

impl<'a> Change<'a> {
    /// A plugin as a snapshot has it.
    pub(super) fn seen(plugin: &'a Plugin, before: Option<&'a Plugin>) -> Self {
        let since = plugin.status.as_ref().and_then(|status| status.state_time);
        Self { kind: "snapshot", revision: plugin.revision, time: since, before, plugin }
    }

    /// A plugin that a snapshot no longer has.
    pub(super) fn gone(plugin: &'a Plugin) -> Self {
        Self { kind: "removed", revision: plugin.revision, time: None, before: None, plugin }
    }

    /// For programs.
    pub(super) fn json(&self, cursor: &str) -> Value {
        json!({
            "kind": self.kind,
            "cursor": cursor,
            "revision": self.revision,
            "time": words::time(self.time.as_ref()),
            "plugin_id": self.plugin.id,
            "previous_state": self.before.map(words::state_of).map(words::state),
            "what": self.what(),
            "plugin": words::plugin(self.plugin),
        })
    }

    /// Is there something to tell? A plugin that only took note of what it was asked for looks as before.
    pub(super) fn is_visible(&self) -> bool {
        let Some(before) = self.before.filter(|_| self.kind == "changed") else { return true };
        let (was, is) = (words::state_of(before), words::state_of(self.plugin));
        was != is
            || before.name != self.plugin.name
            || before.message() != self.plugin.message()
            || !self.remarks().is_empty()
            || before.generation != self.plugin.generation
    }

    /// For people.
    pub(super) fn line(&self, ui: &Ui) -> String {
        let plugin = self.plugin;
        let message = plugin.message();
        let parts = [
            ui.paint(Style::Dim, &words::short_time(self.time.as_ref())),
            format!("{:>6}", self.revision),
            plugin.id.clone(),
            sanitize(&plugin.name),
            self.transition(ui),
            sanitize(message),
        ];
        parts.join("  ").trim_end().to_owned()
    }

    fn transition(&self, ui: &Ui) -> String {
        let painted = |state: ReportedState| ui.paint(words::style(state), words::state(state));
        let now = words::state_of(self.plugin);
        let states = match self.before.map(words::state_of) {
            _ if self.kind == "removed" => return ui.paint(Style::Dim, "removed"),
            Some(before) if before != now => format!("{} -> {}", words::state(before), painted(now)),
            _ => painted(now),
        };
        let mut remarks = self.remarks();
        remarks.extend(self.desire(now).map(str::to_owned));
        if remarks.is_empty() { states } else { format!("{states} ({})", remarks.join(", ")) }
    }

    /// What is still to happen to a plugin that stays in its state.
    fn desire(&self, now: ReportedState) -> Option<&'static str> {
        let stays = self.before.is_none_or(|before| words::state_of(before) == now);
        match (self.plugin.active_state(), now) {
            _ if !stays => None,
            (ActiveState::Active, ReportedState::Inactive) => Some("to be started"),
            (ActiveState::Inactive, state) if state != ReportedState::Inactive => Some("to be stopped"),
            _ => None,
        }
    }

    /// What changed beside the state, for programs.
    fn what(&self) -> Vec<String> {
        if self.is_visible() { self.remarks() } else { vec!["observed".to_owned()] }
    }

    /// What changed beside the state.
    fn remarks(&self) -> Vec<String> {
        let Some(before) = self.before else { return Vec::new() };
        let (now, mut remarks) = (self.plugin, package(before, self.plugin));
        if before.configuration_revision != now.configuration_revision {
            remarks.push("configured".to_owned());
        }
        remarks.extend(health(before, now));
        let is_asked_anew = before.generation != now.generation && before.active_state() == now.active_state();
        if remarks.is_empty() && is_asked_anew && now.active_state() == ActiveState::Active {
            // An external plugin has a new token then.
            let is_external = now.mode() == PluginMode::External;
            remarks.push(if is_external { "new token" } else { "to be started anew" }.to_owned());
        }
        remarks
    }
}

/// What happened to its package or manifest.
fn package(before: &Plugin, now: &Plugin) -> Vec<String> {
    let version = words::version(&now.version);
    let what = if before.package_digest != now.package_digest {
        match before.previous_package_digest == now.package_digest {
            true => format!("back to the package before: {version}"),
            false => format!("updated to {version}"),
        }
    } else if before.manifest != now.manifest {
        format!("manifest changed, {version}")
    } else {
        return Vec::new();
    };
    vec![what]
}

/// Signs of life, and events that did not get through.
fn health(before: &Plugin, now: &Plugin) -> Vec<String> {
    let (Some(before), Some(now)) = (&before.status, &now.status) else { return Vec::new() };
    let mut remarks = Vec::new();
    match (before.degraded, now.degraded) {
        (_, true) => remarks.push("does not answer".to_owned()),
        (true, false) if before.state == now.state => remarks.push("answers again".to_owned()),
        _ => {}
    }
    if let Some(lost @ 1..) = now.events_dropped.checked_sub(before.events_dropped) {
        remarks.push(format!("queue overflow: {lost} events lost"));
    }
    if let Some(count @ 1..) = now.protocol_faults.checked_sub(before.protocol_faults) {
        remarks.push(format!("broke the protocol, {count} times: {}", sanitize(now.last_protocol_fault())));
    }
    remarks
}

#[cfg(test)]
mod tests;
