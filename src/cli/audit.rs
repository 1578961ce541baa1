//! `plugd audit`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    client::{Api, pages, plugin_id},
    completions,
    failure::Failure,
    show::{short_time, time, word},
    token,
    ui::{Cell, Style},
};
use crate::{
    api::v1::{AuditEvent, ListAuditEventsRequest, audit_event::Principal},
    domain::audit::OK,
};

/// Show who changed what, newest first: calls that changed something, or were to
///
/// Takes an administrator's token. Reads are not told of, nor calls without a good token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd audit --plugin my-plugin\n  plugd audit --by ci --limit 1000 -o json\n  \
                        plugd audit --method DeletePlugin")]
pub(super) struct Audit {
    /// Only what was about this plugin: its id, which may be that of a deleted one, its manifest id or its name
    #[arg(long, value_name = "ID", add = completions::plugins())]
    plugin: Option<String>,
    /// Only what was done with this token: its id, which may be that of a revoked one, or its name
    #[arg(long, value_name = "TOKEN")]
    by: Option<String>,
    /// Only calls of this method, like SetActiveState
    #[arg(long)]
    method: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

impl Audit {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (api, filters) = (&context.api, self.filters(&context.api).await?);
        let ask = |page_size, page_token| ListAuditEventsRequest { page_size, page_token, ..filters.clone() };
        let events = pages(api, self.limit, ask, |page| (page.events, page.next_page_token)).await?;
        let heading = ["TIME", "BY", "ROLE", "FROM", "METHOD", "ABOUT", "OUTCOME"];
        Ok(context.ui.list(&heading, &events, event_json, cells)?)
    }

    async fn filters(&self, api: &Api) -> Result<ListAuditEventsRequest, Failure> {
        let mut request = ListAuditEventsRequest { method: self.method.clone(), ..ListAuditEventsRequest::default() };
        if let Some(plugin) = &self.plugin {
            request.plugin_id = Some(plugin_id(api, plugin).await?);
        }
        if let Some(token) = &self.by {
            request.principal_token_id = Some(token::id(api, token).await?);
        }
        Ok(request)
    }
}

fn event_json(event: &AuditEvent) -> Value {
    let by = by(event);
    json!({
        "id": event.id,
        "time": time(event.end_time.as_ref()),
        "by": {"token_id": by.token_id, "name": by.name, "role": word(by.role().as_str_name())},
        "address": event.address,
        "method": event.method,
        "plugin_id": event.plugin_id,
        "token_id": event.token_id,
        "hook_id": event.hook_id,
        "code": event.code,
        "reason": event.reason,
        "trace_id": event.trace_id,
    })
}

fn cells(event: &AuditEvent) -> [Cell; 7] {
    let by = by(event);
    let method = event.method.rsplit('/').next().unwrap_or_default();
    let about = event.plugin_id.as_ref().or(event.token_id.as_ref()).or(event.hook_id.as_ref());
    // The reason says more than the code, where there is one.
    let outcome = if event.reason.is_empty() { &event.code } else { &event.reason };
    [
        short_time(event.end_time.as_ref()).into(),
        by.name.as_str().into(),
        word(by.role().as_str_name()).into(),
        if event.address.is_empty() { "-" } else { event.address.as_str() }.into(),
        method.into(),
        about.map_or("-", String::as_str).into(),
        Cell::styled(outcome, if event.code == OK { Style::Plain } else { Style::Yellow }),
    ]
}

fn by(event: &AuditEvent) -> Principal {
    event.principal.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::Role,
        cli::{
            global::Output,
            ui::{Table, tests::mk_ui},
        },
    };

    fn mk_event() -> AuditEvent {
        let (token_id, name) = ("d0a1b2c3d4e5f6g7h8i0".to_owned(), "c\x1b[2Ji".to_owned());
        AuditEvent {
            id: 7,
            end_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
            principal: Some(Principal { token_id, name, role: Role::Viewer.into() }),
            address: "10.0.0.1".to_owned(),
            method: "plugd.v1.PluginService/DeletePlugin".to_owned(),
            code: "PERMISSION_DENIED".to_owned(),
            ..AuditEvent::default()
        }
    }

    #[test]
    fn an_event_is_a_line_on_which_nothing_is_left_out_and_no_terminal_obeys() {
        let (ui, printed) = mk_ui(Output::Table);
        let done =
            AuditEvent { address: String::new(), code: OK.to_owned(), plugin_id: Some("p".into()), ..mk_event() };
        let failed = AuditEvent { reason: "SUPERSEDED".to_owned(), token_id: Some("t".into()), ..mk_event() };
        let mut table = Table::default();
        [mk_event(), done, failed].iter().for_each(|event| table.row(cells(event)));
        table.print(&ui).unwrap();
        let expected = "2023-11-14T22:13:20Z  c [2Ji  viewer  10.0.0.1  DeletePlugin  -  PERMISSION_DENIED\n\
                        2023-11-14T22:13:20Z  c [2Ji  viewer  -         DeletePlugin  p  OK\n\
                        2023-11-14T22:13:20Z  c [2Ji  viewer  10.0.0.1  DeletePlugin  t  SUPERSEDED\n";
        assert_eq!(printed.text(), expected);
    }

    #[test]
    fn programs_get_everything() {
        let expected = json!({
            "id": 7,
            "time": "2023-11-14T22:13:20.005Z",
            "by": {"token_id": "d0a1b2c3d4e5f6g7h8i0", "name": "c\x1b[2Ji", "role": "viewer"},
            "address": "10.0.0.1",
            "method": "plugd.v1.PluginService/DeletePlugin",
            "plugin_id": null,
            "token_id": null,
            "hook_id": null,
            "code": "PERMISSION_DENIED",
            "reason": "",
            "trace_id": "",
        });
        assert_eq!(event_json(&mk_event()), expected);
    }
}
