//! The package of a plugin that is run here: which it is, another one, the one before.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use maud::{Markup, html};

use super::{
    super::{
        form::{self, Fields},
        notice::Notice,
        page::Page,
    },
    Tab, Visit, find, may_write,
};
use crate::{
    api::v1::{Plugin, RollbackPackageRequest, update_package_request::Header},
    rest::{self, Api, App, Problem},
};

pub(super) fn add(page: Page, api: &Api, plugin: &Plugin) -> Page {
    page.live("package", facts(api, plugin)).fixed(
        "replace",
        if may_write(api) {
            replacement(plugin)
        } else {
            html! {}
        },
    )
}

fn facts(api: &Api, plugin: &Plugin) -> Markup {
    let id = &plugin.id;
    html! {
        section.card aria-labelledby="package-title" {
            h2 #package-title { "Package" }
            dl.facts {
                dt { "Version" } dd { (plugin.version) }
                dt { "Digest" } dd { code { (plugin.package_digest()) } }
                @if let Some(digest) = &plugin.previous_package_digest { dt { "Before it" } dd { code { (digest) } } }
            }
            div.row {
                a.button href={ "/plugins/" (id) "/package" } download { "Download" }
                @if may_write(api) && plugin.previous_package_digest.is_some() {
                    form method="post" action={ "/plugins/" (id) "/rollback" } data-background {
                        button { "Go back to the one before" }
                    }
                }
            }
        }
    }
}

fn replacement(plugin: &Plugin) -> Markup {
    html! {
        section.card aria-labelledby="replace-title" {
            h2 #replace-title { "Replace it" }
            form method="post" action={ "/plugins/" (plugin.id) "/package" } enctype="multipart/form-data" data-background {
                (form::package_field("Another package of the same plugin"))
                p.soft {
                    "If the plugin is wanted active it is restarted with the new package; should that fail, plugd goes back to this one, "
                    (plugin.version) "."
                }
                button.primary { "Replace" }
            }
        }
    }
}

pub(super) async fn download(visit: Visit, Path(id): Path<String>) -> Result<Response, Problem> {
    rest::download(&visit.api, id).await
}

pub(super) async fn replace(
    visit: Visit,
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let back = Tab::Package.path(&id);
    let old = find(&visit.api, &id).await?.version;
    let upload = form::package(request, &app).await;
    let header = Header { plugin_id: id, ..Header::default() };
    let replaced = rest::update(&visit.api, header, upload).await.map(Option::unwrap_or_default);
    let replaced = replaced.map(|plugin| format!("The package is replaced: {old} → {}.", plugin.version));
    Ok(Notice::told(replaced)?.on(&back))
}

pub(super) async fn roll_back(visit: Visit, Path(id): Path<String>, _: Fields) -> Result<Response, Problem> {
    let back = Tab::Package.path(&id);
    let old = find(&visit.api, &id).await?.version;
    let request = RollbackPackageRequest { plugin_id: id, wait: None, if_generation: None };
    let gone_back = visit.api.call(request).await.map(|answer| answer.plugin.unwrap_or_default());
    let gone_back = gone_back.map(|plugin| format!("It went back: {old} → {}.", plugin.version));
    Ok(Notice::told(gone_back)?.on(&back))
}
