//! The manifest: shown; of a plugin that runs elsewhere, changed.

use axum::{
    extract::Path,
    response::{Redirect, Response},
};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    super::{
        form::Fields,
        manifest::{self, Written},
        notice::Notice,
        page::{Page, told},
    },
    Tab, Visit, find, frame, may_write,
    text::is_external,
};
use crate::{
    api::{
        json::from_struct,
        v1::{Plugin, UpdateManifestRequest},
    },
    domain::text::sanitize,
    rest::{Api, Problem, body},
};

pub(super) fn add(page: Page, api: &Api, plugin: &Plugin) -> Page {
    let text = format!("{:#}", Value::Object(from_struct(&plugin.manifest_struct())));
    if is_external(plugin) && may_write(api) {
        return page.fixed("manifest", form(plugin, &Written::new(text)));
    }
    page.live(
        "manifest",
        html! { section.card { pre { (text.lines().map(sanitize).collect::<Vec<_>>().join("\n")) } } },
    )
}

fn form(plugin: &Plugin, written: &Written) -> Markup {
    html! {
        section.card {
            form method="post" action={ "/plugins/" (plugin.id) "/manifest" } data-background data-keep {
                (manifest::field(written))
                p.soft { "To save it ends the plugin's connection; it has to connect again." }
                button.primary { "Save" }
            }
        }
    }
}

/// The page for whoever asks again for the answer to the form.
pub(super) async fn ask(Path(id): Path<String>) -> Redirect {
    Redirect::to(&Tab::Manifest.path(&id))
}

pub(super) async fn save(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Problem> {
    let mut written = Written::new(fields.text("manifest"));
    if let Some(object) = written.read() {
        let manifest = Some(body::to_struct(object).await?);
        match visit.api.call(UpdateManifestRequest { plugin_id: id.clone(), manifest, if_generation: None }).await {
            Ok(_) => return Ok(Notice::done("The manifest is saved.").on(&Tab::Manifest.path(&id))),
            Err(status) => written.refuse(&told(status)?),
        }
    }
    let plugin = find(&visit.api, &id).await?;
    let page = frame(&visit.api, &plugin, Tab::Manifest).fixed("manifest", form(&plugin, &written));
    Ok(visit.page(page))
}
