//! New plugins: a package, the address of one, or the manifest of a plugin that runs elsewhere.

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};

use super::{
    form::{self, Fields},
    manifest::{self, Written},
    notice::Notice,
    page::{Page, Section, Visit, may_write, told},
    plugin::asks,
};
use crate::{
    api::v1::Plugin,
    rest::{self, App, Problem},
};

/// A manifest to begin with.
const TEMPLATE: &str = "id: my-plugin
author: me
name: My plugin
description: What it does.
version: 1.0.0
events_consumed: []
";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/install", get(show))
        .route("/install/package", post(from_package))
        .route("/install/url", post(from_url))
        .route("/install/external", get(external).post(register))
}

async fn show(visit: Visit) -> Response {
    let page = page(may_write(&visit.api));
    visit.page(page)
}

fn page(may_write: bool) -> Page {
    let page = Page::new(Section::Install, "Install");
    if !may_write {
        return page
            .fixed("install", html! { div.empty { h1 { "Install" } p { "Only administrators install plugins." } } });
    }
    page.fixed(
        "install",
        html! {
            h1 { "Install a plugin" }
            p.soft { "Plugins are programs. What one asks for is shown before anything of it runs." }
            div.grid {
                section.card aria-labelledby="from-package" {
                    h2 #from-package { "From a file" }
                    form method="post" action="/install/package" enctype="multipart/form-data" data-background {
                        (form::package_field("Package, or drop it here"))
                        button.primary { "Upload" }
                    }
                }
                section.card aria-labelledby="from-url" {
                    h2 #from-url { "From an address" }
                    form method="post" action="/install/url" data-background data-keep {
                        label for="url" { "Address of a package" }
                        input #url type="url" name="url" required placeholder="https://example.org/my-plugin.zip";
                        p.soft { "plugd gets it itself." }
                        button.primary { "Get it" }
                    }
                }
                section.card aria-labelledby="from-elsewhere" {
                    h2 #from-elsewhere { "A plugin that runs elsewhere" }
                    p { "It is started by somebody else, and connects to this server with a token of its own." }
                    p { a.button href="/install/external" { "Write its manifest" } }
                }
            }
        },
    )
}

async fn from_package(visit: Visit, State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let installed = match form::package(request, &app).await {
        Ok(upload) => rest::install(&visit.api, upload).await,
        Err(problem) => Err(problem),
    };
    reviewed(installed)
}

async fn from_url(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    reviewed(rest::install_from_url(&visit.api, fields.text("url")).await)
}

/// The way to what was installed, or back with what was wrong.
fn reviewed(installed: Result<Option<Plugin>, Problem>) -> Result<Response, Problem> {
    Ok(match installed {
        Ok(plugin) => Redirect::to(&format!("/plugins/{}/review", plugin.unwrap_or_default().id)).into_response(),
        Err(problem) => Notice::of(&told(problem)?).on("/install"),
    })
}

async fn external(visit: Visit) -> Response {
    let form = writing(&Written::new(TEMPLATE));
    visit.page(Page::new(Section::Install, "A plugin that runs elsewhere").fixed("external", form))
}

fn writing(written: &Written) -> Markup {
    html! {
        div.card.narrow {
            h1 { "A plugin that runs elsewhere" }
            form method="post" action="/install/external" data-background data-keep {
                (manifest::field(written))
                button.primary { "Go on" }
            }
        }
    }
}

/// Registers a plugin whose manifest was agreed to; shows what it asks for before.
async fn register(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let mut written = Written::new(fields.text("manifest"));
    let page = Page::new(Section::Install, "A plugin that runs elsewhere");
    let Some(object) = written.read() else {
        return Ok(visit.page(page.fixed("external", writing(&written))));
    };
    if !fields.has("agreed") {
        return Ok(visit.page(page.fixed("external", agreeing(&fields, &asks(&object)))));
    }
    match rest::register(&visit.api, object).await {
        Ok(plugin) => {
            let path = format!("/plugins/{}?tab=connection", plugin.unwrap_or_default().id);
            Ok(Notice::done("It is registered. It connects with the token below.").on(&path))
        }
        Err(problem) => {
            written.refuse(&told(problem)?);
            Ok(visit.page(page.fixed("external", writing(&written))))
        }
    }
}

fn agreeing(fields: &Fields, asks: &Markup) -> Markup {
    html! {
        div.card.narrow {
            h1 { "Agree to what it asks for?" }
            (asks)
            form method="post" action="/install/external" data-background {
                input type="hidden" name="manifest" value=(fields.text("manifest"));
                input type="hidden" name="agreed" value="yes";
                div.row { button.primary { "Agree and register it" } a.button.quiet href="/install/external" { "Back" } }
            }
        }
    }
}
