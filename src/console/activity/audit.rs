//! Who changed what, or tried to: the audit trail, newest first.

use axum::http::StatusCode;

use super::*;
use crate::{
    api::v1::{
        AccessToken, AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse, ListTokensRequest,
        audit_event::Principal,
    },
    domain::text::sanitize,
};

/// Tokens that are offered to choose from.
const TOKENS: i32 = 1000;

/// Which events are shown: all of it is in the page's address.
#[derive(Debug, Default)]
struct Wanted {
    plugin: String,
    method: String,
    token: String,
    page: String,
}

impl Wanted {
    fn read(query: &Query) -> Result<Self, Problem> {
        let of = |name| query.one(name).map(|value| value.unwrap_or_default().trim().to_owned());
        Ok(Self { plugin: of("plugin")?, method: of("method")?, token: of("token")?, page: of("page")? })
    }

    fn request(&self) -> ListAuditEventsRequest {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        ListAuditEventsRequest {
            page_size: ROWS,
            page_token: self.page.clone(),
            plugin_id: given(&self.plugin),
            principal_token_id: given(&self.token),
            method: given(&self.method),
        }
    }

    /// The address of another page of the same, or of events that this field has as well.
    fn with(&self, name: &str, value: &str) -> String {
        let or = |field, usual| if field == name { value } else { usual };
        let fields = [
            ("tab", "audit"),
            ("plugin", or("plugin", &self.plugin)),
            ("method", or("method", &self.method)),
            ("token", or("token", &self.token)),
            ("page", or("page", "")),
        ];
        address("/activity", fields)
    }
}

/// The tab of the audit trail.
pub(super) async fn show(visit: Visit, query: &Query) -> Result<Response, Problem> {
    if !may_write(&visit.api) {
        return Ok(visit.page(page("audit").fixed("audit", refused())));
    }
    let (wanted, api) = (Wanted::read(query)?, Arc::clone(&visit.api));
    let names = names(&api).await?;
    let tokens = ListTokensRequest { page_size: TOKENS, ..ListTokensRequest::default() };
    let tokens = api.call(tokens).await?.tokens;
    let answer = api.call(wanted.request()).await;
    let (answer, fault) = match answer.map_err(Problem::from) {
        Ok(answer) => (answer, None),
        Err(problem) if problem.status() == StatusCode::BAD_REQUEST => {
            (ListAuditEventsResponse::default(), Some(problem))
        }
        Err(problem) => return Err(problem),
    };
    let markup = html! {
        @if let Some(fault) = fault { p.notice.failure role="alert" { (fault.message()) } }
        @else if answer.events.is_empty() { p.empty { "Nobody called anything like that. " a href="/activity?tab=audit" { "Show all" } } }
        @else { (table(&answer.events, &names, &wanted)) }
        (turning(PAGES, (&wanted.page, &answer.next_page_token), |page| wanted.with("page", page)))
    };
    Ok(visit.page(page("audit").fixed("filters", form(&wanted, &names, &tokens)).fixed("audit", markup)))
}

/// What those see who are no administrators.
fn refused() -> Markup {
    html! { p.empty { "The audit trail is for administrators. Your token only reads, and not this." } }
}

fn form(wanted: &Wanted, names: &HashMap<String, String>, tokens: &[AccessToken]) -> Markup {
    let is_known = wanted.token.is_empty() || tokens.iter().any(|token| token.id == wanted.token);
    html! {
        form.filters method="get" action="/activity" {
            input type="hidden" name="tab" value="audit";
            (plugin_field(names, &wanted.plugin))
            div.wider {
                label for="method" { "Method" }
                input #method name="method" value=(wanted.method) placeholder="SetActiveState" autocomplete="off" spellcheck="false";
            }
            div.wider {
                label for="token" { "Token" }
                select #token name="token" {
                    option value="" { "All" }
                    @if !is_known { option value=(wanted.token) selected { (wanted.token) } }
                    @for token in tokens { option value=(token.id) selected[token.id == wanted.token] { (sanitize(&token.name)) } }
                }
            }
            button { "Show" }
        }
    }
}

fn table(events: &[AuditEvent], names: &HashMap<String, String>, wanted: &Wanted) -> Markup {
    html! {
        div.table {
            div.wide {
                table.stack {
                    thead { tr { th { "When" } th { "Who" } th { "What" } th { "Of" } th { "From" } th { "Result" } } }
                    tbody { @for event in events { (row(event, names, wanted)) } }
                }
            }
        }
    }
}

fn row(event: &AuditEvent, names: &HashMap<String, String>, wanted: &Wanted) -> Markup {
    let who = event.principal.clone().unwrap_or_default();
    html! {
        tr id={ "e" (event.id) } {
            td data-label="When" { (text::time(event.end_time.as_ref())) }
            td data-label="Who" { (principal(&who, wanted)) }
            td data-label="What" { (method(&event.method, wanted)) }
            td data-label="Of" { (about(event, names)) }
            td data-label="From" { @if event.address.is_empty() { span.soft { "–" } } @else { (event.address) } }
            td data-label="Result" { (result(event)) }
        }
    }
}

fn principal(who: &Principal, wanted: &Wanted) -> Markup {
    let name = sanitize(&who.name);
    html! {
        span {
            a href=(wanted.with("token", &who.token_id)) title={ "Only what was called with " (who.token_id) } { (name) }
            small.block { (text::word(who.role().as_str_name())) }
        }
    }
}

fn method(method: &str, wanted: &Wanted) -> Markup {
    let (service, short) = method.rsplit_once('/').unwrap_or(("", method));
    let service = service.rsplit('.').next().unwrap_or_default();
    html! {
        span {
            a href=(wanted.with("method", short)) title={ "Only calls of " (short) } { (short) }
            small.block { (service) }
        }
    }
}

/// What a call was about.
fn about(event: &AuditEvent, names: &HashMap<String, String>) -> Markup {
    html! {
        @if let Some(id) = &event.plugin_id { (plugin(id, "", names)) }
        @else if let Some(id) = &event.token_id { span { "token " small { (id) } } }
        @else if let Some(id) = &event.hook_id { span { "webhook " small { (id) } } }
        @else { span.soft { "–" } }
    }
}

/// How a call was answered, and the trace by which plugd's own log tells more.
fn result(event: &AuditEvent) -> Markup {
    let class = match event.code.as_str() {
        "OK" => "ok",
        "CANCELLED" => "warning",
        _ => "failure",
    };
    html! {
        span {
            span.pill.outcome.(class) title={ "Trace " (event.trace_id) } { (event.code) }
            @if !event.reason.is_empty() && event.reason != event.code { small.block { (event.reason) } }
        }
    }
}
