//! What stands around every page.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use super::{
    notice::Notice,
    page::{Page, Section},
};
use crate::api::v1::{AccessToken, Role};

/// The navigation: section, address, words.
const SECTIONS: &[(Section, &str, &str)] = &[
    (Section::Plugins, "/", "Plugins"),
    (Section::Install, "/install", "Install"),
    (Section::Logs, "/logs", "Logs"),
    (Section::Activity, "/activity", "Activity"),
    (Section::Tokens, "/tokens", "Tokens"),
    (Section::Server, "/server", "Server"),
];

/// A page for somebody with this token.
pub(super) fn page(token: &AccessToken, page: &Page, notice: Option<&Notice>) -> Html<String> {
    frame(
        &page.title,
        html! {
            header.bar {
                a.brand href="/" { (logo()) "plugd" }
                nav aria-label="Console" {
                    @for (section, path, words) in SECTIONS {
                        a href=(path) aria-current=[(*section == page.section).then_some("page")] { (words) }
                    }
                }
                (who(token))
            }
            main #main tabindex="-1" data-live[page.is_live] {
                div #notice role="status" { @if let Some(notice) = notice { (shown(notice)) } }
                @for fragment in &page.fragments { (wrapped(fragment.id, &fragment.markup)) }
            }
            p.offline #offline role="status" hidden { "Connection lost. Trying again…" }
        },
    )
}

/// A page without navigation, for whoever is not signed in.
pub(super) fn card(title: &str, body: Markup) -> Html<String> {
    frame(
        title,
        html! {
            main.alone #main tabindex="-1" {
                p.brand { (logo()) "plugd" }
                div.card { (body) }
            }
        },
    )
}

/// A part of a page as the browser has it, to be changed for a newer one with the same id.
pub(super) fn wrapped(id: &str, markup: &Markup) -> Markup {
    html! { div.fragment id=(id) { (markup) } }
}

/// What is told at the top of a page.
pub(super) fn shown(notice: &Notice) -> Markup {
    let (class, word) = if notice.is_failure { ("failure", "Not done: ") } else { ("done", "") };
    html! { p.notice.(class) { @if !word.is_empty() { strong { (word) } } (notice.text) } }
}

fn frame(title: &str, body: Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · plugd" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/console.css";
                script type="module" src="/assets/console.js" {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    };
    Html(page.into_string())
}

/// Who is signed in, and the way out.
fn who(token: &AccessToken) -> Markup {
    let role = match token.role() {
        Role::Admin => "administrator",
        Role::Viewer => "viewer: reads only",
        _ => "",
    };
    html! {
        div.who {
            span { strong { (token.name) } small { (role) } }
            form method="post" action="/sign-out" { button.quiet { "Sign out" } }
        }
    }
}

/// A plug.
fn logo() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            path d="M8 2v6M16 2v6M5 8h14v4a7 7 0 0 1-14 0zM12 19v3" fill="none" stroke="currentColor" stroke-width="2.2"
                stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}
