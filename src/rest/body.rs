//! Bodies of requests: bounded in size and patience, refused with the right status.

use std::{error::Error, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prost_types::Struct;
use serde_json::{Map, Value};
use tower_http::timeout::{TimeoutBody, TimeoutError};

use super::{App, error::Problem};
use crate::api::json::{self, Inexact, Unreadable};

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";

/// Longest JSON, in bytes: the service takes no longer message, and what is parsed of it takes many times more.
const MAX_JSON: usize = 4 << 20;

/// How long a client may leave a body without a byte.
const IDLE: Duration = Duration::from_secs(15);

/// Longer JSON is parsed and converted where it holds up no other request.
const QUICKLY_PARSED: usize = 64 << 10;

/// A request's body that is a JSON object.
pub(super) struct JsonObject(pub(super) Map<String, Value>);

impl FromRequest<App> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let limit = app.options.max_body.min(MAX_JSON);
        let read = bounded(&parts.headers, body, limit)?.collect().await;
        let bytes = read.map_err(|error| fault(&error, limit))?.to_bytes();
        if bytes.is_empty() {
            return Err(empty());
        }
        if media_type(&parts.headers).is_none_or(|media| media != JSON) {
            return Err(wrong_type(JSON));
        }
        if bytes.len() <= QUICKLY_PARSED { parse(&bytes) } else { elsewhere(move || parse(&bytes)).await }
    }
}

fn parse(bytes: &[u8]) -> Result<JsonObject, Problem> {
    match json::parse(bytes) {
        Ok(Value::Object(object)) => Ok(JsonObject(object)),
        Ok(_) => Err(Problem::invalid("body", "must be a JSON object")),
        Err(Unreadable::Inexact(inexact)) => Err(inexact_number(&inexact)),
        Err(Unreadable::TooDeep) => Err(too_deep("body")),
        Err(Unreadable::NotJson(error)) => Err(Problem::invalid("body", format!("is not JSON: {error}"))),
    }
}

/// Does work that takes long where it holds up nobody.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Problem::internal()))
}

/// The request's media type as it is written, with its parameters.
pub(crate) fn media_type_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// The request's media type in lower case, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = media_type_of(headers)?;
    let essence = value.split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// A body that fails when it has more bytes than the limit, or none for [`IDLE`].
///
/// # Errors
/// Its headers declare too many.
pub(crate) fn bounded(headers: &HeaderMap, body: Body, limit: usize) -> Result<Body, Problem> {
    if declared_length(headers).is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    Ok(Body::new(Limited::new(TimeoutBody::new(IDLE, body), limit)))
}

/// How many bytes a body has, as its headers say.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why a bounded body failed.
pub(crate) fn fault(error: &(dyn Error + 'static), limit: usize) -> Problem {
    if error.is::<LengthLimitError>() {
        return too_large(limit);
    }
    if error.is::<TimeoutError>() {
        let message = format!("nothing more of the body came for {IDLE:?}");
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_STALLED", message).of_the_body();
    }
    error.source().map_or_else(broken, |source| fault(source, limit))
}

/// There is no body where one is needed.
pub(super) fn empty() -> Problem {
    Problem::invalid("body", "is empty").of_the_body()
}

/// The body ended before its end, or can't be read.
pub(super) fn broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "the body ended before its end")
        .suggesting("Send the request again.")
        .of_the_body()
}

/// The body has another media type than is wanted.
pub(crate) fn wrong_type(wanted: &str) -> Problem {
    let message = format!("the body's content type must be {wanted}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message).of_the_body()
}

fn too_large(limit: usize) -> Problem {
    let message = format!("the body is larger than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message).of_the_body()
}

/// A string property that must be there.
///
/// # Errors
/// It is missing or no string; `expected` says what it should be.
pub(super) fn string<'a>(object: &'a Map<String, Value>, key: &str, expected: &str) -> Result<&'a str, Problem> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Problem::invalid(key, format!("must be a string: {expected}"))),
        None => Err(Problem::invalid(key, format!("is missing: {expected}"))),
    }
}

/// An object property that must be there, taken out.
///
/// # Errors
/// It is missing or no object.
pub(super) fn take_object(object: &mut Map<String, Value>, key: &str) -> Result<Map<String, Value>, Problem> {
    match object.remove(key) {
        Some(Value::Object(inner)) => Ok(inner),
        Some(_) => Err(Problem::invalid(key, "must be an object")),
        None => Err(Problem::invalid(key, "is missing")),
    }
}

/// The object as the gRPC API carries it.
///
/// # Errors
/// A property that the API can't carry, by its name: an integer beyond 2^53, or nesting that is too deep.
pub(crate) async fn to_struct(object: Map<String, Value>) -> Result<Struct, Problem> {
    elsewhere(move || convert(object)).await
}

fn convert(object: Map<String, Value>) -> Result<Struct, Problem> {
    if let Some((key, _)) = object.iter().find(|(_, value)| json::is_too_deep(value)) {
        return Err(too_deep(key));
    }
    json::to_struct(&object).map_err(|inexact| inexact_number(&inexact))
}

fn inexact_number(inexact: &Inexact) -> Problem {
    Problem::invalid(&inexact.path, inexact.description())
}

fn too_deep(field: &str) -> Problem {
    Problem::invalid(field, format!("is nested deeper than {} levels", json::MAX_DEPTH))
}
