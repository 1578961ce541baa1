//! `plugd history`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    client::{pages, plugin_id},
    completions,
    failure::Failure,
    show::{plugin_json, short_time, state_of, state_word, style, time, word},
    ui::{Cell, Style},
};
use crate::api::v1::{ListPluginEventsRequest, Plugin, PluginEvent, ReportedState, plugin_event::Kind};

/// Show what happened to a plugin, or to all, newest first
///
/// Goes back as far as the server keeps its journal, a million changes by default, and also tells of plugins that were deleted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd history my-plugin\n  plugd history --limit 1000 -o json")]
pub(super) struct History {
    /// The plugin: its id, which may be that of a deleted one, or its manifest id or name if no other has it
    #[arg(value_name = "ID", add = completions::plugins())]
    plugin: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let api = &context.api;
        let plugin_id = match &self.plugin {
            Some(plugin) => Some(plugin_id(api, plugin).await?),
            None => None,
        };
        let ask = |page_size, page_token| {
            let plugin_id = plugin_id.clone();
            ListPluginEventsRequest { plugin_id, page_size, page_token }
        };
        let events = pages(api, self.limit, ask, |page| (page.events, page.next_page_token)).await?;
        let heading = ["TIME", "PLUGIN", "NAME", "FROM", "TO", "DESIRED", "MESSAGE"];
        Ok(context.ui.list(&heading, &events, event_json, cells)?)
    }
}

fn event_json(event: &PluginEvent) -> Value {
    let mut plugin = plugin_json(&plugin(event));
    if let Some(fields) = plugin.as_object_mut() {
        // Those are not sent.
        fields.retain(|name, _| !["manifest", "description", "token"].contains(&name.as_str()));
    }
    json!({
        "kind": word(event.kind().as_str_name()),
        "revision": event.revision,
        "time": time(event.commit_time.as_ref()),
        "plugin_id": event.plugin_id,
        "previous_state": before(event).map(state_word),
        "plugin": plugin,
    })
}

fn cells(event: &PluginEvent) -> [Cell; 7] {
    let plugin = plugin(event);
    let state = state_of(&plugin);
    [
        short_time(event.commit_time.as_ref()).into(),
        event.plugin_id.as_str().into(),
        plugin.name.as_str().into(),
        before(event).map_or_else(|| "-".to_owned(), state_word).into(),
        match event.kind() {
            Kind::Removed => Cell::styled("removed", Style::Dim),
            _ => Cell::styled(state_word(state), style(state)),
        },
        word(plugin.active_state().as_str_name()).into(),
        plugin.message().into(),
    ]
}

fn plugin(event: &PluginEvent) -> Plugin {
    event.plugin.clone().unwrap_or_default()
}

/// The state before it; none of a plugin that is new.
fn before(event: &PluginEvent) -> Option<ReportedState> {
    event.state_before.map(|_| event.state_before())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::{Failure, PluginStatus},
        cli::{
            global::Output,
            ui::{Table, tests::mk_ui},
        },
    };

    fn mk_event(kind: Kind, before: Option<ReportedState>) -> PluginEvent {
        let failure = Some(Failure { message: "exit\x1b[2J status 1".to_owned(), ..Failure::default() });
        let status = PluginStatus { state: ReportedState::Error.into(), failure, ..PluginStatus::default() };
        PluginEvent {
            kind: kind.into(),
            revision: 7,
            plugin_id: "x".to_owned(),
            plugin: Some(Plugin { name: "Chaos".to_owned(), status: Some(status), ..Plugin::default() }),
            state_before: before.map(i32::from),
            ..PluginEvent::default()
        }
    }

    #[test]
    fn what_happened_is_a_line_of_which_no_terminal_obeys_anything() {
        let (ui, screen) = mk_ui(Output::Table);
        let mut table = Table::default();
        table.row(cells(&mk_event(Kind::Changed, Some(ReportedState::Active))));
        table.row(cells(&mk_event(Kind::Added, None)));
        table.row(cells(&mk_event(Kind::Removed, Some(ReportedState::Inactive))));
        table.print(&ui).unwrap();
        let text = screen.text();
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0][..6], ["-", "x", "Chaos", "active", "error", "unspecified"]);
        assert_eq!(words[1][3..5], ["-", "error"]);
        assert_eq!(words[2][3..5], ["inactive", "removed"]);
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn the_json_of_what_happened_is_stable() {
        let told = event_json(&mk_event(Kind::Changed, Some(ReportedState::Active)));
        let expected = json!({
            "kind": "changed", "revision": 7, "time": null, "plugin_id": "x", "previous_state": "active",
            "plugin": told["plugin"],
        });
        assert_eq!(told, expected);
        assert_eq!(told["plugin"]["status"]["state"], "error");
        assert_eq!(told["plugin"].get("manifest"), None, "it was not sent");
        assert_eq!(event_json(&mk_event(Kind::Added, None))["previous_state"], Value::Null);
    }
}
