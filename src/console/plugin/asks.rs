//! What a manifest asks for, which is agreed to before anything of the plugin runs.

use axum::{extract::Path, response::Response};
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::{
    super::{
        list::{self, Action},
        page::{Page, Section, Visit, may_write},
        text,
    },
    find,
};
use crate::{api::json::from_struct, domain::text::sanitize, rest::Problem};

/// The page after a package was installed: nothing of it has run.
pub(super) async fn review(visit: Visit, Path(id): Path<String>) -> Result<Response, Problem> {
    let plugin = find(&visit.api, &id).await?;
    let manifest = from_struct(&plugin.manifest_struct());
    let name = text::name(&plugin);
    let button = |action: Action, back: &str, class: &str, label: &str| {
        html! {
            form method="post" action="/plugins" data-background {
                input type="hidden" name="back" value=(back);
                button.(class) name=(action.word()) value=(id) { (label) }
            }
        }
    };
    let own = format!("/plugins/{id}");
    let others = list::all(&visit.api).await?;
    let others = others.iter().filter(|other| other.id != id && text::manifest_id(other) == text::manifest_id(&plugin));
    let markup = html! {
        div.card.narrow {
            h1 { "Agree to what “" (name) "” asks for?" }
            p.soft { "It is installed, and nothing of it has run." }
            @for other in others {
                p.notice.caution {
                    "It is one more with this manifest id: " a href={ "/plugins/" (other.id) } { (text::name(other)) } " is there already. \
                    If it was to be replaced, delete this one and use " a href={ "/plugins/" (other.id) "?tab=package" } { "its page" } "."
                }
            }
            (asks(&manifest))
            @if may_write(&visit.api) {
                div.row {
                    (button(Action::Start, &own, "primary", "Agree and start it"))
                    a.button href=(own) { "Keep it stopped" }
                    (button(Action::Delete, "/", "quiet", "Delete it"))
                }
            }
        }
    };
    Ok(visit.page(Page::new(Section::Install, name).fixed("review", markup)))
}

/// What a manifest asks for.
pub(in crate::console) fn asks(manifest: &Map<String, Value>) -> Markup {
    let string = |key: &str| manifest.get(key).and_then(Value::as_str).map(sanitize).filter(|text| !text.is_empty());
    let access = manifest.get("access");
    let permissions = access.map(|access| strings(&access["permissions"])).unwrap_or_default();
    let events = manifest.get("events_consumed").map(strings).unwrap_or_default();
    let capabilities = manifest.get("capabilities").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let command =
        [string("command")].into_iter().flatten().chain(manifest.get("args").map(strings).unwrap_or_default());
    let command: Vec<String> = command.collect();
    html! {
        dl.facts {
            dt { "Name" } dd { (string("name").unwrap_or_default()) @if let Some(version) = string("version") { ", version " (version) } }
            dt { "Manifest id" } dd { (string("id").unwrap_or_default()) }
            @if let Some(author) = string("author") { dt { "Author" } dd { (author) } }
            @if let Some(description) = string("description") { dt { "Description" } dd { (description) } }
            @if !command.is_empty() { dt { "Runs" } dd { code { (command.join(" ")) } } }
            dt { "Access" }
            dd {
                @match access {
                    None => "none to the application",
                    Some(access) => {
                        "as “" (sanitize(access["name"].as_str().unwrap_or_default())) "”, with "
                        @if permissions.is_empty() { "no permissions" } @else { (listed(&permissions)) }
                    }
                }
            }
            dt { "Events" }
            dd { @if events.is_empty() { "none" } @else { (listed(&events)) } }
            dt { "Capabilities" }
            dd { @if capabilities.is_empty() { "none" } @else { ul { @for one in capabilities { li { (capability(one)) } } } } }
        }
    }
}

fn capability(capability: &Value) -> String {
    let text = |key: &str| sanitize(capability[key].as_str().unwrap_or_default());
    let tools = capability["tools"].as_array().map_or(0, Vec::len);
    let tools = if tools > 0 { format!(", {tools} tools") } else { String::new() };
    format!("{} {} {}{tools}", text("type"), text("id"), text("version"))
}

fn listed(words: &[String]) -> Markup {
    html! { @for word in words { code { (word) } " " } }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(sanitize).collect()
}
