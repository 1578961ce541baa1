//! `plugd get`.

use clap::Args;

use super::{
    Context,
    failure::{self, Failure},
    resolve, shape,
    table::{Cell, Table},
    ui::{Ui, sanitize},
};
use crate::api::v1::{Plugin, PluginStatus, ReportedState};

/// Show a plugin
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd get my-plugin\n  plugd get my-plugin -o json")]
pub(super) struct Get {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        show(&context.ui, &resolve::plugin(&context.api, &self.plugin).await?)
    }
}

/// Prints all about a plugin.
///
/// # Errors
/// The other end is gone.
pub(super) fn show(ui: &Ui, plugin: &Plugin) -> Result<(), Failure> {
    if ui.is_json() {
        return Ok(ui.json(&shape::plugin(plugin))?);
    }
    let mut table = Table::default();
    for (name, value) in lines(plugin) {
        table.row([format!("{name}:").into(), value]);
    }
    Ok(table.print(ui)?)
}

/// Prints a plugin in a sentence.
///
/// # Errors
/// The other end is gone.
pub(super) fn tell(ui: &Ui, plugin: &Plugin) -> Result<(), Failure> {
    if ui.is_json() {
        return Ok(ui.json(&shape::plugin(plugin))?);
    }
    Ok(ui.line(&sentence(ui, plugin))?)
}

/// A plugin in a sentence.
pub(super) fn sentence(ui: &Ui, plugin: &Plugin) -> String {
    let state = shape::state_of(plugin);
    let state = ui.paint(shape::style(state), shape::state(state));
    format!("{} {} is {state}", plugin.id, sanitize(&plugin.name))
}

fn revision(revision: u64) -> String {
    if revision == 0 { "never set".to_owned() } else { format!("revision {revision}") }
}

/// What to do about a plugin that failed.
fn hint(plugin: &Plugin) -> String {
    if shape::state_of(plugin) != ReportedState::Error {
        return String::new();
    }
    failure::remedy(&plugin.id, has_run(plugin))
}

/// Did a process of it run before it failed? A failure at the start left nothing in its log.
fn has_run(plugin: &Plugin) -> bool {
    let details = shape::object(plugin.status.as_ref().and_then(|status| status.details.as_ref()));
    details.get("stage").is_none_or(|stage| stage != failure::START)
}

fn faults(status: &PluginStatus) -> String {
    match status.protocol_faults {
        0 => String::new(),
        count => format!("{count}, the last one: {}", status.last_protocol_fault),
    }
}

fn lines(plugin: &Plugin) -> Vec<(&'static str, Cell)> {
    let status = plugin.status.clone().unwrap_or_default();
    let state = status.state();
    let all = [
        ("id", plugin.id.clone()),
        ("manifest id", shape::manifest_id(plugin).unwrap_or_default().to_owned()),
        ("name", plugin.name.clone()),
        ("description", plugin.description.clone()),
        ("version", plugin.version.clone()),
        ("mode", shape::mode(plugin.mode()).to_owned()),
        ("desired", format!("{} (generation {})", shape::desired(plugin.desired_state()), plugin.generation)),
        ("state", shape::state(state).to_owned()),
        ("since", shape::short_time(status.since.as_ref())),
        ("message", status.message.clone()),
        ("degraded", if status.degraded { "yes".to_owned() } else { String::new() }),
        ("protocol faults", faults(&status)),
        ("restarts", status.restart_count.to_string()),
        ("pid", if status.pid == 0 { String::new() } else { status.pid.to_string() }),
        ("run", status.run_id.clone()),
        ("created", shape::short_time(plugin.create_time.as_ref())),
        ("configuration", revision(plugin.configuration_revision)),
        ("package", plugin.package_digest.clone()),
        ("previous package", plugin.previous_package_digest.clone()),
        ("revision", plugin.revision.to_string()),
        ("hint", hint(plugin)),
    ];
    let colored = |(name, value): (&'static str, String)| {
        let style = if name == "state" { shape::style(state) } else { super::ui::Style::Plain };
        (name, Cell::styled(value, style))
    };
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(colored).collect()
}
