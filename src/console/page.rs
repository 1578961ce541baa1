//! What a page is made of, who looks at it, and what stands around it.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{
    live,
    notice::{self, Notice},
};
use crate::{
    api::v1::{AccessToken, Role, WatchStateRequest},
    rest::{Api, App, Problem},
};

/// The parts of the console, as its navigation shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Plugins,
    Install,
    Logs,
    Activity,
    Tokens,
    Server,
}

/// A part of a page with an id. What is not fixed is sent again when it has changed.
pub(super) struct Fragment {
    pub(super) id: &'static str,
    pub(super) is_fixed: bool,
    pub(super) markup: Markup,
}

/// A page: its parts, from its top to its end.
pub(super) struct Page {
    pub(super) section: Section,
    pub(super) title: String,
    pub(super) fragments: Vec<Fragment>,
    /// Whether the browser is to follow it.
    pub(super) is_live: bool,
}

impl Page {
    pub(super) fn new(section: Section, title: impl Into<String>) -> Self {
        Self { section, title: title.into(), fragments: Vec::new(), is_live: false }
    }

    /// With a part that stays as it is while the page is looked at: what people write into, above all.
    pub(super) fn fixed(mut self, id: &'static str, markup: Markup) -> Self {
        self.fragments.push(Fragment { id, is_fixed: true, markup });
        self
    }

    /// With a part that follows what it shows.
    pub(super) fn live(mut self, id: &'static str, markup: Markup) -> Self {
        self.fragments.push(Fragment { id, is_fixed: false, markup });
        self
    }
}

/// Who looks at a page, and how.
pub(super) struct Visit {
    /// The API as the visitor has it.
    pub(super) api: Arc<Api>,
    /// The page's address at this server, with its query.
    pub(super) path: String,
    notice: Option<Notice>,
    /// Whether this is the page's stream rather than the page.
    pub(super) is_live: bool,
}

impl FromRequestParts<App> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let api = Arc::new(Api::from_request_parts(parts, app).await?);
        let path = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let (notice, is_live) = (Notice::read(&parts.headers), live::is_wanted(&parts.headers));
        Ok(Self { api, path, notice, is_live })
    }
}

impl Visit {
    /// The page that `make` makes of what is wanted, or its changes as a stream: it is made again when a plugin changes that is
    /// watched, and now and then.
    ///
    /// # Errors
    /// What `make` says.
    pub(super) async fn show<W: Send + Sync + 'static, F>(
        self,
        watched: WatchStateRequest,
        wanted: W,
        make: impl Fn(Arc<Api>, Arc<W>) -> F + Send + 'static,
    ) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Page, Problem>> + Send + 'static,
    {
        let wanted = Arc::new(wanted);
        let make = move |api| make(api, Arc::clone(&wanted));
        if self.is_live {
            return live::stream(self.api, watched, make).await;
        }
        let page = make(Arc::clone(&self.api)).await?;
        Ok(self.page(Page { is_live: true, ..page }))
    }

    /// The page with the form that was refused, which says why.
    pub(super) fn refused(self, problem: &Problem, page: Page) -> Response {
        let visit = Self { notice: Some(Notice::of(problem)), ..self };
        (problem.status(), visit.page(page)).into_response()
    }

    /// This page, once.
    pub(super) fn page(self, page: Page) -> Response {
        let mut response = whole(&self.api.token, &page, self.notice.as_ref()).into_response();
        if self.notice.is_some() {
            notice::forget(&mut response);
        }
        response
    }
}

/// A problem that is told beside a form. That the visitor may not do it at all is an answer of its own.
///
/// # Errors
/// It is that.
pub(super) fn told(problem: impl Into<Problem>) -> Result<Problem, Problem> {
    let problem = problem.into();
    if problem.status() == StatusCode::FORBIDDEN { Err(problem) } else { Ok(problem) }
}

/// Whether the visitor may change what is shown. The service decides; this is for what is offered.
pub(super) fn may_write(api: &Api) -> bool {
    api.token.role() == Role::Admin
}

/// An address with these fields, but for those that are empty.
pub(super) fn address<N: AsRef<str>, V: AsRef<str>>(path: &str, fields: impl IntoIterator<Item = (N, V)>) -> String {
    let given = fields.into_iter().filter(|(_, value)| !value.as_ref().is_empty());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Links from a page of a list to the first page and to the next one, in these words. `this` is the token of the page, empty on the
/// first one; `after` that of the next one, empty where there is none.
pub(super) fn turning(
    [first, next]: [&str; 2],
    (this, after): (&str, &str),
    address: impl Fn(&str) -> String,
) -> Markup {
    html! {
        @if !this.is_empty() || !after.is_empty() {
            nav.pages aria-label="Pages" {
                @if !this.is_empty() { a href=(address("")) { (first) } }
                @if !after.is_empty() { a href=(address(after)) rel="next" { (next) } }
            }
        }
    }
}

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
fn whole(token: &AccessToken, page: &Page, notice: Option<&Notice>) -> Html<String> {
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
fn shown(notice: &Notice) -> Markup {
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
