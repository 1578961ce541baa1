//! The API's messages as JSON and in words, and `plugd list` and `plugd get`. The JSON is stable: scripts read it.

use std::{collections::BTreeMap, time::Duration};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use indicatif::BinaryBytes;
use prost_types::{Struct, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    Context,
    client::{self, One, all_plugins},
    failure::{Failure, remedy},
    ui::{Cell, Style, Table, Ui, sanitize},
};
pub(super) use crate::api::words::{cpu, manifest_id, placement, state_of, word};
use crate::api::{
    self,
    json::from_struct,
    v1::{self, AccessToken, ListPluginsRequest, Plugin, PluginStatus, ReportedState, Usage, failure::Stage},
    words,
};

pub(super) fn plugin_json(plugin: &Plugin) -> Value {
    json!({
        "id": plugin.id,
        "name": plugin.name,
        "description": plugin.description,
        "version": plugin.version,
        "mode": mode(plugin),
        "manifest": object(Some(&plugin.manifest_struct())),
        "active_state": word(plugin.active_state().as_str_name()),
        "generation": plugin.generation,
        "status": status(plugin.status.as_ref().unwrap_or(&PluginStatus::default())),
        "created": time(plugin.create_time.as_ref()),
        "revision": plugin.revision,
        "configuration_revision": plugin.configuration_revision,
        "package_digest": plugin.package_digest,
        "previous_package_digest": plugin.previous_package_digest,
        "token": plugin.token,
    })
}

fn status(status: &PluginStatus) -> Value {
    json!({
        "state": state_word(status.state()),
        "state_time": time(status.state_time.as_ref()),
        "observed_generation": status.observed_generation,
        "failure": status.failure.as_ref().map(failure),
        "restart_count": status.restart_count,
        "pid": status.pid,
        "run_id": status.run_id,
        "confinement": status.confinement.map(|_| confinement(status)),
        "degraded": status.degraded,
        "events_dropped": status.events_dropped,
        "protocol_faults": status.protocol_faults,
        "last_protocol_fault": status.last_protocol_fault,
        "usage": status.usage.as_ref().map(usage_json),
        "placement": status.placement.as_ref().map(placement_json),
    })
}

/// The word for what holds a plugin's processes.
fn confinement(status: &PluginStatus) -> String {
    let name = status.confinement().as_str_name().trim_start_matches("CONFINEMENT_");
    name.to_ascii_lowercase()
}

fn failure(failure: &v1::Failure) -> Value {
    json!({
        "stage": word(failure.stage().as_str_name()),
        "message": failure.message,
        "exit_code": failure.exit_code,
        "signal": failure.signal,
        "out_of_memory": failure.out_of_memory,
        "survivors": failure.survivors,
        "going_back_to": failure.going_back_to,
        "placement": failure.placement.as_ref().map(placement_json),
    })
}

fn placement_json(placement: &v1::Placement) -> Value {
    json!({"provider": placement.provider, "name": placement.name, "host": placement.host})
}

/// A token as JSON, without its secret.
pub(super) fn token_json(token: &AccessToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": word(token.role().as_str_name()),
        "created": time(token.create_time.as_ref()),
        "expires": time(token.expire_time.as_ref()),
    })
}

/// An object as JSON; an unset one is empty.
pub(super) fn object(fields: Option<&Struct>) -> Map<String, Value> {
    fields.map(from_struct).unwrap_or_default()
}

/// A time as RFC 3339 writes it.
pub(super) fn time(time: Option<&Timestamp>) -> Option<String> {
    time.copied().and_then(api::time).map(|time| time.to_string())
}

/// A time for a person: RFC 3339 to the second, or a hyphen.
pub(super) fn short_time(time: Option<&Timestamp>) -> String {
    let short = time.and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    short.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// A version for a person, who could take it for a count if it stood alone.
pub(super) fn version(version: &str) -> String {
    if version.is_empty() { "no version".to_owned() } else { format!("version {}", sanitize(version)) }
}

pub(super) fn state_word(state: ReportedState) -> String {
    word(state.as_str_name())
}

pub(super) fn mode(plugin: &Plugin) -> String {
    word(plugin.mode().as_str_name())
}

pub(super) fn style(state: ReportedState) -> Style {
    match state {
        ReportedState::Active => Style::Green,
        ReportedState::Error => Style::Red,
        ReportedState::Inactive | ReportedState::Unspecified => Style::Dim,
        _ => Style::Yellow,
    }
}

/// List the plugins
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd list --wide\n  plugd list --state error -o json")]
pub(super) struct List {
    /// Only plugins in this state; may be given several times
    #[arg(long, value_parser = state_arg())]
    state: Vec<ReportedState>,
    /// Show more columns
    #[arg(long)]
    wide: bool,
}

pub(super) fn state_arg() -> impl TypedValueParser<Value = ReportedState> {
    PossibleValuesParser::new(words::states().map(state_word)).map(|word| words::state_named(&word).unwrap_or_default())
}

/// The columns of a list, the first five of which are always shown.
const COLUMNS: [&str; 15] = [
    "id",
    "manifest id",
    "name",
    "mode",
    "state",
    "version",
    "desired",
    "restarts",
    "pid",
    "cpu",
    "memory",
    "processes",
    "open files",
    "since",
    "message",
];

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let states = self.state.iter().map(|state| i32::from(*state)).collect();
        let request = ListPluginsRequest { states, ..ListPluginsRequest::default() };
        let plugins = all_plugins(&context.api, &request).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&Value::Array(plugins.iter().map(plugin_json).collect()))?);
        }
        if plugins.is_empty() {
            context.ui.note(match self.state.as_slice() {
                [] => "No plugins. Install one with `plugd install FILE|DIR`.",
                _ => "No plugin is in such a state.",
            });
            return Ok(());
        }
        let columns = if self.wide { &COLUMNS[..] } else { &COLUMNS[..5] };
        let mut table = Table::new(&columns.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>());
        for plugin in &plugins {
            let fields: BTreeMap<_, _> = fields(plugin).into_iter().collect();
            table.row(columns.iter().map(|name| {
                let value = fields.get(name).filter(|value| !value.is_empty());
                cell(plugin, name, value.map_or("-", String::as_str))
            }));
        }
        Ok(table.print(&context.ui)?)
    }
}

