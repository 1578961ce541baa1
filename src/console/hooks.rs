//! Webhooks: how they fare, new ones, and the end of them.

use axum::{http::StatusCode, response::Response};
use maud::{Markup, html};

use super::{
    form::Fields,
    notice::Notice,
    page::{Page, Section, Visit, may_write, told},
    text, tokens,
};
use crate::{
    api::{
        v1::{
            CreateHookRequest, CreateHookResponse, DeleteHookRequest, EnableHookRequest, Hook, ListHooksRequest,
            ReportedState, TestHookRequest,
        },
        words::{hook_status, word},
    },
    domain::text::sanitize,
    rest::{Api, Problem},
};

/// The states that a form offers: those that operators want to hear of.
const OFFERED: [ReportedState; 4] =
    [ReportedState::Error, ReportedState::Restarting, ReportedState::Active, ReportedState::Inactive];

/// The page of all webhooks.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let page = page(&visit.api, &Fields::default()).await?;
    Ok(visit.page(page))
}

async fn page(api: &Api, filled: &Fields) -> Result<Page, Problem> {
    // There are fewer than a page has.
    let answer = api.call(ListHooksRequest::default()).await?;
    let (hooks, may_write) = (answer.hooks, may_write(api));
    let title = html! {
        h1 { "Webhooks" }
        p.soft { "Receivers that are told when a plugin comes into a state." }
    };
    let page = Page::new(Section::Server, "Webhooks").fixed("title", title).fixed("hooks", table(&hooks, may_write));
    Ok(if may_write { page.fixed("new", creation(filled)) } else { page })
}

fn table(hooks: &[Hook], may_write: bool) -> Markup {
    html! {
        @if hooks.is_empty() { p.soft { "There are none." } } @else {
            div.table {
                table.stack {
                    thead { tr {
                        th { "Receiver" } th { "States" } th { "Status" } th { "Behind" } th { "Next try" }
                        th { span.hidden { "Actions" } }
                    } }
                    tbody { @for hook in hooks { (row(hook, may_write)) } }
                }
            }
        }
    }
}

fn row(hook: &Hook, may_write: bool) -> Markup {
    let states: Vec<_> = hook.states().map(|state| word(state.as_str_name())).collect();
    let plugins = if hook.plugin_ids.is_empty() { "all plugins".to_owned() } else { hook.plugin_ids.join(", ") };
    html! {
        tr {
            td.name { strong { (sanitize(&hook.url)) } small.block { (hook.id) } small.block { (plugins) } }
            td data-label="States" { (states.join(", ")) }
            td data-label="Status" { (sanitize(&hook_status(hook))) }
            td data-label="Behind" { (hook.behind_revisions) @if hook.missed_revisions > 0 { ", missed " (hook.missed_revisions) } }
            td data-label="Next try" { (text::time(hook.next_attempt_time.as_ref())) }
            td.actions { @if may_write { (actions(hook)) } }
        }
    }
}

fn actions(hook: &Hook) -> Markup {
    html! {
        form.row method="post" action="/hooks/change" {
            input type="hidden" name="id" value=(hook.id);
            button.quiet name="do" value="test" { "Test" }
            @if !hook.enabled || hook.failure_count > 0 { button.quiet name="do" value="enable" { "Try now" } }
            details { summary { "Delete" } button.danger name="do" value="delete" { "Delete for good" } }
        }
    }
}

/// The form for a new one, as it was filled in.
fn creation(filled: &Fields) -> Markup {
    let is_chosen = |word: &str| filled.all("on").any(|on| on == word) || (!filled.has("on") && word == "error");
    html! {
        div.card.narrow {
            h2 { "New webhook" }
            form method="post" action="/hooks" data-background {
                label for="hook-url" { "URL" }
                input #hook-url name="url" type="url" required maxlength="2048" autocomplete="off" value=(filled.text("url"));
                fieldset {
                    legend { "When a plugin comes into" }
                    @for state in OFFERED {
                        @let word = word(state.as_str_name());
                        label { input type="checkbox" name="on" value=(word) checked[is_chosen(&word)]; " " (word) }
                    }
                }
                button.primary { "Add" }
            }
        }
    }
}

/// Makes a webhook, and shows its secret this once: in the answer itself, so that it is in no address and in no history.
pub(super) async fn create(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let is_wanted = |state: &&ReportedState| fields.all("on").any(|on| on == word(state.as_str_name()));
    let states = OFFERED.iter().filter(is_wanted).map(|state| i32::from(*state)).collect();
    let request = CreateHookRequest { url: fields.text("url").to_owned(), states, plugin_ids: Vec::new() };
    match visit.api.call(request).await {
        Ok(made) => Ok(visit.page(made_hook(&made))),
        Err(status) => {
            let problem = told(status)?;
            let page = page(&visit.api, &fields).await?;
            Ok(visit.refused(&problem, page))
        }
    }
}

fn made_hook(made: &CreateHookResponse) -> Page {
    let url = made.hook.as_ref().map(|hook| sanitize(&hook.url)).unwrap_or_default();
    let markup = html! {
        div.card.narrow {
            h1 { "A webhook to " (url) }
            p { "Copy its secret now: it is not shown again. The receiver checks signatures with it." }
            (tokens::secret("Secret", &made.secret))
            p { a.button href="/hooks" { "Back to the webhooks" } }
        }
    };
    Page::new(Section::Server, "New webhook").fixed("confirm", markup)
}

/// Tests, enables or deletes a webhook.
pub(super) async fn change(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let (api, hook_id) = (&visit.api, fields.text("id").to_owned());
    let done = match fields.text("do") {
        "test" => api.call(TestHookRequest { hook_id }).await.map(|_| "The receiver has taken the test event."),
        "enable" => api.call(EnableHookRequest { hook_id }).await.map(|_| "The webhook delivers again."),
        "delete" => api.call(DeleteHookRequest { hook_id }).await.map(|_| "The webhook is deleted."),
        _ => return Err(Problem::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "there is no such button")),
    };
    Ok(Notice::told(done)?.on("/hooks"))
}

#[cfg(test)]
mod tests;
