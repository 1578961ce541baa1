//! Bodies of requests: read within a limit, refused with the right status.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use prost_types::Struct;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{App, error::Problem};
use crate::api::json::{self, Inexact, Unreadable};

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";

/// Longest JSON, in bytes: the service takes no longer message, and what is parsed of it takes many times more.
pub(super) const MAX_JSON: usize = 4 << 20;

/// How long a client may leave a body without a byte.
pub(super) const IDLE: Duration = Duration::from_secs(15);

/// Longer JSON is parsed and converted where it holds up no other request.
const QUICKLY_PARSED: usize = 64 << 10;

/// A request's body that is a JSON object.
pub(super) struct JsonObject(pub(super) Map<String, Value>);

impl FromRequest<App> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, app.options.max_body.min(MAX_JSON)).await?;
        if bytes.is_empty() {
            return Err(Problem::empty_body());
        }
        if media_type(&parts.headers).is_none_or(|media| media != JSON) {
            return Err(Problem::unsupported_media_type(JSON));
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

/// The request's media type in lower case, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// The body's declared length in bytes.
///
/// # Errors
/// More than the limit.
pub(super) fn declared_length(headers: &HeaderMap, limit: usize) -> Result<Option<usize>, Problem> {
    let value = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match value.and_then(|text| text.parse().ok()) {
        Some(length) if length > limit => Err(Problem::too_large(limit)),
        length => Ok(length),
    }
}

/// The next bytes of a body; nothing at its end.
///
/// # Errors
/// The body can't be read, or nothing came for [`IDLE`].
pub(super) async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match timeout(IDLE, stream.next()).await {
        Ok(chunk) => chunk.transpose().map_err(|_| Problem::broken_body()),
        Err(_) => Err(Problem::stalled_body(IDLE)),
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    declared_length(headers, limit)?;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = next(&mut stream).await? {
        if bytes.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
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
pub(super) async fn to_struct(object: Map<String, Value>) -> Result<Struct, Problem> {
    elsewhere(move || convert(object)).await
}

fn convert(object: Map<String, Value>) -> Result<Struct, Problem> {
    let fields = object.into_iter().map(|(key, value)| {
        require_shallow(&key, &value)?;
        let value = json::to_value(&value).map_err(|inexact| inexact_number(&inexact.within(&key)))?;
        Ok((key, value))
    });
    Ok(Struct { fields: fields.collect::<Result<_, Problem>>()? })
}

fn inexact_number(inexact: &Inexact) -> Problem {
    Problem::invalid(&inexact.path, inexact.description())
}

fn require_shallow(key: &str, value: &Value) -> Result<(), Problem> {
    if json::is_too_deep(value) { Err(too_deep(key)) } else { Ok(()) }
}

fn too_deep(field: &str) -> Problem {
    Problem::invalid(field, format!("is nested deeper than {} levels", json::MAX_DEPTH))
}
