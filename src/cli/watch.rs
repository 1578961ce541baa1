//! `plugd watch`: the changes of plugins, for people and for programs.

use std::collections::BTreeMap;

use clap::Args;
use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::Status;

use super::{
    Context,
    client::plugin_ids,
    completions,
    failure::Failure,
    follow::{States, Watcher, resume},
    serve::stop_token,
    show,
    ui::{Style, Ui, sanitize},
};
use crate::api::v1::{
    ActiveState, Plugin, PluginEvent, PluginMode, ReportedState, WatchStateRequest, plugin_event::Kind,
    watch_state_request::Start,
};

/// Print each change of each plugin as it happens
///
/// Begins with every plugin as it is now. When the connection breaks, or the server restarts, it goes on by itself
/// where it was, until Ctrl-C. Changes of which there is nothing to tell are printed with -o json only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd watch\n  plugd watch my-plugin --live\n  plugd watch -o json --state error")]
pub(super) struct Watch {
    /// Only these plugins
    #[arg(value_name = "ID", add = completions::plugins())]
    plugins: Vec<String>,
    /// Only plugins in this state; may be given several times
    #[arg(long, value_parser = show::state_arg())]
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
        let mut states = States::new(request, Printer::new(context.ui.clone(), String::new()));
        resume(&context.api, &mut states, &stop_token()?).await
    }

    fn request(&self, plugin_ids: Vec<String>) -> WatchStateRequest {
        let after = self.after.clone().map(Start::Cursor);
        let start = after.or(self.live.then_some(Start::LiveOnly(true)));
        let states = self.state.iter().map(|state| i32::from(*state)).collect();
        WatchStateRequest { plugin_ids, states, start, ..WatchStateRequest::default() }
    }
}

/// Prints each change of plugins.
pub(super) struct Printer {
    ui: Ui,
    /// The words before each line.
    prefix: String,
    known: BTreeMap<String, Plugin>,
}

impl Printer {
    pub(super) fn new(ui: Ui, prefix: String) -> Self {
        Self { ui, prefix, known: BTreeMap::new() }
    }

    fn print(&self, change: &Change<'_>, cursor: &str) -> Result<(), Failure> {
        if self.ui.is_json() {
            self.ui.json_line(&change.json(cursor))?;
        } else if change.is_visible() {
            self.ui.line(&format!("{}{}", self.prefix, change.line(&self.ui)))?;
        }
        Ok(())
    }
}

impl Watcher for Printer {
    /// Prints what differs between what was known and this.
    fn snapshot(&mut self, plugins: BTreeMap<String, Plugin>, cursor: &str) -> Result<(), Failure> {
        let known = std::mem::take(&mut self.known);
        for (id, plugin) in &plugins {
            let (before, revision) = (known.get(id), plugin.revision);
            if before.is_none_or(|before| before.revision != revision) {
                let time = plugin.status.as_ref().and_then(|status| status.state_time);
                self.print(&Change { kind: "snapshot", revision, time, before, plugin }, cursor)?;
            }
        }
        for (_, plugin) in known.iter().filter(|(id, _)| !plugins.contains_key(*id)) {
            let gone = Change { kind: "removed", revision: plugin.revision, time: None, before: None, plugin };
            self.print(&gone, cursor)?;
        }
        self.known = plugins;
        Ok(())
    }

    fn event(&mut self, event: PluginEvent) -> Result<(), Failure> {
        let kind = &show::word(event.kind().as_str_name());
        let is_removal = event.kind() == Kind::Removed;
        let Some(plugin) = event.plugin else { return Ok(()) };
        let before = match is_removal {
            true => self.known.remove(&event.plugin_id),
            false => self.known.insert(event.plugin_id, plugin.clone()),
        };
        let (revision, time, before) = (event.revision, event.commit_time, before.as_ref());
        self.print(&Change { kind, revision, time, before, plugin: &plugin }, &event.cursor)
    }

    fn broken(&mut self, why: &Status, is_lost: bool) {
        let what_next = if is_lost { "going on from a snapshot" } else { "resuming" };
        self.ui.note(&format!("{}the watch broke off ({}); {what_next}", self.prefix, why.message()));
    }
}

struct Change<'a> {
    /// The kind of change: snapshot, added, changed or removed.
    kind: &'a str,
    revision: u64,
    time: Option<Timestamp>,
    /// The plugin before it, if it was seen then.
    before: Option<&'a Plugin>,
    /// The plugin after it.
    plugin: &'a Plugin,
}