pub(super) async fn get(context: &Context, plugin: &One) -> Result<(), Failure> {
    let (ui, plugin) = (&context.ui, plugin.get(&context.api).await?);
    if ui.is_json() {
        // Programs get its token, too, if the caller may see that.
        return Ok(ui.json(&plugin_json(&client::in_full(&context.api, &plugin).await))?);
    }
    let mut table = Table::default();
    for (name, value) in fields(&plugin).iter().filter(|(_, value)| !value.is_empty()) {
        table.row([format!("{name}:").into(), cell(&plugin, name, value)]);
    }
    Ok(table.print(ui)?)
}

pub(super) fn tell(ui: &Ui, plugin: &Plugin) -> Result<(), Failure> {
    Ok(ui.json_or(|| plugin_json(plugin), || sentence(ui, plugin))?)
}

/// A plugin in a sentence.
pub(super) fn sentence(ui: &Ui, plugin: &Plugin) -> String {
    let state = state_of(plugin);
    let state = ui.paint(style(state), &state_word(state));
    format!("{} {} is {state}", plugin.id, sanitize(&plugin.name))
}

fn cell(plugin: &Plugin, name: &str, value: &str) -> Cell {
    let style = if name == "state" { style(state_of(plugin)) } else { Style::Plain };
    Cell::styled(value, style)
}

/// All fields of a plugin for people; those that it does not have are empty.
fn fields(plugin: &Plugin) -> Vec<(&'static str, String)> {
    let status = plugin.status.clone().unwrap_or_default();
    let faults = match status.protocol_faults {
        0 => String::new(),
        count => format!("{count}, the last one: {}", status.last_protocol_fault()),
    };
    let revision = plugin.configuration_revision.map(|revision| format!("revision {revision}"));
    // A failure at the start left nothing in its log.
    let has_run = status.failure.as_ref().is_none_or(|failure| failure.stage() != Stage::Start);
    let has_failed = status.state() == ReportedState::Error;
    let [cpu, memory, processes, files] = usage_fields(&status);
    vec![
        ("id", plugin.id.clone()),
        ("manifest id", manifest_id(plugin).unwrap_or_default()),
        ("name", plugin.name.clone()),
        ("description", plugin.description.clone()),
        ("version", plugin.version.clone()),
        ("mode", mode(plugin)),
        ("desired", word(plugin.active_state().as_str_name())),
        ("generation", plugin.generation.to_string()),
        ("state", state_word(status.state())),
        ("since", short_time(status.state_time.as_ref())),
        ("message", status.message().to_owned()),
        ("degraded", if status.degraded { "yes".to_owned() } else { String::new() }),
        ("protocol faults", faults),
        ("restarts", status.restart_count.to_string()),
        ("pid", status.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        cpu,
        memory,
        processes,
        files,
        ("run", status.run_id().to_owned()),
        ("placement", status.placement.as_ref().map(placement).unwrap_or_default()),
        ("sandbox", status.confinement.map(|_| confinement(&status)).unwrap_or_default()),
        ("created", short_time(plugin.create_time.as_ref())),
        ("configuration", revision.unwrap_or_else(|| "never set".to_owned())),
        ("package", plugin.package_digest().to_owned()),
        ("previous package", plugin.previous_package_digest().to_owned()),
        ("revision", plugin.revision.to_string()),
        ("hint", if has_failed { remedy(&plugin.id, has_run) } else { String::new() }),
    ]
}

fn usage_json(usage: &Usage) -> Value {
    let cpu_time: Duration = usage.cpu_time.and_then(|time| time.try_into().ok()).unwrap_or_default();
    json!({
        "sample_time": time(usage.sample_time.as_ref()),
        "memory_bytes": usage.memory_bytes,
        "cpu_seconds": cpu_time.as_secs_f64(),
        "cpu_millis": usage.cpu_millis,
        "processes": usage.processes,
        "open_files": usage.open_files,
        "memory_history": usage.memory_history,
    })
}

/// What a plugin uses, for people; what is not known is empty.
fn usage_fields(status: &PluginStatus) -> [(&'static str, String); 4] {
    let Some(usage) = &status.usage else {
        return ["cpu", "memory", "processes", "open files"].map(|name| (name, String::new()));
    };
    [
        ("cpu", cpu(usage).unwrap_or_default()),
        ("memory", BinaryBytes(usage.memory_bytes).to_string()),
        ("processes", usage.processes.to_string()),
        ("open files", usage.open_files.map(|count| count.to_string()).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests;
