//! The trace that a request belongs to (W3C Trace Context): the caller's own where it names one, else a new one. It is in the
//! answer, in the log, and in the calls that the request becomes, so that they can be told to be of one request.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
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

/// The id of a trace: 32 hexadecimal digits, not all of them zero. An extension of every request that came through
/// [`traced`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId(String);

impl TraceId {
    /// The trace of a request with these headers, which from now on name it, whether they did before or not.
    pub fn of(headers: &mut HeaderMap) -> Self {
        match theirs(headers) {
            Some(id) => id,
            None => Self::begin(headers),
        }
    }

    /// A new trace, and these headers as its first step.
    fn begin(headers: &mut HeaderMap) -> Self {
        let id = Self(format!("{:032x}", rand::random::<u128>().max(1)));
        let step = rand::random::<u64>().max(1);
        headers.remove(TRACESTATE);
        // Digits and hyphens are always a header's value.
        if let Ok(parent) = HeaderValue::try_from(format!("00-{}-{step:016x}-00", id.0)) {
            headers.insert(TRACEPARENT, parent);
        }
        id
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The trace that the caller names. More than one is none.
fn theirs(headers: &HeaderMap) -> Option<TraceId> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (parent, another) = (parents.next()?, parents.next());
    let parent = parent.to_str().ok().filter(|_| another.is_none())?;
    let mut parts = parent.split('-');
    let (version, id, step, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may say more behind these.
    let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let is_whole = is_hex(flags, 2) && is_id(id, 32) && is_id(step, 16);
    (is_known && is_whole).then(|| TraceId(id.to_owned()))
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A layer that gives a request its trace: in its headers and its extensions, in what is logged meanwhile, and in the
/// answer. How requests end is logged: what was refused or failed as information, the others for debugging.
pub async fn traced(mut request: Request, next: Next) -> Response {
    if request.extensions().get::<TraceId>().is_some() {
        // A layer further out was here.
        return next.run(request).await;
    }
    let id = TraceId::of(request.headers_mut());
    let span = error_span!("request", trace_id = id.as_str());
    let (method, path) = (request.method().clone(), shown(request.uri().path()));
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| log(&method, &path, &response));
    // Digits are always a header's value.
    if let Ok(value) = HeaderValue::try_from(id.0) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    response
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
