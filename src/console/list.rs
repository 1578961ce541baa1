//! The plugins: all of them, live, searched, sorted, and changed several at once.

use std::{collections::BTreeMap, sync::Arc};

use axum::response::Response;
use maud::{Markup, html};
use tonic::Status;

use super::{
    form::Fields,
    notice::Notice,
    page::{Page, Section, Visit, address, may_write},
    text::{self, is_external, manifest_id, name, state_of, word},
    usage,
};
use crate::{
    api::v1::{ListPluginsRequest, Plugin, ReportedState, WatchStateRequest},
    rest::{Api, Problem, Query},
};

mod change;
mod wanted;

pub(super) use change::{Action, change};
use wanted::{Sort, Wanted};

/// Plugins asked for at a time: the most.
const PAGE: i32 = 1000;

/// Rows of one page.
const ROWS: usize = 100;

/// The page of all plugins.
pub(super) async fn show(visit: Visit, query: Query) -> Result<Response, Problem> {
    let wanted = (Wanted::read(&query), visit.path.clone());
    let make = |api: Arc<Api>, wanted: Arc<(Wanted, String)>| async move {
        let plugins = all(&api).await?;
        Ok(page(&api, &plugins, &wanted.0, &wanted.1))
    };
    visit.show(WatchStateRequest::default(), wanted, make).await
}

/// All plugins, in the order of installation.
///
/// # Errors
/// The service's.
pub(super) async fn all(api: &Api) -> Result<Vec<Plugin>, Status> {
    let (mut plugins, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListPluginsRequest { page_size: PAGE, page_token, ..ListPluginsRequest::default() };
        let page = api.call(request).await?;
        plugins.extend(page.plugins.into_iter().map(text::cleaned));
        if page.next_page_token.is_empty() {
            return Ok(plugins);
        }
        page_token = page.next_page_token;
    }
}

fn page(api: &Api, plugins: &[Plugin], wanted: &Wanted, path: &str) -> Page {
    let page = Page::new(Section::Plugins, "Plugins");
    if plugins.is_empty() {
        // The same parts, so that they come with the first plugin and go with the last.
        return page.live("title", html! {}).live("totals", html! {}).live("plugins", empty(may_write(api)));
    }
    let mut found: Vec<&Plugin> = plugins.iter().filter(|plugin| wanted.finds(plugin)).collect();
    wanted.sort(&mut found);
    page.live("title", html! { h1 { "Plugins" } (search(wanted)) })
        .live("totals", totals(plugins, wanted))
        .live("plugins", table(api, &found, wanted, path))
}

/// What stands where there are no plugins.
fn empty(may_write: bool) -> Markup {
    html! {
        div.empty {
            h1 { "No plugins yet" }
            @if may_write {
                p { "Drop a package here, give the address of one, or register a plugin that runs elsewhere." }
                p { a.button.primary href="/install" { "Install a plugin" } }
                p.soft { "Or on the command line: " code { "plugd install my-plugin.zip" } }
                p.soft { "A plugin to begin with: " code { "plugd new my-plugin --template python" } }
            } @else {
                p { "An administrator can install one." }
            }
        }
    }
}

fn search(wanted: &Wanted) -> Markup {
    html! {
        form.search method="get" action="/" role="search" data-as-you-type {
            @for (name, value) in wanted.fields().filter(|(name, _)| !["q", "page"].contains(name)) {
                input type="hidden" name=(name) value=(value);
            }
            label.hidden for="q" { "Search by name, manifest id or id" }
            input #q type="search" name="q" value=(wanted.text) placeholder="Search by name or id" autocomplete="off";
            button.quiet.no-script { "Search" }
        }
    }
}

/// How many plugins are in each state. Each count leads to those.
fn totals(plugins: &[Plugin], wanted: &Wanted) -> Markup {
    let mut counts = BTreeMap::new();
    plugins.iter().for_each(|plugin| *counts.entry(state_of(plugin)).or_insert(0_usize) += 1);
    html! {
        nav.totals aria-label="Plugins by state" {
            (total(wanted, None, plugins.len()))
            @for (state, count) in counts { (total(wanted, Some(state), count)) }
        }
    }
}

