//! Access tokens: who has one, new ones, links that sign in, and the end of them.

use std::time::{Duration, SystemTime};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use tonic::Code;

use super::{
    form::Fields,
    notice::Notice,
    page::{Page, Section, Visit, address, may_write, turning},
    text,
};
use crate::{
    api::v1::{AccessToken, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, RevokeTokenRequest, Role},
    domain::text::sanitize,
    rest::{Api, Problem, Query},
};

/// Tokens of one page.
const ROWS: i32 = 100;

/// How long a link works.
const LINK_TTL: Duration = Duration::from_secs(3600);

/// How long a token may be wanted to work, in days; none: for ever.
const EXPIRIES: [(Option<u64>, &str, &str); 5] = [
    (Some(1), "1", "1 day"),
    (Some(30), "30", "30 days"),
    (Some(90), "90", "90 days"),
    (Some(365), "365", "1 year"),
    (None, "never", "Never"),
];

/// What a token may be good for: the role, its word, and what that means.
const ROLES: [(Role, &str, &str); 3] = [
    (Role::Viewer, "viewer", "Viewer: reads, watches, logs"),
    (Role::Host, "host", "Host: an application on the bus"),
    (Role::Admin, "admin", "Administrator: everything"),
];

/// The page of all tokens.
pub(super) async fn show(visit: Visit, query: Query) -> Result<Response, Problem> {
    if !may_write(&visit.api) {
        return Ok(visit.page(refused()));
    }
    let page_token = query.one("page")?.unwrap_or_default();
    let page = page(&visit.api, page_token, &Fields::default()).await?;
    Ok(visit.page(page))
}

/// What those see who are no administrators.
fn refused() -> Page {
    let markup = html! {
        div.empty {
            h1 { "Tokens are for administrators" }
            p { "Your token only reads. An administrator can make, list and revoke tokens here." }
        }
    };
    Page::new(Section::Tokens, "Tokens").fixed("tokens", markup)
}

async fn page(api: &Api, page_token: &str, filled: &Fields) -> Result<Page, Problem> {
    let answer = api.call(ListTokensRequest { page_size: ROWS, page_token: page_token.to_owned() }).await?;
    let markup = html! {
        (table(api, &answer.tokens))
        (turning(["First page", "Next"], (page_token, &answer.next_page_token), |page| address("/tokens", [("page", page)])))
    };
    let forms = html! { div.grid { (creation(filled)) (link()) } };
    let title = html! { h1 { "Tokens" } };
    Ok(Page::new(Section::Tokens, "Tokens").fixed("title", title).fixed("tokens", markup).fixed("new", forms))
}

fn table(api: &Api, tokens: &[AccessToken]) -> Markup {
    html! {
        div.table {
            table.stack {
                thead { tr { th { "Name" } th { "Role" } th { "Created" } th { "Expires" } th { span.hidden { "Actions" } } } }
                tbody { @for token in tokens { (row(token, token.id == api.token.id)) } }
            }
        }
    }
}

fn row(token: &AccessToken, is_own: bool) -> Markup {
    let name = sanitize(&token.name);
    html! {
        tr {
            td.name { strong { (name) } @if is_own { " " span.tag { "yours" } } small.block { (token.id) } }
            td data-label="Role" { (role(token.role())) }
            td data-label="Created" { (text::time(token.create_time.as_ref())) }
            td data-label="Expires" { (expiry(token)) }
            td.actions {
                a.button.quiet href=(address("/tokens/revoke", [("id", &token.id)])) aria-label={ "Revoke " (name) } { "Revoke" }
            }
        }
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "administrator",
        Role::Viewer => "viewer",
        Role::Host => "host",
        Role::Link => "link to sign in",
        Role::Unspecified => "–",
    }
}

