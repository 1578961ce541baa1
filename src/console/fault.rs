//! Errors as pages, and the headers of every answer.

use axum::{
    extract::Request,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use maud::html;

use super::page;
use crate::{rest::Problem, telemetry::trace::TraceId};

/// All comes from here, and no other site may show it within its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 3] =
    [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "same-origin")];

/// Turns the [`Problem`] of a response into a page.
pub(super) async fn render(mut request: Request, next: Next) -> Response {
    let trace = TraceId::of(request.headers_mut());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let page = page::card(title(problem.status()), explained(&problem, &trace));
        response = (response.status(), response.headers().clone(), page).into_response();
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn explained(problem: &Problem, trace: &TraceId) -> maud::Markup {
    html! {
        h1 { (title(problem.status())) }
        p { (problem.message()) }
        p.soft { (problem.suggested()) }
        p { a.button href="/" { "Back to the plugins" } " " a.quiet href="/sign-in" { "Sign in as somebody else" } }
        p.soft { small { "Trace " code { (trace.as_str()) } } }
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::FORBIDDEN => "You may not do that",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "plugd does not answer just now",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        status if status.is_client_error() => "That did not work",
        _ => "Something went wrong",
    }
}
