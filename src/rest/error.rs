//! Errors as REST clients see them: the one mapping from gRPC's status to HTTP's, and the one place where error bodies are
//! made.

mod meanings;

use std::collections::BTreeMap;

use axum::{
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt};
use utoipa::ToSchema;

pub(super) use self::meanings::meaning;
use self::meanings::meaning_of;
use super::{body::JSON, request};
use crate::{
    api::{ERROR_DOMAIN, SUGGESTED},
    telemetry::trace::TraceId,
};

/// The media type of RFC 9457.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What the service puts before the runtime's words when a plugin fails.
const PLUGIN_FAILED: &str = "the plugin failed: ";

/// How clients expect the title to begin when an archive is at fault (CONTRACT 3.2).
const INVALID_FILE: &str = "The provided plugin file is invalid: ";

/// The HTTP status of a gRPC code; the reason tells apart what shares a code (CONTRACT 16 and plugd's own decisions).
pub(super) fn http_status(code: Code, reason: Option<&str>) -> StatusCode {
    match (code, reason) {
        (Code::FailedPrecondition, Some("PLUGIN_FAILED")) => StatusCode::BAD_GATEWAY,
        (Code::InvalidArgument | Code::FailedPrecondition, _) => StatusCode::BAD_REQUEST,
        (Code::NotFound, _) => StatusCode::NOT_FOUND,
        (Code::Aborted | Code::AlreadyExists, _) => StatusCode::CONFLICT,
        (Code::OutOfRange, Some("REVISION_COMPACTED" | "EPOCH_UNKNOWN" | "REVISION_UNKNOWN")) => StatusCode::GONE,
        // A message over the decoder's limit has this code and no reason of ours.
        (Code::OutOfRange, None) | (Code::ResourceExhausted, Some("TOO_LARGE")) => StatusCode::PAYLOAD_TOO_LARGE,
        (Code::OutOfRange, Some(_)) => StatusCode::BAD_REQUEST,
        (Code::ResourceExhausted, _) => StatusCode::TOO_MANY_REQUESTS,
        (Code::DeadlineExceeded, Some("TOO_SLOW")) => StatusCode::REQUEST_TIMEOUT,
        (Code::DeadlineExceeded, _) => StatusCode::GATEWAY_TIMEOUT,
        // A call begun on a connection that is closing is cancelled without a reason of ours.
        (Code::Unavailable, _) | (Code::Cancelled, None) => StatusCode::SERVICE_UNAVAILABLE,
        (Code::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (Code::PermissionDenied, _) => StatusCode::FORBIDDEN,
        (Code::Unimplemented, _) => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Something went wrong, or was refused. As a response it is an extension, which [`render`] turns into the error body.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    reason: String,
    message: String,
    title: Option<String>,
    detail: Option<String>,
    suggested: String,
    metadata: BTreeMap<String, String>,
    violations: Vec<ErrorViolation>,
    is_about_the_body: bool,
    /// Seconds after which it makes sense to try again, where that is known.
    retry_after: Option<u64>,
}

/// The error body: one document for old and new clients, with the keys before RFC 9457 and those of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Error {
    /// A stable word for programs, for example plugin_not_found.
    error: String,
    /// What was wrong.
    message: String,
    /// What to do about it.
    suggested: String,
    metadata: ErrorMetadata,
    #[schema(format = "uri")]
    r#type: String,
    title: String,
    detail: String,
    status: u16,
    /// The trace of the request, as in the answer's header X-Trace-Id and in plugd's log.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    trace_id: String,
}

/// What else is known of an error.
#[derive(Serialize, ToSchema)]
struct ErrorMetadata {
    #[serde(flatten)]
    more: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    plugin_instance_id: Option<String>,
    suggested: String,
    #[schema(pattern = "^[0-9a-f]{32}$")]
    trace_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<ErrorViolation>,
}

/// A field of the request that is wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ErrorViolation {
    field: String,
    description: String,
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        match status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN) {
            Some(info) => Self::of_the_service(&status, info),
            None => {
                // It came from something between the shim and the service. Its words may name hosts and belong in the log.
                tracing::warn!(code = ?status.code(), message = status.message(), "a call failed without a reason");
                Self::of(http_status(status.code(), None))
            }
        }
    }
}

impl Problem {
    /// What a status says by itself.
    pub(crate) fn of(status: StatusCode) -> Self {
        let meaning = meaning_of(status.as_u16());
        Self(Box::new(Inner {
            status,
            reason: meaning.reason.to_owned(),
            message: meaning.message.to_owned(),
            title: None,
            detail: None,
            suggested: meaning.suggested.to_owned(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            is_about_the_body: false,
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }))
    }

    /// A defect of plugd.
    pub(crate) fn internal() -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A status with a reason and a message of its own.
    pub(crate) fn new(status: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        let mut problem = Self::of(status);
        problem.0.reason = reason.to_owned();
        problem.0.message = message.into();
        problem
    }

    /// Says what to do about it.
    pub(crate) fn suggesting(mut self, suggestion: &str) -> Self {
        self.0.suggested = suggestion.to_owned();
        self
    }

    /// A field of the request is wrong.
    pub(crate) fn invalid(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let message = format!("{field}: {description}");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
            .suggesting("Correct the field and send the request again.");
        problem.0.violations.push(ErrorViolation { field: field.to_owned(), description });
        problem
    }

    /// The path has this id, which can't be any plugin's.
    pub(crate) fn no_plugin() -> Self {
        Self::new(StatusCode::NOT_FOUND, "PLUGIN_NOT_FOUND", "there is no such plugin")
            .suggesting("List the plugins to see their ids.")
    }

    /// No operation has this path.
    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
            .suggesting("See /api/docs for all paths.")
    }

