//! Signing in and out. The cookie holds the token itself; a link's is exchanged for one that lasts a day.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Request, State},
    http::{Extensions, HeaderMap, StatusCode, header::ORIGIN},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};

use super::{
    form::Fields,
    guard::own_path,
    notice::set_cookie,
    page::{self, Visit},
};
use crate::{
    api::{
        LINK_SESSION,
        v1::{AccessToken, RevokeTokenRequest, Role, SignInRequest, WhoAmIRequest},
    },
    rest::{App, CONSOLE_COOKIE, Origin, Problem, Query, require_own_site},
};

/// How long the service may take to take a token.
const SIGNING_IN: Duration = Duration::from_secs(30);

/// How long the browser keeps a token: until it is closed, or for a day if the token is of a link.
const A_DAY: &str = "; Max-Age=86400";

/// The page that asks for a token, or for a press of the button where a link brought one: a browser that looks at links
/// before they are clicked does not use it up.
pub(super) async fn ask(query: Query) -> Result<Response, Problem> {
    let token = query.one("token")?;
    Ok(form(token, query.one("back")?.unwrap_or("/"), None))
}

fn form(link: Option<&str>, back: &str, failure: Option<&str>) -> Response {
    let page = page::card(
        "Sign in",
        html! {
            h1 { "Sign in" }
            @if let Some(failure) = failure { p.notice.failure role="alert" { (failure) } }
            form method="post" action="/sign-in" data-submit[link.is_some() && failure.is_none()] {
                input type="hidden" name="back" value=(own_path(back));
                @if let Some(token) = link {
                    input type="hidden" name="token" value=(token);
                    input type="hidden" name="link" value="yes";
                    p { "This link signs in one browser, as an administrator, for a day." }
                } @else {
                    label for="token" { "Access token" }
                    input #token type="password" name="token" required autofocus autocomplete="current-password"
                        spellcheck="false" placeholder="plugd_…";
                    p.soft {
                        "The first one is in " code { "admin.token" } " in plugd's data folder. Or print a link that signs in, on \
                        the server: " code { "plugd token link" } "."
                    }
                }
                button.primary { "Sign in" }
            }
        },
    );
    let status = if failure.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, page).into_response()
}

pub(super) async fn sign_in(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    require_own_site(&request, &app.options)?;
    let (parts, body) = request.into_parts();
    let fields = Fields::from_request(Request::from_parts(parts.clone(), body), &app).await?;
    let (token, back) = (fields.text("token"), own_path(fields.text("back")));
    let accepted = accepted(&app, (token, fields.has("link")), &parts.headers, &parts.extensions);
    let accepted = timeout(SIGNING_IN, accepted).await.map_err(|_| Problem::of(StatusCode::GATEWAY_TIMEOUT))?;
    match accepted {
        Ok((secret, age)) => {
            let mut response = Redirect::to(back).into_response();
            keep(&mut response, &secret, age, is_encrypted(&parts.headers));
            Ok(response)
        }
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            Ok(form(None, back, Some("This token is not good, or not any longer. A link works once, and for an hour.")))
        }
        Err(problem) if problem.status() == StatusCode::FORBIDDEN => Ok(form(None, back, Some(problem.message()))),
        Err(problem) => Err(problem),
    }
}

/// The secret to keep in the cookie, and for how long.
async fn accepted(
    app: &App,
    (token, is_of_a_link): (&str, bool),
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<(String, &'static str), Problem> {
    let nobody = || Problem::of(StatusCode::UNAUTHORIZED);
    let authorization: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| nobody())?;
    let origin = Origin::of(&authorization, headers, extensions);
    let known = app.backend.call(origin.call(WhoAmIRequest {})).await?;
    match known.token.unwrap_or_default().role() {
        // Whoever follows a link of somebody else's is not to work with a token of theirs.
        Role::Admin | Role::Viewer if is_of_a_link => Err(nobody()),
        Role::Admin | Role::Viewer => Ok((token.to_owned(), "")),
        Role::Link => {
            let answer = app.backend.call(origin.call(SignInRequest {})).await?;
            Ok((answer.secret, A_DAY))
        }
        _ => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "PERMISSION_DENIED",
            "This token is an application's. The console takes an administrator's or a viewer's.",
        )),
    }
}

/// Whether the browser has this page by way of an encrypted connection, be it to a proxy: it says so itself.
fn is_encrypted(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

fn keep(response: &mut Response, secret: &str, age: &str, is_encrypted: bool) {
    let secure = if is_encrypted { "; Secure" } else { "" };
    set_cookie(response, &format!("{CONSOLE_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"));
}

/// Forgets the token in this browser. One that a link was exchanged for ends: nobody else has it.
pub(super) async fn sign_out(visit: Visit) -> Response {
    let AccessToken { id, name, .. } = &*visit.api.token;
    if name == LINK_SESSION
        && let Err(status) = visit.api.call(RevokeTokenRequest { token_id: id.clone() }).await
    {
        tracing::debug!(message = status.message(), "the token of a session was not revoked");
    }
    let mut response = Redirect::to("/sign-in").into_response();
    keep(&mut response, "", "; Max-Age=0", false);
    response
}
