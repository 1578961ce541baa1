//! One plugin: its head, and a tab for each thing that one wants of it.

mod asks;
mod configuration;
mod connection;
mod manifest;
mod overview;
mod package;

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};

use super::{
    list::Action,
    logs,
    page::{Page, Section, Visit, may_write},
    text,
};
use crate::{
    api::v1::{GetPluginRequest, Plugin, WatchStateRequest},
    rest::{Api, App, Problem, Query},
};

pub(super) use asks::asks;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/plugins/{id}", get(show))
        .route("/plugins/{id}/review", get(asks::review))
        .route("/plugins/{id}/configuration", get(configuration::ask).post(configuration::save))
        .route("/plugins/{id}/package", get(package::download).post(package::replace))
        .route("/plugins/{id}/rollback", post(package::roll_back))
        .route("/plugins/{id}/manifest", get(manifest::ask).post(manifest::save))
        .route("/plugins/{id}/token", post(connection::rotate))
}

/// What a page about a plugin shows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Overview,
    Configuration,
    Package,
    Manifest,
    Connection,
    Logs,
}

impl Tab {
    /// The tabs that a plugin has: only one that is run here has a package, only one that is not is given a token.
    fn of(plugin: &Plugin) -> impl Iterator<Item = Self> {
        let is_external = text::is_external(plugin);
        [Self::Overview, Self::Configuration, Self::Package, Self::Manifest, Self::Connection, Self::Logs]
            .into_iter()
            .filter(move |tab| match tab {
                Self::Package | Self::Logs => !is_external,
                Self::Connection => is_external,
                _ => true,
            })
    }

    /// As addresses have it.
    fn word(self) -> String {
        self.label().to_lowercase()
    }

    fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Configuration => "Configuration",
            Self::Package => "Package",
            Self::Manifest => "Manifest",
            Self::Connection => "Connection",
            Self::Logs => "Logs",
        }
    }

    fn path(self, id: &str) -> String {
        match self {
            Self::Overview => format!("/plugins/{id}"),
            tab => format!("/plugins/{id}?tab={}", tab.word()),
        }
    }
}

async fn show(visit: Visit, Path(id): Path<String>, query: Query) -> Result<Response, Problem> {
    let watched = WatchStateRequest { plugin_ids: vec![id.clone()], ..WatchStateRequest::default() };
    let tab = query.one("tab")?.unwrap_or_default().to_owned();
    let wanted = Wanted { id, tab, query, path: visit.path.clone(), is_live: visit.is_live };
    visit.show(watched, wanted, make).await
}

/// What is asked for.
struct Wanted {
    id: String,
    tab: String,
    query: Query,
    path: String,
    /// Whether as a stream.
    is_live: bool,
}

async fn make(api: Arc<Api>, wanted: Arc<Wanted>) -> Result<Page, Problem> {
    let Wanted { id, tab, query, path, is_live } = &*wanted;
    let plugin = find(&api, id).await?;
    let tab = Tab::of(&plugin).find(|known| known.word() == *tab).unwrap_or(Tab::Overview);
    let page = frame(&api, &plugin, tab);
    match tab {
        Tab::Overview => overview::add(page, &api, &plugin).await,
        Tab::Configuration => configuration::add(page, &api, &plugin, query).await,
        Tab::Package => Ok(package::add(page, &api, &plugin)),
        Tab::Manifest => Ok(manifest::add(page, &api, &plugin)),
        Tab::Connection => Ok(connection::add(page, &api, &plugin)),
        // The log has a stream of its own.
        Tab::Logs if *is_live => Ok(page),
        Tab::Logs => logs(page, &api, &plugin, (query, path)).await,
    }
}

/// The plugin with this id, with its token if the visitor may see that.
///
/// # Errors
/// There is none, or the service's.
pub(super) async fn find(api: &Api, id: &str) -> Result<Plugin, Problem> {
    let answer = api.call(GetPluginRequest { plugin_id: id.to_owned(), view: api.view().into() }).await?;
    answer.plugin.map(text::cleaned).ok_or_else(Problem::internal)
}

async fn logs(page: Page, api: &Api, plugin: &Plugin, (query, path): (&Query, &str)) -> Result<Page, Problem> {
    let tab = html! { input type="hidden" name="tab" value=(Tab::Logs.word()); };
    let view = logs::view(api, &logs::Wanted::of(&plugin.id, query), path, &tab).await?;
    Ok(page.fixed("logs", view))
}

/// The page of a plugin without what the tab shows.
fn frame(api: &Api, plugin: &Plugin, tab: Tab) -> Page {
    Page::new(Section::Plugins, text::name(plugin))
        .live("head", head(api, plugin, tab))
        .fixed("tabs", tabs(plugin, tab))
}

fn head(api: &Api, plugin: &Plugin, tab: Tab) -> Markup {
    html! {
        div.head {
            div {
                h1 { (text::name(plugin)) " " (text::states(plugin)) }
                p.soft {
                    (text::manifest_id(plugin))
                    @if !plugin.version.is_empty() { " · version " (plugin.version) }
                    @if text::is_external(plugin) { " · runs elsewhere" }
                }
            }
            @if may_write(api) { div.row { (buttons(plugin, tab)) } }
        }
    }
}

fn buttons(plugin: &Plugin, tab: Tab) -> Markup {
    html! {
        form.row method="post" action="/plugins" data-background {
            input type="hidden" name="back" value=(tab.path(&plugin.id));
            @for action in Action::of(plugin) { button name=(action.word()) value=(plugin.id) { (action.icon()) (action.label()) } }
        }
        form method="post" action="/plugins" data-background {
            input type="hidden" name="back" value="/";
            button.quiet name="delete" value=(plugin.id) { (Action::Delete.icon()) "Delete" }
        }
    }
}

fn tabs(plugin: &Plugin, current: Tab) -> Markup {
    html! {
        nav.tabs aria-label="About this plugin" {
            @for tab in Tab::of(plugin) {
                a href=(tab.path(&plugin.id)) aria-current=[(tab == current).then_some("page")] { (tab.label()) }
            }
        }
    }
}
