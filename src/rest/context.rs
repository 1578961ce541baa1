//! What an error body says of its request, and the one place where error bodies are made.

use axum::{
    extract::{FromRequestParts, RawPathParams, Request, rejection::RawPathParamsRejection},
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use serde_json::Value;

use super::{body::JSON, error::Problem, path};
use crate::telemetry::trace::TraceId;

/// The media type of RFC 9457.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What an error body says of the request beside the error.
#[derive(Clone)]
pub(super) struct Context {
    /// The id of the request's trace (CONTRACT 1.4).
    pub(super) trace_id: String,
    /// The plugin's id as it stands in the path.
    pub(super) plugin_id: Option<String>,
    prefers_problem: bool,
}

impl Context {
    fn of(request: &Request, plugin_id: Option<String>) -> Self {
        let trace_id = request.extensions().get::<TraceId>().map(TraceId::as_str).unwrap_or_default().to_owned();
        Self { trace_id, plugin_id, prefers_problem: prefers_problem(request.headers()) }
    }

    /// The error body of this request.
    pub(super) fn body(&self, problem: &Problem) -> Value {
        problem.body(&self.trace_id, self.plugin_id.as_deref().map(|id| (path::PARAMETER, id)))
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(Problem::internal)
    }
}

/// Turns the [`Problem`] of a response into its body, and sets the headers that every response has.
pub(super) async fn render(
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let plugin_id = params.ok().and_then(|params| path::find(&params));
    let context = Context::of(&request, plugin_id);
    request.extensions_mut().insert(context.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = with_body(response, &problem, &context);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The response's own headers stay: 405 has its `Allow`.
fn with_body(response: Response, problem: &Problem, context: &Context) -> Response {
    let media = if context.prefers_problem { PROBLEM_JSON } else { JSON };
    let headers = response.headers().clone();
    let body = format!("{}\n", context.body(problem));
    let mut rendered = (problem.status(), headers, body).into_response();
    rendered.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    rendered
}

/// How much a client wants a media type: the quality, then whether it named it rather than a range, then the place.
type Wish = (u32, u8, std::cmp::Reverse<usize>);

fn prefers_problem(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    match (wish(&ranges, PROBLEM_JSON), wish(&ranges, JSON)) {
        (Some(problem), Some(json)) => problem > json,
        (problem, _) => problem.is_some(),
    }
}

/// What the most specific range that fits says of a media type; nothing when it is not wanted.
fn wish(ranges: &[&str], media: &str) -> Option<Wish> {
    let fitting = ranges.iter().enumerate().filter_map(|(place, range)| {
        let mut parts = range.split(';');
        let specificity = specificity(parts.next()?.trim(), media)?;
        Some((specificity, quality(parts), place))
    });
    let (specificity, quality, place) = fitting.max_by_key(|(specificity, ..)| *specificity)?;
    (quality > 0).then_some((quality, specificity, std::cmp::Reverse(place)))
}

fn specificity(range: &str, media: &str) -> Option<u8> {
    match range {
        "*/*" => Some(0),
        "application/*" => Some(1),
        range => range.eq_ignore_ascii_case(media).then_some(2),
    }
}

/// The quality in thousandths.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u32 {
    let quality = parameters.find_map(|parameter| parameter.trim().strip_prefix("q=")?.parse::<f32>().ok());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 before")]
    quality.map_or(1000, |quality| (quality.clamp(0.0, 1.0) * 1000.0) as u32)
}
