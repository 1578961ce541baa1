//! Who calls: the credential of a request, as it is forwarded.

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE},
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

/// The cookie with a token (CONTRACT 1.2).
pub(super) const COOKIE_NAME: &str = "storyden-session";

/// Headers that are passed on so that a trace goes through.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// A credential, and where it was found.
#[derive(Clone)]
struct Credential {
    header: MetadataValue<Ascii>,
    is_cookie: bool,
}

/// Whoever sent a request. What their credential is good for only the service knows.
#[derive(Clone)]
pub(super) struct Caller {
    credential: Option<Credential>,
    trace: Vec<(&'static str, MetadataValue<Ascii>)>,
}

impl Caller {
    /// The sender of a request with these headers. A cookie counts before a bearer token (CONTRACT 1.2).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let credential = cookie(headers)
            .and_then(|token| Credential::new(&token, true))
            .or_else(|| bearer(headers).and_then(|token| Credential::new(token, false)));
        let trace = TRACE_HEADERS.iter().filter_map(|name| Some((*name, ascii(headers.get(*name)?.to_str().ok()?)?)));
        Self { credential, trace: trace.collect() }
    }

    /// Is there no credential at all?
    pub(super) fn is_anonymous(&self) -> bool {
        self.credential.is_none()
    }

    /// Did a browser add the credential by itself?
    pub(super) fn has_cookie(&self) -> bool {
        self.credential.as_ref().is_some_and(|credential| credential.is_cookie)
    }

    /// A call with the caller's credential and trace.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(credential) = &self.credential {
            request.metadata_mut().insert("authorization", credential.header.clone());
        }
        for (name, value) in &self.trace {
            request.metadata_mut().insert(*name, value.clone());
        }
        request
    }
}

/// Are there two credentials?
pub(super) fn has_cookie_and_bearer(headers: &HeaderMap) -> bool {
    cookie(headers).is_some() && bearer(headers).is_some()
}

impl Credential {
    fn new(token: &str, is_cookie: bool) -> Option<Self> {
        let header = ascii(&format!("Bearer {token}")).filter(|_| !token.is_empty())?;
        Some(Self { header, is_cookie })
    }
}

fn ascii(text: &str) -> Option<MetadataValue<Ascii>> {
    text.parse().ok()
}

/// The first value of the cookie that is not empty. Other cookies of the same host may hold any bytes.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let mut values = lines.filter_map(|line| line.split(';').find_map(token).map(str::to_owned));
    values.next()
}

/// The token in one `name=value` of a cookie header.
fn token(pair: &str) -> Option<&str> {
    let (name, value) = pair.trim().split_once('=')?;
    let value = value.trim().trim_matches('"');
    (name == COOKIE_NAME && !value.is_empty()).then_some(value)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
