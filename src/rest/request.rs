//! What handlers take from a request, and how they answer.

use std::{cmp::Reverse, convert::Infallible, io, net::SocketAddr, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{self, ConnectInfo, FromRequestParts, RawPathParams},
    http::{
        Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use futures_util::{Stream, TryStreamExt};
use serde::Serialize;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
};
use tracing::Span;

use super::{App, access::Credential, body::JSON, error::Problem, forwarded, views};
use crate::api::{
    Unary,
    v1::{self, AccessToken, PluginView, Role},
};

/// Name of the path parameter with a plugin's id.
pub(super) const PLUGIN_ID: &str = "plugin_instance_id";

/// Headers that are passed on so that a trace goes through.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RESPOND_ASYNC: &str = "respond-async";

/// The gRPC API as the sender of a request has it.
pub(crate) struct Api {
    /// What every handler may use.
    pub(crate) app: App,
    /// The caller's token, without its secret.
    pub(crate) token: Arc<AccessToken>,
    origin: Origin,
}

/// What calls carry of the request that they are made for: its sender's credential and address, and its trace.
#[derive(Clone)]
pub(crate) struct Origin {
    /// Where its connection comes from; a service in memory takes it from here.
    peer: Option<ConnectInfo<SocketAddr>>,
    metadata: Arc<[(&'static str, MetadataValue<Ascii>)]>,
}

impl Origin {
    /// That of a request with this credential, these headers and these extensions.
    pub(crate) fn of(authorization: &MetadataValue<Ascii>, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().copied();
        let trace = |name| Some((name, headers.get(name)?.to_str().ok()?.parse().ok()?));
        let trace = TRACE_HEADERS.into_iter().filter_map(trace);
        let forwarded = peer.and_then(|peer| forwarded::with(headers, peer.0.ip()).try_into().ok());
        let forwarded = forwarded.map(|forwarded| (forwarded::FORWARDED_FOR, forwarded));
        let metadata = [("authorization", authorization.clone())].into_iter().chain(forwarded).chain(trace).collect();
        Self { peer, metadata }
    }

    /// A call on behalf of the request.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in self.metadata.iter() {
            request.metadata_mut().insert(*name, value.clone());
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        request
    }
}

impl Api {
    /// A call with the caller's credential, address and trace.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        self.origin.call(message)
    }

    pub(crate) async fn call<Q: Unary>(&self, message: Q) -> Result<Q::Answer, Status> {
        self.app.backend.call(self.request(message)).await
    }

    /// How much of a plugin the caller may see: reads show the token of an external plugin to administrators (CONTRACT 2).
    pub(crate) fn view(&self) -> PluginView {
        if self.token.role() == Role::Admin { PluginView::Full } else { PluginView::Basic }
    }
}

impl FromRequestParts<App> for Api {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let credential = parts.extensions.get::<Credential>().ok_or_else(Problem::internal)?;
        let Credential { token, origin } = credential.clone();
        Ok(Self { app: app.clone(), token, origin })
    }
}

/// The plugin's id in the path. Any text is taken; the service looks at its first 20 characters (CONTRACT 1.5).
pub(crate) struct PluginId(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PluginId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::no_plugin())?;
        plugin_id(&params).map(Self).ok_or_else(Problem::no_plugin)
    }
}

/// The plugin's id among the parameters of a path.
pub(super) fn plugin_id(params: &RawPathParams) -> Option<String> {
    params.iter().find(|(name, _)| *name == PLUGIN_ID).map(|(_, value)| value.to_owned())
}

/// The pairs after the question mark, in order; a name may come more than once.
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = extract::Query::from_request_parts(parts, state).await;
        pairs.map(|extract::Query(pairs)| Self(pairs)).map_err(|_| Problem::invalid("query", "can't be read"))
    }
}

impl Query {
    /// What stands after the question mark of an address.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// All values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name that may come once.
    ///
    /// # Errors
    /// It comes more than once.
    pub(crate) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(Problem::invalid(name, "is there more than once")) } else { Ok(value) }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is no number, or comes more than once.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let invalid = |_| Problem::invalid(name, "must be a whole number");
        self.one(name)?.map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// Yes or no; no when it is missing.
    ///
    /// # Errors
    /// It is neither, or comes more than once.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(Problem::invalid(name, "must be true or false")),
        }
    }
}

/// Whether to answer before a change has settled.
pub(super) struct RespondAsync(pub(super) bool);

impl<S: Sync> FromRequestParts<S> for RespondAsync {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let values = parts.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut preferences = values.flat_map(|value| value.split(','));
        Ok(Self(preferences.any(|one| one.split(';').next().is_some_and(|name| name.trim() == RESPOND_ASYNC))))
    }
}

impl RespondAsync {
    /// How long the service is to wait: not at all, or as long as it likes.
    pub(crate) fn wait(&self) -> Option<prost_types::Duration> {
        self.0.then(prost_types::Duration::default)
    }

    /// The plugin, with 202 when it has not been waited for (RFC 7240).
    pub(crate) fn plugin(self, changed: Option<v1::Plugin>) -> Result<Response, Problem> {
        let mut response = plugin(changed)?;
        if self.0 {
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
        }
        Ok(response)
    }
}

/// A plugin out of an answer of the service.
pub(super) fn plugin(plugin: Option<v1::Plugin>) -> Result<Response, Problem> {
    plugin.map(views::Plugin::from).map(|plugin| json(&plugin)).ok_or_else(Problem::internal)
}

/// A body that comes piece by piece. One that fails on its way breaks the connection, so that nobody takes a part for the whole.
pub(crate) fn streamed(
    pieces: impl Stream<Item = Result<impl Into<Bytes> + 'static, Status>> + Send + 'static,
) -> Body {
    // The body is sent when the request's handler has long returned.
    let span = Span::current();
    Body::from_stream(pieces.map_err(move |status| {
        span.in_scope(
            || tracing::warn!(code = ?status.code(), message = status.message(), "an answer failed on its way"),
        );
        io::Error::other("the answer failed on its way")
    }))
}

/// One JSON document and a line break (CONTRACT 1.3).
pub(super) fn json(document: &impl Serialize) -> Response {
    match serde_json::to_string(document) {
        Ok(text) => ([(CONTENT_TYPE, JSON)], text + "\n").into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

/// Whether the request's Accept prefers one media type to another: by the quality, then by whether it names it rather than a range,
/// then by the place. Nothing is less than anything.
pub(super) fn prefers(headers: &HeaderMap, media: &str, other: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    wish(&ranges, media) > wish(&ranges, other)
}

/// What the most specific range that fits says of a media type; nothing when it is not wanted.
fn wish(ranges: &[&str], media: &str) -> Option<(u32, u8, Reverse<usize>)> {
    let fitting = ranges.iter().enumerate().filter_map(|(place, range)| {
        let mut parts = range.split(';');
        let specificity = match parts.next()?.trim() {
            "*/*" => 0,
            "application/*" => 1,
            range => range.eq_ignore_ascii_case(media).then_some(2)?,
        };
        Some((specificity, quality(parts), place))
    });
    let (specificity, quality, place) = fitting.max_by_key(|(specificity, ..)| *specificity)?;
    (quality > 0).then_some((quality, specificity, Reverse(place)))
}

/// The quality in thousandths.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u32 {
    let quality = parameters.find_map(|parameter| parameter.trim().strip_prefix("q=")?.parse::<f32>().ok());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 before")]
    quality.map_or(1000, |quality| (quality.clamp(0.0, 1.0) * 1000.0) as u32)
}