fn total(wanted: &Wanted, state: Option<ReportedState>, count: usize) -> Markup {
    let word = state.map(|state| word(state.as_str_name()));
    let class = word.as_deref().unwrap_or("all");
    html! {
        a.total.(class) href=(wanted.href(|wanted| wanted.state = state)) aria-current=[(wanted.state == state).then_some("true")] {
            strong { (count) } " " (class)
        }
    }
}

fn table(api: &Api, found: &[&Plugin], wanted: &Wanted, path: &str) -> Markup {
    let pages = found.len().div_ceil(ROWS).max(1);
    let place = wanted.page.min(pages - 1);
    let rows = found.iter().skip(place * ROWS).take(ROWS);
    if found.is_empty() {
        return html! { p.empty { "No plugin is like that. " a href="/" { "Show all" } } };
    }
    let table = html! {
        div.wide {
            table.plugins {
                thead {
                    tr {
                        @if may_write(api) { th { input type="checkbox" data-all aria-label="Select all of this page"; } }
                        @for sort in Sort::ALL { (heading(sort, wanted)) }
                        @if may_write(api) { th { span.hidden { "Actions" } } }
                    }
                }
                tbody { @for plugin in rows { (row(plugin, may_write(api))) } }
            }
        }
    };
    html! {
        @if may_write(api) {
            form.table method="post" action="/plugins" data-background {
                input type="hidden" name="back" value=(path);
                (several())
                (table)
            }
        } @else {
            div.table { (table) }
        }
        @if pages > 1 { (turning(wanted, place, pages)) }
    }
}

/// The buttons for what is selected.
fn several() -> Markup {
    html! {
        div.several {
            span.soft { "With the selected:" }
            @for action in Action::ALL {
                button.quiet name="action" value=(action.word()) { (action.label()) }
            }
        }
    }
}

fn heading(sort: Sort, wanted: &Wanted) -> Markup {
    let is_this = wanted.sort == sort;
    let direction = if wanted.is_descending { "descending" } else { "ascending" };
    let href = wanted.href(|wanted| {
        wanted.is_descending = if is_this { !wanted.is_descending } else { sort.is_descending_first() };
        wanted.sort = sort;
    });
    html! {
        th.(sort.word()) aria-sort=[is_this.then_some(direction)] { a href=(href) { (sort.label()) } }
    }
}

fn row(plugin: &Plugin, may_write: bool) -> Markup {
    let status = plugin.status.clone().unwrap_or_default();
    let (id, name) = (&plugin.id, name(plugin));
    html! {
        tr id={ "p-" (id) } {
            @if may_write {
                td.select { input type="checkbox" name="id" value=(id) aria-label={ "Select " (name) }; }
            }
            td.name {
                a href={ "/plugins/" (id) } { (name) }
                @if is_external(plugin) { " " span.tag { "external" } }
                small { (manifest_id(plugin)) @if !plugin.version.is_empty() { " · " (plugin.version) } }
            }
            td.state data-label="State" { (text::states(plugin)) }
            td.since data-label="Since" { (text::time(status.state_time.as_ref())) }
            td.restarts data-label="Restarts" { @if status.restart_count > 0 { (status.restart_count) } @else { span.soft { "0" } } }
            (usage::cells(&status))
            td.failure data-label="Last failure" {
                @if let Some(failure) = &status.failure { span title=(failure.message) { (failure.message) } }
            }
            @if may_write { td.actions { (buttons(plugin)) } }
        }
    }
}

fn buttons(plugin: &Plugin) -> Markup {
    html! {
        @for action in Action::of(plugin) {
            button.icon name=(action.word()) value=(plugin.id) title=(action.label())
                aria-label={ (action.label()) " " (name(plugin)) } { (action.icon()) }
        }
    }
}

fn turning(wanted: &Wanted, place: usize, pages: usize) -> Markup {
    html! {
        nav.pages aria-label="Pages" {
            @if place > 0 { a href=(wanted.href(|wanted| wanted.page = place - 1)) rel="prev" { "Previous" } }
            span { "Page " (place + 1) " of " (pages) }
            @if place + 1 < pages { a href=(wanted.href(|wanted| wanted.page = place + 1)) rel="next" { "Next" } }
        }
    }
}