impl Change<'_> {
    fn json(&self, cursor: &str) -> Value {
        json!({
            "kind": self.kind,
            "cursor": cursor,
            "revision": self.revision,
            "time": show::time(self.time.as_ref()),
            "plugin_id": self.plugin.id,
            "previous_state": self.before.map(show::state_of).map(show::state_word),
            "what": self.remarks(),
            "plugin": show::plugin_json(self.plugin),
        })
    }

    /// Whether there is something to tell. A plugin that only took note of what it was asked for looks as before.
    fn is_visible(&self) -> bool {
        let Some(before) = self.before.filter(|_| self.kind == "changed") else { return true };
        show::state_of(before) != show::state_of(self.plugin)
            || before.message() != self.plugin.message()
            || before.generation != self.plugin.generation
            || !self.remarks().is_empty()
    }

    fn line(&self, ui: &Ui) -> String {
        let (plugin, time) = (self.plugin, ui.paint(Style::Dim, &show::short_time(self.time.as_ref())));
        let (name, message) = (sanitize(&plugin.name), sanitize(plugin.message()));
        let line = format!("{time}  {:>6}  {}  {name}  {}  {message}", self.revision, plugin.id, self.transition(ui));
        line.trim_end().to_owned()
    }

    fn transition(&self, ui: &Ui) -> String {
        let painted = |state: ReportedState| ui.paint(show::style(state), &show::state_word(state));
        let now = show::state_of(self.plugin);
        let states = match self.before.map(show::state_of) {
            _ if self.kind == "removed" => return ui.paint(Style::Dim, "removed"),
            Some(before) if before != now => format!("{} -> {}", show::state_word(before), painted(now)),
            _ => painted(now),
        };
        let mut remarks = self.remarks();
        remarks.extend(self.desire(now).map(str::to_owned));
        if remarks.is_empty() { states } else { format!("{states} ({})", remarks.join(", ")) }
    }

    /// The step that is still to come for a plugin that stays in its state.
    fn desire(&self, now: ReportedState) -> Option<&'static str> {
        let stays = self.before.is_none_or(|before| show::state_of(before) == now);
        match (self.plugin.active_state(), now) {
            _ if !stays => None,
            (ActiveState::Active, ReportedState::Inactive) => Some("to be started"),
            (ActiveState::Inactive, state) if state != ReportedState::Inactive => Some("to be stopped"),
            _ => None,
        }
    }

    /// The changes beside that of the state.
    fn remarks(&self) -> Vec<String> {
        let Some(before) = self.before else { return Vec::new() };
        let now = self.plugin;
        let mut remarks = Vec::from_iter(package(before, now));
        if before.configuration_revision != now.configuration_revision {
            remarks.push("configured".to_owned());
        }
        remarks.extend(health(before, now).into_iter().flatten().flatten());
        let is_asked_anew = before.generation != now.generation && before.active_state() == now.active_state();
        if remarks.is_empty() && is_asked_anew && now.active_state() == ActiveState::Active {
            // The request for an external plugin was one for a new token.
            let is_external = now.mode() == PluginMode::External;
            remarks.push(if is_external { "new token" } else { "to be started anew" }.to_owned());
        }
        remarks
    }
}

/// The change of its package or manifest.
fn package(before: &Plugin, now: &Plugin) -> Option<String> {
    let (version, is_new) = (show::version(&now.version), before.package_digest != now.package_digest);
    match (is_new, before.previous_package_digest == now.package_digest) {
        (true, true) => Some(format!("back to the package before: {version}")),
        (true, false) => Some(format!("updated to {version}")),
        (false, _) => (before.manifest != now.manifest).then(|| format!("manifest changed, {version}")),
    }
}

/// The changes of its health: whether it answers, events that were lost, faults of its own.
fn health(before: &Plugin, now: &Plugin) -> Option<[Option<String>; 3]> {
    let (before, now) = (before.status.as_ref()?, now.status.as_ref()?);
    let alive = match (before.degraded, now.degraded) {
        (_, true) => Some("does not answer".to_owned()),
        (true, false) if before.state == now.state => Some("answers again".to_owned()),
        _ => None,
    };
    let lost = now.events_dropped.checked_sub(before.events_dropped).filter(|lost| *lost > 0);
    let faults = now.protocol_faults.checked_sub(before.protocol_faults).filter(|faults| *faults > 0);
    let last = sanitize(now.last_protocol_fault());
    Some([
        alive,
        lost.map(|lost| format!("queue overflow: {lost} events lost")),
        faults.map(|count| format!("broke the protocol, {count} times: {last}")),
    ])
}

#[cfg(test)]
mod tests;
