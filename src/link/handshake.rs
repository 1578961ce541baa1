//! The HTTP half of the link: who may come in, and whether they asked properly (CONTRACT 10.1, 10.3).

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, Query, Request, State, WebSocketUpgrade},
    http::{
        HeaderMap, HeaderName, Method, StatusCode, Uri, Version,
        header::{ALLOW, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT},
    },
    response::{IntoResponse, Response},
    routing::any,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{Acceptor, Handshake, Metrics, Options, Refusal, connection, session::MAX_OUTBOUND, token};
use crate::domain::{PluginId, access::is_own_origin};

/// Longest message of a plugin, in bytes (CONTRACT 10.4).
pub(super) const MAX_INBOUND: usize = 4 << 20;
/// Buffered a direction and connection, in bytes; plugins are many and mostly silent.
const BUFFER: usize = 4 << 10;
/// Most that is buffered for a plugin that does not read, in bytes: the longest message, and as much for the answers to its
/// pings. Beyond that only the newest ping is answered (RFC 6455, 5.5.3).
const MAX_WRITE_BUFFER: usize = 2 * MAX_OUTBOUND;

/// Where plugins dial.
pub const DIALLED: &str = "/rpc";

#[derive(Clone)]
pub(super) struct Route {
    pub(super) acceptor: Arc<dyn Acceptor>,
    pub(super) options: Options,
    connections: TaskTracker,
    pub(super) metrics: Metrics,
}

/// Serves `/rpc`, and nothing else. The tracker has a task for each connection until its closing handshake is over.
pub fn router(acceptor: Arc<dyn Acceptor>, options: Options, connections: TaskTracker, metrics: Metrics) -> Router {
    // Any method, to answer all but GET with 405, HEAD too.
    Router::new().route(DIALLED, any(upgrade)).with_state(Route { acceptor, options, connections, metrics })
}

/// Authentication comes before the upgrade is looked at (CONTRACT 10.3).
async fn upgrade(State(route): State<Route>, request: Request) -> Result<Response, Refusal> {
    let (mut parts, _) = request.into_parts();
    if parts.method != Method::GET {
        return Err(Refusal::Method);
    }
    let handshake = read_handshake(&parts.uri, &parts.headers)?;
    let user_agent = handshake.user_agent.clone();
    let authenticated = route.acceptor.authenticate(handshake).await?;
    check_upgrade(parts.version, &parts.headers)?;
    let upgraded = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|_| Refusal::NotAnUpgrade)?;
    let plugin = authenticated.plugin;
    Ok(upgraded
        .max_message_size(MAX_INBOUND)
        .max_frame_size(MAX_INBOUND)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .on_failed_upgrade(move |error| debug!(%plugin, %error, "the upgrade failed"))
        .on_upgrade(move |socket| {
            let connections = route.connections.clone();
            connections.track_future(connection::serve(route, socket, authenticated, user_agent))
        }))
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    token: String,
    #[serde(default)]
    plugin_id: String,
}

pub(super) fn read_handshake(uri: &Uri, headers: &HeaderMap) -> Result<Handshake, Refusal> {
    let Query(Params { token, plugin_id }) =
        Query::try_from_uri(uri).map_err(|_| Refusal::BadRequest("malformed query"))?;
    if token.is_empty() {
        return Err(Refusal::BadRequest("missing token"));
    }
    if plugin_id.is_empty() && !token::is_external(&token) {
        return Err(Refusal::BadRequest("missing plugin_id"));
    }
    let plugin_id = (!plugin_id.is_empty()).then(|| PluginId::from_path(&plugin_id)).transpose();
    let plugin_id = plugin_id.map_err(|_| Refusal::BadRequest("malformed plugin_id"))?;
    Ok(Handshake { plugin_id, token, user_agent: header(headers, &USER_AGENT).to_owned() })
}

fn check_upgrade(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let is_upgrade = has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket");
    if version != Version::HTTP_11 || !is_upgrade {
        return Err(Refusal::NotAnUpgrade);
    }
    if header(headers, &SEC_WEBSOCKET_VERSION) != "13" {
        return Err(Refusal::WebSocketVersion);
    }
    if !is_key(header(headers, &SEC_WEBSOCKET_KEY)) {
        return Err(Refusal::BadRequest("bad Sec-WebSocket-Key"));
    }
    if is_foreign(headers) { Err(Refusal::Foreign) } else { Ok(()) }
}

/// 16 bytes in base64 (RFC 6455, 4.1).
fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// A page of another site must not talk to a plugin's endpoint. Programs other than browsers send no `Origin`.
fn is_foreign(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && !is_own_origin(header(headers, &ORIGIN), header(headers, &HOST))
}

/// The header's first value, or nothing.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether the header's comma-separated values have this one.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            Self::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised").into_response(),
            Self::Foreign => (StatusCode::FORBIDDEN, "foreign origin").into_response(),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")], "method not allowed").into_response(),
            Self::NotAnUpgrade => {
                (StatusCode::UPGRADE_REQUIRED, [(UPGRADE, "websocket")], "a WebSocket upgrade is required")
                    .into_response()
            }
            Self::WebSocketVersion => {
                (StatusCode::BAD_REQUEST, [(SEC_WEBSOCKET_VERSION, "13")], "WebSocket version 13 is required")
                    .into_response()
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response(),
        }
    }
}
