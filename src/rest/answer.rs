//! Successful responses, and what a request may prefer of them.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{body::JSON, error::Problem, view};
use crate::api::v1::Plugin;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RESPOND_ASYNC: &str = "respond-async";

/// One JSON document and a line break (CONTRACT 1.3).
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_string(document) {
        Ok(text) => self::text(status, text),
        Err(_) => Problem::internal().into_response(),
    }
}

/// The same of a document that is text already.
pub(super) fn text(status: StatusCode, document: String) -> Response {
    (status, [(CONTENT_TYPE, JSON)], document + "\n").into_response()
}

/// A plugin out of an answer of the service.
pub(super) fn plugin(plugin: Option<Plugin>) -> Result<Response, Problem> {
    let plugin = plugin.ok_or_else(Problem::internal)?;
    Ok(json(StatusCode::OK, &view::plugin(&plugin)))
}

/// Whether to answer before a change has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RespondAsync(pub(super) bool);

impl RespondAsync {
    /// What the request's `Prefer` headers ask for (RFC 7240).
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut preferences = values.flat_map(|value| value.split(','));
        Self(preferences.any(|one| one.split(';').next().is_some_and(|name| name.trim() == RESPOND_ASYNC)))
    }

    /// The plugin, with 202 when it has not been waited for.
    pub(super) fn plugin(self, changed: Option<Plugin>) -> Result<Response, Problem> {
        let mut response = plugin(changed)?;
        if self.0 {
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
        }
        Ok(response)
    }
}

impl<S: Sync> FromRequestParts<S> for RespondAsync {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}
