//! Errors as REST clients see them, and the one mapping from gRPC's status to HTTP's.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt};

use crate::api::{ERROR_DOMAIN, SUGGESTED};

/// What the service puts before the runtime's words when a plugin fails.
const PLUGIN_FAILED: &str = "the plugin failed: ";

/// How clients expect the title to begin when an archive is at fault (CONTRACT 3.2).
const INVALID_FILE: &str = "The provided plugin file is invalid: ";

/// Something went wrong, or was refused. As a response it is an extension, which [`super::context::render`] turns into
/// the error body.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    reason: String,
    message: String,
    title: Option<String>,
    detail: Option<String>,
    suggested: Option<String>,
    metadata: BTreeMap<String, String>,
    violations: Vec<(String, String)>,
    is_local: bool,
}

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

/// Suffix of the problem's type (CONTRACT 16).
fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "invalid-argument",
        401 => "unauthenticated",
        403 => "permission-denied",
        404 => "not-found",
        405 => "method-not-allowed",
        408 => "deadline-exceeded",
        409 => "aborted",
        410 => "out-of-range",
        413 => "too-large",
        415 => "unsupported-media-type",
        429 => "resource-exhausted",
        501 => "unimplemented",
        502 => "cancelled",
        503 => "unavailable",
        504 => "deadline-exceeded",
        _ => "internal",
    }
}

/// What helps when whoever answered did not say.
fn what_to_do(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "Correct the request and send it again.",
        403 => "Use a token with the role that this needs.",
        404 => "List the plugins to see what there is.",
        409 => "Read the plugin to see what is desired now; call again if you still want something else.",
        413 => "Send less.",
        429 | 503 => "Try again in a moment.",
        501 => "Use a newer plugd.",
        504 => "What was asked for may still happen; read the plugin to see.",
        _ => "Read plugd's log, and report it.",
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        match status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN) {
            Some(info) => Self::told(&status, info),
            None => Self::untold(&status),
        }
    }
}

