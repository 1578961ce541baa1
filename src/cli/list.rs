//! `plugd list`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    Context,
    failure::Failure,
    resolve::all_plugins,
    shape,
    table::{Cell, Table},
};
use crate::api::v1::{ListPluginsRequest, Plugin, ReportedState};

/// List the plugins
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd list --wide\n  plugd list --state error -o json")]
pub(super) struct List {
    /// Only plugins in this state; may be given several times
    #[arg(long, value_enum)]
    state: Vec<State>,
    /// Show more columns
    #[arg(long)]
    wide: bool,
}

/// A reported state, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    Inactive,
    Starting,
    Connecting,
    Active,
    Restarting,
    Stopping,
    Error,
}

impl From<State> for ReportedState {
    fn from(state: State) -> Self {
        match state {
            State::Inactive => Self::Inactive,
            State::Starting => Self::Starting,
            State::Connecting => Self::Connecting,
            State::Active => Self::Active,
            State::Restarting => Self::Restarting,
            State::Stopping => Self::Stopping,
            State::Error => Self::Error,
        }
    }
}

/// States as a request names them.
pub(super) fn states(states: &[State]) -> Vec<i32> {
    states.iter().map(|state| ReportedState::from(*state).into()).collect()
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = ListPluginsRequest { states: states(&self.state), ..ListPluginsRequest::default() };
        let plugins = all_plugins(&context.api, &request).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&Value::Array(plugins.iter().map(shape::plugin).collect()))?);
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
    let state = shape::state_of(plugin);
    let status = plugin.status.clone().unwrap_or_default();
    [
        plugin.id.as_str().into(),
        shape::manifest_id(plugin).unwrap_or("-").into(),
        plugin.name.as_str().into(),
        shape::mode(plugin.mode()).into(),
        Cell::styled(shape::state(state), shape::style(state)),
        plugin.version.as_str().into(),
        shape::desired(plugin.desired_state()).into(),
        status.restart_count.to_string().into(),
        if status.pid == 0 { "-".into() } else { status.pid.to_string().into() },
        shape::short_time(status.since.as_ref()).into(),
        status.message.as_str().into(),
    ]
}
