//! `plugd list` and `plugd get`, and plugins in a sentence.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::Value;

use super::{
    Context,
    failure::{self, Failure},
    select::{self, One, all_plugins},
    ui::{Cell, Style, Table, Ui, sanitize},
    words,
};
use crate::api::v1::{ListPluginsRequest, Plugin, PluginStatus, ReportedState, failure::Stage};

/// List the plugins
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd list --wide\n  plugd list --state error -o json")]
pub(super) struct List {
    /// Only plugins in this state; may be given several times
    #[arg(long, value_parser = state())]
    state: Vec<ReportedState>,
    /// Show more columns
    #[arg(long)]
    wide: bool,
}

/// The states that a plugin can report.
const STATES: [ReportedState; 7] = [
    ReportedState::Inactive,
    ReportedState::Starting,
    ReportedState::Connecting,
    ReportedState::Active,
    ReportedState::Restarting,
    ReportedState::Stopping,
    ReportedState::Error,
];

/// A reported state, as an argument.
pub(super) fn state() -> impl TypedValueParser<Value = ReportedState> {
    let of_word = |word: String| STATES.into_iter().find(|state| words::state(*state) == word).unwrap_or_default();
    PossibleValuesParser::new(STATES.map(words::state)).map(of_word)
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let states = self.state.iter().map(|state| i32::from(*state)).collect();
        let request = ListPluginsRequest { states, ..ListPluginsRequest::default() };
        let plugins = all_plugins(&context.api, &request).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&Value::Array(plugins.iter().map(words::plugin).collect()))?);
        }
        if plugins.is_empty() {
            context.ui.note(match self.state.as_slice() {
                [] => "No plugins. Install one with `plugd install FILE|DIR`.",
                _ => "No plugin is in such a state.",
            });
            return Ok(());
        }
        Ok(table(&plugins, self.wide).print(&context.ui)?)
    }
}

fn table(plugins: &[Plugin], is_wide: bool) -> Table {
    let heading =
        ["ID", "MANIFEST ID", "NAME", "MODE", "STATE", "VERSION", "DESIRED", "RESTARTS", "PID", "SINCE", "MESSAGE"];
    let shown = if is_wide { heading.len() } else { 5 };
    let mut table = Table::new(&heading[..shown]);
    for plugin in plugins {
        table.row(cells(plugin).into_iter().take(shown));
    }
    table
}

fn cells(plugin: &Plugin) -> [Cell; 11] {
    let state = words::state_of(plugin);
    let status = plugin.status.clone().unwrap_or_default();
    [
        plugin.id.as_str().into(),
        words::manifest_id(plugin).unwrap_or("-").into(),
        plugin.name.as_str().into(),
        words::mode(plugin.mode()).into(),
        Cell::styled(words::state(state), words::style(state)),
        plugin.version.as_str().into(),
        words::desired(plugin.active_state()).into(),
        status.restart_count.to_string().into(),
        status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()).into(),
        words::short_time(status.state_time.as_ref()).into(),
        status.message().into(),
    ]
}

/// Show a plugin
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd get my-plugin\n  plugd get my-plugin -o json")]
pub(super) struct Get {
    #[command(flatten)]
    plugin: One,
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (ui, plugin) = (&context.ui, self.plugin.get(&context.api).await?);
        if ui.is_json() {
            // For programs, with its token, if the caller may see that.
            return Ok(ui.json(&words::plugin(&select::in_full(&context.api, &plugin).await))?);
        }
        let mut table = Table::default();
        for (name, value) in lines(&plugin) {
            table.row([format!("{name}:").into(), value]);
        }
        Ok(table.print(ui)?)
    }
}

/// Prints a plugin in a sentence.
pub(super) fn tell(ui: &Ui, plugin: &Plugin) -> Result<(), Failure> {
    Ok(ui.json_or(|| words::plugin(plugin), || sentence(ui, plugin))?)
}

/// A plugin in a sentence.
pub(super) fn sentence(ui: &Ui, plugin: &Plugin) -> String {
    let state = words::state_of(plugin);
    let state = ui.paint(words::style(state), words::state(state));
    format!("{} {} is {state}", plugin.id, sanitize(&plugin.name))
}

fn revision(revision: u64) -> String {
    if revision == 0 { "never set".to_owned() } else { format!("revision {revision}") }
}

/// What to do about a plugin that failed.
fn hint(plugin: &Plugin) -> String {
    if words::state_of(plugin) != ReportedState::Error {
        return String::new();
    }
    failure::remedy(&plugin.id, has_run(plugin))
}

/// Did a process of it run before it failed? A failure at the start left nothing in its log.
fn has_run(plugin: &Plugin) -> bool {
    let failure = plugin.status.as_ref().and_then(|status| status.failure.as_ref());
    failure.is_none_or(|failure| failure.stage() != Stage::Start)
}

fn faults(status: &PluginStatus) -> String {
    match status.protocol_faults {
        0 => String::new(),
        count => format!("{count}, the last one: {}", status.last_protocol_fault()),
    }
}

fn lines(plugin: &Plugin) -> Vec<(&'static str, Cell)> {
    let status = plugin.status.clone().unwrap_or_default();
    let state = status.state();
    let all = [
        ("id", plugin.id.clone()),
        ("manifest id", words::manifest_id(plugin).unwrap_or_default().to_owned()),
        ("name", plugin.name.clone()),
        ("description", plugin.description.clone()),
        ("version", plugin.version.clone()),
        ("mode", words::mode(plugin.mode()).to_owned()),
        ("desired", format!("{} (generation {})", words::desired(plugin.active_state()), plugin.generation)),
        ("state", words::state(state).to_owned()),
        ("since", words::short_time(status.state_time.as_ref())),
        ("message", status.message().to_owned()),
        ("degraded", if status.degraded { "yes".to_owned() } else { String::new() }),
        ("protocol faults", faults(&status)),
        ("restarts", status.restart_count.to_string()),
        ("pid", status.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("run", status.run_id().to_owned()),
        ("created", words::short_time(plugin.create_time.as_ref())),
        ("configuration", revision(plugin.configuration_revision())),
        ("package", plugin.package_digest().to_owned()),
        ("previous package", plugin.previous_package_digest().to_owned()),
        ("revision", plugin.revision.to_string()),
        ("hint", hint(plugin)),
    ];
    let colored = |(name, value): (&'static str, String)| {
        let style = if name == "state" { words::style(state) } else { Style::Plain };
        (name, Cell::styled(value, style))
    };
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(colored).collect()
}