fn expiry(token: &AccessToken) -> Markup {
    let Some(time) = token.expire_time else { return html! { "never" } };
    let is_over = SystemTime::try_from(time).is_ok_and(|time| time <= SystemTime::now());
    html! { @if is_over { span.soft { "expired " (text::time(Some(&time))) } } @else { (text::time(Some(&time))) } }
}

/// The form for a new one, as it was filled in.
fn creation(filled: &Fields) -> Markup {
    let or =
        |name, usual: &'static str| Some(filled.text(name)).filter(|text| !text.is_empty()).unwrap_or(usual).to_owned();
    let (role, days) = (or("role", "viewer"), or("expiry", "90"));
    html! {
        div.card {
            h2 { "New token" }
            form method="post" action="/tokens" data-background {
                label for="token-name" { "Name" small { "who or what uses it" } }
                input #token-name name="name" required maxlength="100" autocomplete="off" value=(filled.text("name"));
                label for="token-role" { "Role" }
                select #token-role name="role" {
                    @for (_, word, words) in ROLES { option value=(word) selected[word == role] { (words) } }
                }
                label for="token-expiry" { "Expires after" }
                select #token-expiry name="expiry" {
                    @for (_, word, words) in EXPIRIES { option value=(word) selected[word == days] { (words) } }
                }
                button.primary { "Create" }
            }
        }
    }
}

fn link() -> Markup {
    html! {
        div.card {
            h2 { "Sign in by a link" }
            p { "A link signs one browser in, once, as an administrator and for a day. It works for an hour." }
            p.soft { "Whoever has it first is an administrator: send it where nobody else reads." }
            form method="post" action="/tokens/link" data-background { button.primary { "Print a link" } }
        }
    }
}

/// Makes a token, and shows its secret this once: in the answer itself, so that it is in no address and in no history.
pub(super) async fn create(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let role = ROLES.iter().find(|(_, word, _)| *word == fields.text("role")).map(|(role, ..)| *role);
    let expiry = EXPIRIES.iter().find(|(_, word, _)| *word == fields.text("expiry")).map(|(days, ..)| *days);
    let role = role.ok_or_else(|| Problem::invalid("role", "must be one of those offered"))?;
    let days = expiry.ok_or_else(|| Problem::invalid("expiry", "must be one of those offered"))?;
    let ttl = days.map(|days| Duration::from_secs(days * 24 * 3600));
    match make(&visit.api, fields.text("name"), role, ttl).await {
        Ok(made) => Ok(visit.page(made_token(&made))),
        Err(problem) if problem.status() == StatusCode::BAD_REQUEST => {
            let page = page(&visit.api, "", &fields).await?;
            Ok(visit.refused(&problem, page))
        }
        Err(problem) => Err(problem),
    }
}

/// Makes the token of a link, and shows the link this once.
pub(super) async fn create_link(visit: Visit, headers: HeaderMap) -> Result<Response, Problem> {
    let name = format!("link, printed by {}", visit.api.token.name);
    let name = crate::domain::text::shorten(&name, 100);
    let made = make(&visit.api, &name, Role::Link, Some(LINK_TTL)).await?;
    let link = format!("{}/sign-in?token={}", origin(&headers), made.secret);
    let markup = html! {
        div.card.narrow {
            h1 { "A link that signs in" }
            p { "It works once, for one browser, until " (text::time(made.token.unwrap_or_default().expire_time.as_ref())) "." }
            (secret("Link", &link))
            (back())
        }
    };
    Ok(visit.page(Page::new(Section::Tokens, "Link").fixed("confirm", markup)))
}

/// Where the browser has this page from. It says so itself with a form; other clients say at least the host.
fn origin(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).filter(|origin| origin.starts_with("http"));
    let of_host = || text(header::HOST).map(|host| format!("http://{host}")).unwrap_or_default();
    origin.map_or_else(of_host, str::to_owned)
}

