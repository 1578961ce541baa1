//! The plugin's end of a connection, frame by frame: the test itself is the plugin.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderMap, protocol::CloseFrame},
};

use crate::harness::{Plugd, within};

/// A connection to plugd.
pub(crate) struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The close frame, once it came.
    goodbye: Option<(u16, String)>,
}

impl Wire {
    /// Dials in with an external token; the status when it is refused before the upgrade.
    pub(crate) async fn dial(plugd: &Plugd, token: &str) -> Result<Self, u16> {
        Self::dial_as(plugd, &format!("token={token}"), "").await
    }

    /// The same with this query and this `User-Agent`.
    pub(crate) async fn dial_as(plugd: &Plugd, query: &str, user_agent: &str) -> Result<Self, u16> {
        Self::dial_with(plugd, query, &[("user-agent", user_agent)]).await.map(|(wire, _)| wire)
    }

    /// The same with these headers; the headers of the answer as well.
    pub(crate) async fn dial_with(
        plugd: &Plugd,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Self, HeaderMap), u16> {
        let mut request = format!("ws://{}/rpc?{query}", plugd.address()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match within("the handshake", connect_async(request)).await {
            Ok((socket, answer)) => Ok((Self { socket, goodbye: None }, answer.headers().clone())),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: impl Into<Message>) {
        within("room to send", self.socket.send(frame.into())).await.unwrap();
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        within("room to send", self.socket.get_mut().write_all(bytes)).await.unwrap();
    }

    /// Pings as WebSocket does it; true if nothing comes before the answer.
    pub(crate) async fn is_ponged(&mut self) -> bool {
        self.send(Message::Ping(b"are you there"[..].to_vec().into())).await;
        matches!(within("a pong", self.socket.next()).await, Some(Ok(Message::Pong(echo))) if echo[..] == *b"are you there")
    }

    /// Says goodbye with this code; the code of plugd's answer, if it has one.
    pub(crate) async fn hang_up(mut self, code: Option<u16>) -> Option<u16> {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "bye".into() });
        self.send(Message::Close(frame)).await;
        loop {
            match within("an answer to a goodbye", self.socket.next()).await {
                Some(Ok(Message::Close(answer))) => return answer.map(|answer| answer.code.into()),
                Some(Ok(_)) => {}
                other => panic!("no answer to a goodbye: {other:?}"),
            }
        }
    }

    /// All that still comes, as bytes, up to the end of the connection. Nothing is answered.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        within("the end", self.socket.get_mut().read_to_end(&mut rest)).await.unwrap();
        rest
    }

    /// The next text frame as it came; none once the connection is closed.
    pub(crate) async fn text(&mut self) -> Option<String> {
        loop {
            match within("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.expect("plugd says why it closes");
                    self.goodbye = Some((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("plugd sends nothing but text, and pings nobody (10.4): {other:?}"),
                Some(Err(error)) => {
                    assert!(self.goodbye.is_none(), "a goodbye without an orderly end: {error}");
                    return None;
                }
                None => return None,
            }
        }
    }

    /// The next message, which must be as the SDKs want it; none once the connection is closed.
    pub(crate) async fn frame(&mut self) -> Option<Value> {
        let frame = serde_json::from_str(&self.text().await?).unwrap();
        check(&frame);
        Some(frame)
    }

    /// The next request of plugd.
    pub(crate) async fn request(&mut self) -> Value {
        let request = self.frame().await.unwrap_or_else(|| panic!("closed: {:?}", self.goodbye));
        assert!(request["method"].is_string(), "not a request: {request}");
        request
    }

    /// The same, of this method; its parameters.
    pub(crate) async fn request_of(&mut self, method: &str) -> (Value, Value) {
        let request = self.request().await;
        assert_eq!(request["method"], method, "{request}");
        let params = request.get("params").cloned().unwrap_or_default();
        (request, params)
    }

    /// Sends a request with this id.
    pub(crate) async fn ask(&mut self, id: &str, method: &str, params: Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(request.to_string()).await;
    }

    /// Asks, and takes the answer, which must be the next frame.
    pub(crate) async fn call(&mut self, id: &str, method: &str, params: Value) -> Value {
        self.ask(id, method, params).await;
        let answer = self.frame().await.unwrap_or_else(|| panic!("closed: {:?}", self.goodbye));
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer["result"].is_null() || answer["result"]["method"] == method, "{answer}");
        answer
    }

    /// Answers a request with a result, to which its method is added.
    pub(crate) async fn answer(&mut self, request: &Value, mut result: Value) {
        result["method"] = request["method"].clone();
        self.send(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()).await;
    }

    /// Answers a request with an error.
    pub(crate) async fn refuse(&mut self, request: &Value, code: i64, message: &str) {
        let error = json!({"code": code, "message": message});
        self.send(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string()).await;
    }

    /// Takes events, well, until one satisfies this; all of them.
    pub(crate) async fn take_events(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let taken = async {
            let mut seen = Vec::new();
            loop {
                let request = self.request().await;
                self.answer(&request, json!({"ok": true})).await;
                let is_over = is_last(&request["params"]);
                seen.push(request["params"].clone());
                if is_over {
                    return seen;
                }
            }
        };
        // Pings come for ever.
        within("events", taken).await
    }

    /// Answers plugd's close frame, if it came, and waits for the end; code and reason of its goodbye.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        let ended = async {
            while let Some(frame) = self.frame().await {
                assert!(frame["method"].is_string(), "{frame}");
            }
        };
        within("the end of a connection", ended).await;
        self.goodbye.expect("ended without a goodbye")
    }

    /// Answers everything well, in a task of its own, until plugd closes the connection.
    pub(crate) fn obey(mut self) -> tokio::task::JoinHandle<Option<(u16, String)>> {
        tokio::spawn(async move {
            while let Some(request) = self.frame().await {
                self.answer(&request, json!({"ok": true, "pong": true, "status": "healthy"})).await;
            }
            self.goodbye
        })
    }
}

/// What CONTRACT 11.1 and 11.2 demand of every message of plugd: the top-level `method` tells requests from answers, and
/// there is no key that the strictest SDK does not know.
fn check(frame: &Value) {
    let keys: Vec<_> = frame.as_object().unwrap().keys().map(String::as_str).collect();
    let is_known = match keys[..] {
        ["id", "jsonrpc", "method"] => is_canonical(&frame["id"]),
        ["id", "jsonrpc", "method", "params"] => is_canonical(&frame["id"]) && frame["params"].is_object(),
        ["id", "jsonrpc", "result"] => frame["result"]["method"].is_string(),
        ["error", "id", "jsonrpc"] => is_error(&frame["error"]),
        _ => false,
    };
    assert!(is_known && frame["jsonrpc"] == "2.0", "not as the SDKs want it: {frame}");
}

fn is_canonical(id: &Value) -> bool {
    id.as_str().is_some_and(|id| id.parse::<xid::Id>().is_ok_and(|read| read.to_string() == id))
}

fn is_error(error: &Value) -> bool {
    error.as_object().is_some_and(|error| error.keys().eq(["code", "message"]))
        && error["code"].is_i64()
        && error["message"].is_string()
}
