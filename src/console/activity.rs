//! What happened: to plugins, as the journal tells it, and at whose call, as the audit trail does.

use std::{collections::HashMap, sync::Arc};

use axum::response::Response;
use maud::{Markup, html};

use super::{
    list,
    page::{Page, Section, Visit, address, may_write, turning},
    text::{self, name},
};
use crate::{
    domain::text::sanitize,
    rest::{Api, Problem, Query},
};

mod audit;
mod changes;

pub(super) use changes::timeline;

/// Entries of one page.
const ROWS: i32 = 100;

/// The ways to the newest entries and to older ones, in words.
const PAGES: [&str; 2] = ["Newest", "Older"];

/// The page of what happened.
pub(super) async fn show(visit: Visit, query: Query) -> Result<Response, Problem> {
    match query.one("tab")?.unwrap_or_default() {
        "audit" => audit::show(visit, &query).await,
        _ => changes::show(visit, &query).await,
    }
}

/// A page with its title and its tabs.
fn page(tab: &str) -> Page {
    let tabs = [("changes", "/activity", "Changes"), ("audit", "/activity?tab=audit", "Audit")];
    let tabs = html! {
        nav.tabs aria-label="Activity" {
            @for (word, path, words) in tabs { a href=(path) aria-current=[(word == tab).then_some("page")] { (words) } }
        }
    };
    Page::new(Section::Activity, "Activity").fixed("title", html! { h1 { "Activity" } }).fixed("tabs", tabs)
}

/// What the plugins are called that are there now, by their ids.
async fn names(api: &Api) -> Result<HashMap<String, String>, Problem> {
    Ok(list::all(api).await?.iter().map(|plugin| (plugin.id.clone(), name(plugin))).collect())
}

/// A plugin with the way to its page, if it is still there.
fn plugin(id: &str, named: &str, names: &HashMap<String, String>) -> Markup {
    match names.get(id) {
        Some(name) => html! { a href={ "/plugins/" (id) } { (name) } },
        None => html! { span title=(id) { (if named.is_empty() { id } else { named }) } },
    }
}

/// The choice of a plugin, among those that are there and the one that is chosen.
fn plugin_field(names: &HashMap<String, String>, chosen: &str) -> Markup {
    let mut options: Vec<(&str, &str)> = names.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    options.sort_by_key(|(id, name)| (name.to_lowercase(), *id));
    html! {
        div.wider {
            label for="plugin" { "Plugin" }
            select #plugin name="plugin" {
                option value="" { "All" }
                @if !chosen.is_empty() && !names.contains_key(chosen) { option value=(chosen) selected { (chosen) } }
                @for (id, name) in options { option value=(id) selected[id == chosen] { (name) } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