async fn make(api: &Api, name: &str, role: Role, ttl: Option<Duration>) -> Result<CreateTokenResponse, Problem> {
    let ttl = ttl.and_then(|ttl| prost_types::Duration::try_from(ttl).ok());
    Ok(api.call(CreateTokenRequest { name: name.to_owned(), role: role.into(), ttl }).await?)
}

fn made_token(made: &CreateTokenResponse) -> Page {
    let token = made.token.clone().unwrap_or_default();
    let markup = html! {
        div.card.narrow {
            h1 { "The token “" (sanitize(&token.name)) "”" }
            p { "Copy it now: it is not shown again. It is kept here only as a hash." }
            (secret("Token", &made.secret))
            dl.facts {
                dt { "Role" } dd { (role(token.role())) }
                dt { "Expires" } dd { (expiry(&token)) }
            }
            (back())
        }
    };
    Page::new(Section::Tokens, "New token").fixed("confirm", markup)
}

/// A secret to be copied.
pub(super) fn secret(label: &str, secret: &str) -> Markup {
    html! {
        label for="secret" { (label) }
        div.row.copied {
            input.mono #secret readonly value=(secret) autocomplete="off" spellcheck="false" autofocus;
            button type="button" data-copy="secret" { "Copy" }
        }
    }
}

fn back() -> Markup {
    html! { p { a.button href="/tokens" { "Back to the tokens" } } }
}

/// The page that asks whether a token is to be revoked, by its name.
pub(super) async fn ask(visit: Visit, query: Query) -> Result<Response, Problem> {
    if !may_write(&visit.api) {
        return Ok(visit.page(refused()));
    }
    let token = find(&visit.api, query.one("id")?.unwrap_or_default()).await?;
    let (name, is_own) = (sanitize(&token.name), token.id == visit.api.token.id);
    let markup = html! {
        div.card.narrow {
            h1 { "Revoke “" (name) "”?" }
            p { "It is useless at once, and what is open with it ends. This can't be undone." }
            @if is_own { p.notice.caution { "This is the token that you are signed in with: you will be signed out." } }
            dl.facts {
                dt { "Role" } dd { (role(token.role())) }
                dt { "Created" } dd { (text::time(token.create_time.as_ref())) }
                dt { "Expires" } dd { (expiry(&token)) }
                dt { "Id" } dd { code { (token.id) } }
            }
            form.row method="post" action="/tokens/revoke" {
                input type="hidden" name="id" value=(token.id);
                button.danger { "Revoke “" (name) "”" }
                a.button.quiet href="/tokens" autofocus { "Keep" }
            }
        }
    };
    Ok(visit.page(Page::new(Section::Tokens, "Revoke").fixed("confirm", markup)))
}

/// The token with this id. The service has no call for one, so its place in the list is looked for.
async fn find(api: &Api, id: &str) -> Result<AccessToken, Problem> {
    let mut page_token = String::new();
    loop {
        let answer = api.call(ListTokensRequest { page_size: 1000, page_token }).await?;
        if let Some(token) = answer.tokens.into_iter().find(|token| token.id == id) {
            return Ok(token);
        }
        if answer.next_page_token.is_empty() {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "TOKEN_NOT_FOUND",
                "there is no such token, or not any longer",
            ));
        }
        page_token = answer.next_page_token;
    }
}

/// Revokes a token. Whoever revokes his own has to sign in again.
pub(super) async fn revoke(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let id = fields.text("id").to_owned();
    let is_own = id == visit.api.token.id;
    match visit.api.call(RevokeTokenRequest { token_id: id }).await {
        Ok(_) if is_own => Ok(Redirect::to("/sign-in").into_response()),
        Ok(answer) => {
            let name = sanitize(&answer.token.unwrap_or_default().name);
            Ok(Notice::done(format!("“{name}” is revoked.")).on("/tokens"))
        }
        Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => {
            Ok(Notice::of(&status.into()).on("/tokens"))
        }
        Err(status) => Err(status.into()),
    }
}

#[cfg(test)]
mod tests;
