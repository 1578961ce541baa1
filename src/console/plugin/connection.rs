//! How a plugin that runs elsewhere connects.

use axum::{extract::Path, response::Response};
use maud::{Markup, html};

use super::{
    super::{form::Fields, notice::Notice, page::Page},
    Tab, Visit, may_write,
};
use crate::{
    api::v1::{Plugin, RotateTokenRequest},
    rest::{Api, Problem},
};

pub(super) fn add(page: Page, api: &Api, plugin: &Plugin) -> Page {
    page.fixed("connection", html! { section.card { h2 { "Connection" } (shown(api, plugin)) } })
}

fn shown(api: &Api, plugin: &Plugin) -> Markup {
    if !may_write(api) {
        return html! { p { "Only administrators see the token that it connects with." } };
    }
    let token = plugin.token();
    html! {
        p { "The plugin dials this server's " code { "/rpc" } " with its token, which it takes from its environment." }
        details {
            summary { "Show the token" }
            label for="token" { "Token" }
            div.row.copied { input #token readonly value=(token); button.quiet type="button" data-copy="token" { "Copy" } }
            label for="line" { "A line for its environment" }
            div.row.copied {
                input #line readonly data-host value={ "STORYDEN_RPC_URL=ws://HOST/rpc?token=" (token) };
                button.quiet type="button" data-copy="line" { "Copy" }
            }
        }
        h3 { "A new token" }
        form method="post" action={ "/plugins/" (plugin.id) "/token" } data-background {
            p.soft { "The old one stops working at once, and the connection that was made with it ends." }
            button { "Replace the token" }
        }
    }
}

pub(super) async fn rotate(visit: Visit, Path(id): Path<String>, _: Fields) -> Result<Response, Problem> {
    let back = Tab::Connection.path(&id);
    let replaced = visit.api.call(RotateTokenRequest { plugin_id: id, if_generation: None }).await;
    let replaced = replaced.map(|_| "The token is replaced. The plugin has to connect with the new one.");
    Ok(Notice::told(replaced)?.on(&back))
}
