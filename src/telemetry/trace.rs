//! The trace that a request belongs to (W3C Trace Context): the caller's own where it names one, else a new one. It is in the
//! answer, in the log, and in the calls that the request becomes, so that they can be told to be of one request.
//!
//! Where an OpenTelemetry collector is named, it is told what took how long: `span` has what is told, `export` how it gets
//! there, `parent` what is passed on so that spans become one tree. Without one there are no spans, and nothing is spent on
//! them.

mod bounded;
mod export;
mod parent;
mod span;

use std::io::Write;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
pub use export::{Error, finish, register, start};
pub use parent::{Parent, Recent};
pub use span::{IsCall, Span, with_routes};
use tonic::Code;
use tracing::{Instrument, debug, error_span, info};

/// The header of every answer with the id of its trace; metadata of that name in gRPC.
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The header in which a caller names its trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What else a caller says of its trace; it means nothing without the trace.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Characters of a path that the log repeats.
const MAX_PATH: usize = 200;

/// Digits of a trace's id.
const ID: usize = 32;
/// Digits of the id of a step in a trace.
const STEP: usize = 16;

/// The id of a trace: 32 hexadecimal digits, not all of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; ID]);

impl TraceId {
    /// The trace of a request with these headers, which from now on name it, whether they did before or not.
    pub fn of(headers: &mut HeaderMap) -> Self {
        theirs(headers).unwrap_or_else(|| Self::begin(headers))
    }

    /// A new trace, and these headers as its first step.
    fn begin(headers: &mut HeaderMap) -> Self {
        let (id, step) = (rand::random::<u128>().max(1), rand::random::<u64>().max(1));
        let mut parent = *b"00-iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii-ssssssssssssssss-00";
        // It has the length of what is written.
        let _ = write!(&mut parent[..], "00-{id:0ID$x}-{step:0STEP$x}-00");
        headers.remove(TRACESTATE);
        // Digits and hyphens are always a header's value.
        if let Ok(parent) = HeaderValue::from_bytes(&parent) {
            headers.insert(TRACEPARENT, parent);
        }
        Self(parent[3..].first_chunk().copied().unwrap_or([b'0'; ID]))
    }

    pub fn as_str(&self) -> &str {
        // All digits are of ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What a caller says of its trace, all of it digits.
struct Named<'a> {
    id: &'a str,
    step: &'a str,
    flags: &'a str,
}

/// The trace that the caller names. More than one is none.
fn named(headers: &HeaderMap) -> Option<Named<'_>> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (parent, another) = (parents.next()?, parents.next());
    let parent = parent.to_str().ok().filter(|_| another.is_none())?;
    let mut parts = parent.split('-');
    let (version, id, step, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may say more behind these.
    let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let is_whole = is_hex(flags, 2) && is_id(id, ID) && is_id(step, STEP);
    (is_known && is_whole).then_some(Named { id, step, flags })
}

/// The trace that the caller names.
fn theirs(headers: &HeaderMap) -> Option<TraceId> {
    Some(TraceId(named(headers)?.id.as_bytes().try_into().ok()?))
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Answers a request in its trace: it is in the request's headers, in what is logged meanwhile, and in the answer. How
/// requests end is logged: what was refused or failed as information, the others for debugging.
pub async fn traced<F>(mut request: Request, is_call: IsCall, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let span = Span::serve(&mut request, is_call);
    let id = TraceId::of(request.headers_mut());
    let logged = error_span!("request", trace_id = id.as_str());
    let (method, path) = (request.method().clone(), shown(request.uri().path()));
    let mut response = answer(request).instrument(logged.clone()).await;
    logged.in_scope(|| log(&method, &path, &response));
    span.answered(&response);
    // Digits are always a header's value.
    if let Ok(value) = HeaderValue::from_bytes(&id.0) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    response
}

/// Whether a request, or a response, of these headers is gRPC's.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn shown(path: &str) -> String {
    path.chars().take(MAX_PATH).collect()
}

/// How a request ended, as far as its answer says so when it begins.
fn log(method: &Method, path: &str, response: &Response) {
    let status = response.status();
    let code = tonic::Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    if code != Code::Ok {
        info!(path, ?code, "a call was refused or failed");
    } else if status.is_client_error() || status.is_server_error() {
        info!(%method, path, status = status.as_u16(), "a request was refused or failed");
    } else {
        debug!(%method, path, status = StatusCode::as_u16(&status), "a request is answered");
    }
}

#[cfg(test)]
mod tests;