impl Problem {
    fn new(status: StatusCode, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            reason: reason.into(),
            message: message.into(),
            title: None,
            detail: None,
            suggested: None,
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            is_local: false,
        }))
    }

    /// What the service itself said.
    fn told(status: &Status, info: ErrorInfo) -> Self {
        let http = http_status(status.code(), Some(&info.reason));
        let mut problem = Self::new(http, info.reason, status.message());
        problem.0.metadata = info.metadata.into_iter().collect();
        problem.0.suggested = problem.0.metadata.remove(SUGGESTED);
        let fields = status.get_details_bad_request().map(|request| request.field_violations).unwrap_or_default();
        problem.0.violations = fields.into_iter().map(|one| (one.field, one.description)).collect();
        problem.in_the_words_of_the_contract()
    }

    /// What came from something between the shim and the service. Its words may name hosts and belong in the log.
    fn untold(status: &Status) -> Self {
        let http = http_status(status.code(), None);
        tracing::warn!(code = ?status.code(), message = status.message(), "a call failed without a reason");
        let (reason, message) = match http {
            StatusCode::SERVICE_UNAVAILABLE => ("UNAVAILABLE", "plugd does not answer"),
            StatusCode::GATEWAY_TIMEOUT => ("DEADLINE_EXCEEDED", "plugd did not answer in time"),
            StatusCode::PAYLOAD_TOO_LARGE => ("TOO_LARGE", "the request is larger than plugd takes"),
            StatusCode::UNAUTHORIZED => return Self::unauthenticated(),
            StatusCode::FORBIDDEN => ("PERMISSION_DENIED", "the credential is not good for this"),
            StatusCode::NOT_FOUND => ("NOT_FOUND", "there is no such thing"),
            StatusCode::CONFLICT => ("ABORTED", "something else came first"),
            StatusCode::TOO_MANY_REQUESTS => ("RESOURCE_EXHAUSTED", "there are too many requests"),
            StatusCode::NOT_IMPLEMENTED => ("UNIMPLEMENTED", "this plugd does not have this operation"),
            StatusCode::BAD_REQUEST => ("INVALID_ARGUMENT", "the request was refused"),
            _ => return Self::internal(),
        };
        Self::new(http, reason, message)
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
    pub(super) fn about_a_package(self) -> Self {
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

    fn suggesting(mut self, suggestion: impl Into<String>) -> Self {
        self.0.suggested = Some(suggestion.into());
        self
    }

    /// Found by the shim before the service saw the request.
    fn local(mut self) -> Self {
        self.0.is_local = true;
        self
    }

    /// A field of the request is wrong.
    pub(super) fn invalid(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", format!("{field}: {description}"));
        problem.0.violations.push((field.to_owned(), description));
        problem.suggesting("Correct the field and send the request again.").local()
    }

    /// There is no body where one is needed.
    pub(super) fn empty_body() -> Self {
        Self::invalid("body", "is empty")
    }

    /// The body ended before its end, or can't be read.
    pub(super) fn broken_body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "the body ended before its end")
            .suggesting("Send the request again.")
            .local()
    }

    /// The client sent nothing more of its body for so long.
    pub(super) fn stalled_body(idle: Duration) -> Self {
        let message = format!("nothing more of the body came for {idle:?}");
        Self::new(StatusCode::REQUEST_TIMEOUT, "BODY_STALLED", message).suggesting("Send the request again.").local()
    }

    /// The body has another media type than is wanted.
    pub(super) fn unsupported_media_type(wanted: &str) -> Self {
        let message = format!("the body's content type must be {wanted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
            .suggesting("Send such a body, and name its type in the header Content-Type.")
            .local()
    }

    /// The same where JSON would have been right too.
    pub(super) fn naming_json_too(self) -> Self {
        match self.0.status {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type("application/zip or application/json"),
            _ => self,
        }
    }

    /// The body has more bytes than the limit.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message).suggesting("Send less.").local()
    }

    /// There is no credential.
    pub(super) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "there is no valid credential in the request")
            .suggesting(
                "Send a token: \"Authorization: Bearer TOKEN\". The first one is in the file admin.token in plugd's data \
                 folder.",
            )
    }

    /// A page of another site wrote with the user's cookie, as this header says.
    pub(super) fn cross_site(header: &str) -> Self {
        let message = format!("by its header {header}, a page of another site sent this with the user's cookie");
        Self::new(StatusCode::FORBIDDEN, "CROSS_SITE", message)
            .suggesting("Send a bearer token instead of the cookie, or send it from a page of this server.")
    }

    /// No operation has this path.
    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
            .suggesting("See /api/docs for all paths.")
    }

    /// The path has this id, which can't be any plugin's.
    pub(super) fn no_plugin() -> Self {
        Self::new(StatusCode::NOT_FOUND, "PLUGIN_NOT_FOUND", "there is no such plugin")
            .suggesting("List the plugins to see their ids.")
            .local()
    }

    /// The path is right and the method is not.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path has no such method")
            .suggesting("See the Allow header for the methods.")
    }

    /// The time for the whole request is up.
    pub(super) fn deadline() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", "plugd did not answer in time")
            .suggesting("What was asked for may still happen; read the plugin to see.")
    }

    /// The service can't take calls now.
    pub(super) fn not_ready() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "plugd is not ready")
            .suggesting("Try again in a moment.")
    }

    /// A defect of plugd.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "plugd has a defect")
            .suggesting("Read plugd's log, and report it.")
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Was it found before the service saw the request? Then nobody has checked the credential.
    pub(super) fn is_local(&self) -> bool {
        self.0.is_local
    }

    /// Is the problem that there is no such plugin, or that it has no packages?
    pub(super) fn is_about_the_plugin(&self) -> bool {
        matches!(self.0.reason.as_str(), "PLUGIN_NOT_FOUND" | "EXTERNAL_PLUGIN")
    }

    /// Is the caller the problem?
    pub(super) fn is_about_the_caller(&self) -> bool {
        matches!(self.0.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// One document for old and new clients: the keys before RFC 9457 and those of it (CONTRACT 1.4, 16). `about` says of the
    /// request what the metadata repeats.
    pub(super) fn body(&self, trace_id: &str, about: Option<(&str, &str)>) -> Value {
        let Inner { status, reason, message, .. } = &*self.0;
        let suggested = self.0.suggested.as_deref().unwrap_or(what_to_do(*status));
        let of_the_request = about.into_iter().chain([("trace_id", trace_id), ("suggested", suggested)]);
        json!({
            "error": reason.to_ascii_lowercase(),
            "message": message,
            "suggested": suggested,
            "metadata": self.metadata(of_the_request),
            "type": format!("urn:storyden:problem:{}", kind(*status)),
            "title": self.title(),
            "detail": self.0.detail.as_ref().unwrap_or(message),
            "status": status.as_u16(),
            "trace_id": trace_id,
        })
    }

    fn title(&self) -> &str {
        let status_text = self.0.status.canonical_reason().unwrap_or("Error");
        let message = if self.0.message.is_empty() { status_text } else { &self.0.message };
        self.0.title.as_deref().unwrap_or(message)
    }

    fn metadata<'a>(&self, of_the_request: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
        let mut metadata: Map<_, _> = self.0.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        metadata.extend(of_the_request.map(|(key, value)| (key.to_owned(), json!(value))));
        if !self.0.violations.is_empty() {
            let violations = self.0.violations.iter();
            let violations = violations.map(|(field, text)| json!({"field": field, "description": text}));
            metadata.insert("violations".to_owned(), violations.collect());
        }
        metadata
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let header = match self.status() {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(self);
        response
    }
}
