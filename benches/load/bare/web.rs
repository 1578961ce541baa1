//! Its HTTP: bytes that were put there before, and WebSockets.

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, Utf8Bytes, WebSocket},
    },
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use plugd::api::v1::PluginEvent;
use serde_json::json;

use super::Shared;
use crate::bus::TEXT;

pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/bytes", get(read).put(keep))
        .route("/hear", any(hear))
        .route("/answer", any(answer))
        .route("/connect", any(connect))
        .with_state(shared)
}

async fn read(State(shared): State<Shared>) -> Response {
    let bytes = shared.bytes.lock().unwrap().clone();
    ([(CONTENT_TYPE, "application/json")], bytes).into_response()
}

async fn keep(State(shared): State<Shared>, bytes: Bytes) {
    *shared.bytes.lock().unwrap() = bytes;
}

/// Hears all messages. What it answers is read, and thrown away.
async fn hear(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let mut messages = shared.messages.subscribe();
        loop {
            tokio::select! {
                Ok(message) = messages.recv() => {
                    let Ok(()) = socket.send(Message::Text(message)).await else { return };
                }
                Some(Ok(_)) = socket.recv() => {}
                else => return,
            }
        }
    })
}

/// Is called, one call after the other.
async fn answer(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        let mut calls = shared.callee.lock().await;
        while let Some((message, reply)) = calls.recv().await {
            socket.send(Message::Text(message)).await.unwrap();
            let Some(Ok(Message::Text(answer))) = socket.recv().await else { return };
            let _ = reply.send(answer);
        }
    })
}

/// Tells whoever watches that somebody has connected, and nothing more.
async fn connect(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        let _ = shared.events.send(PluginEvent { revision: 1, ..PluginEvent::default() });
        while let Some(Ok(_)) = socket.recv().await {}
    })
}

/// A message of the size that plugd's has.
pub(super) fn message(method: &str) -> Utf8Bytes {
    let params = json!({"event": method, "text": TEXT});
    let message = json!({"jsonrpc": "2.0", "id": "d0000000000000000000", "method": method, "params": params});
    message.to_string().into()
}