    /// The fault is the body's, and the service has not seen it.
    pub(super) fn of_the_body(mut self) -> Self {
        self.0.is_about_the_body = true;
        self
    }

    /// Whether the body is at fault, without the service having seen it.
    pub(super) fn is_about_the_body(&self) -> bool {
        self.0.is_about_the_body
    }

    /// What the service itself said.
    fn of_the_service(status: &Status, info: ErrorInfo) -> Self {
        let mut problem = Self::new(http_status(status.code(), Some(&info.reason)), &info.reason, status.message());
        problem.0.metadata = info.metadata.into_iter().collect();
        if let Some(suggested) = problem.0.metadata.remove(SUGGESTED) {
            problem.0.suggested = suggested;
        }
        if let Some(delay) = status.get_details_retry_info().and_then(|retry| retry.retry_delay) {
            // A whole second more rather than one too few.
            problem.0.retry_after = Some(delay.as_secs() + 1);
        }
        let violations = status.get_details_bad_request().map(|request| request.field_violations).unwrap_or_default();
        let violation = |(field, description)| ErrorViolation { field, description };
        problem.0.violations = violations.into_iter().map(|one| violation((one.field, one.description))).collect();
        problem.in_the_words_of_the_contract()
    }

    /// Titles and details that existing clients read (CONTRACT 1.2, 3.5, 3.10).
    fn in_the_words_of_the_contract(mut self) -> Self {
        match self.0.reason.as_str() {
            "PLUGIN_FAILED" => {
                let prefix = "plugin failed while changing state: plugin reported an error while changing state";
                self.0.detail = Some(format!("{prefix}: {}", self.words_of_the_runtime()));
                self.titled("The plugin reported an error while changing state. Check plugin logs for details.")
            }
            "PLUGINS_DISABLED" => {
                self.0.detail = Some("disabled: plugins".to_owned());
                self.titled("This Storyden instance has not enabled plugins.")
            }
            "MANIFEST_ID_MISMATCH" => {
                self.titled("The uploaded package must have the same manifest ID as the installed plugin.")
            }
            _ => self,
        }
    }

    /// What the runtime said of the plugin, for example `exit status 42`. The message has more room than the metadata.
    fn words_of_the_runtime(&self) -> &str {
        let words = self.0.message.strip_prefix(PLUGIN_FAILED);
        words.or(self.0.metadata.get("message").map(String::as_str)).unwrap_or(&self.0.message)
    }

    /// The title that clients expect when an archive or the manifest in it is at fault (CONTRACT 3.2).
    pub(crate) fn about_a_package(self) -> Self {
        if !matches!(self.0.reason.as_str(), "INVALID_PACKAGE" | "INVALID_MANIFEST") {
            return self;
        }
        let words = self.0.message.strip_prefix(INVALID_FILE).unwrap_or(&self.0.message);
        let title = format!("{INVALID_FILE}{words}");
        self.titled(title)
    }

    fn titled(mut self, title: impl Into<String>) -> Self {
        self.0.title = Some(title.into());
        self
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What was wrong, in words.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub(crate) fn suggested(&self) -> &str {
        &self.0.suggested
    }

    /// The fields of the request that are wrong, and what is wrong with each.
    pub(crate) fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.violations.iter().map(|one| (one.field.as_str(), one.description.as_str()))
    }

    /// The stable word for programs, in capitals.
    pub(crate) fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The error body of a request with this trace, whose path names this plugin.
    pub(super) fn body(&self, context: &Context) -> Error {
        let Inner { status, reason, message, suggested, .. } = &*self.0;
        let title = if message.is_empty() { status.canonical_reason().unwrap_or("Error") } else { message };
        let mut more = self.0.metadata.clone();
        more.retain(|key, _| !matches!(key.as_str(), "trace_id" | "suggested" | "plugin_instance_id" | "violations"));
        Error {
            error: reason.to_ascii_lowercase(),
            message: message.clone(),
            suggested: suggested.clone(),
            metadata: ErrorMetadata {
                more,
                plugin_instance_id: context.plugin_id.clone(),
                suggested: suggested.clone(),
                trace_id: context.trace.as_str().to_owned(),
                violations: self.0.violations.clone(),
            },
            r#type: format!("urn:storyden:problem:{}", meaning_of(status.as_u16()).kind),
            title: self.0.title.as_deref().unwrap_or(title).to_owned(),
            detail: self.0.detail.as_ref().unwrap_or(message).clone(),
            status: status.as_u16(),
            trace_id: context.trace.as_str().to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if self.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What an error body says of its request. An extension of every request.
#[derive(Clone)]
pub(super) struct Context {
    /// The request's trace (CONTRACT 1.4).
    trace: TraceId,
    /// The plugin's id as it stands in the path.
    plugin_id: Option<String>,
}

/// Turns the [`Problem`] of a response into its body. What has to be in every answer is put there on the way.
pub(super) async fn render(
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let context = Context {
        trace: TraceId::of(request.headers_mut()),
        plugin_id: params.ok().and_then(|params| request::plugin_id(&params)),
    };
    let media = if request::prefers(request.headers(), PROBLEM_JSON, JSON) { PROBLEM_JSON } else { JSON };
    request.extensions_mut().insert(context.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = with_body(response, &problem.body(&context), media);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The response's own headers stay: 405 has its `Allow`.
fn with_body(response: Response, error: &Error, media: &'static str) -> Response {
    let body = serde_json::to_string(error).unwrap_or_default() + "\n";
    let mut rendered = (response.status(), response.headers().clone(), body).into_response();
    rendered.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    rendered
}
