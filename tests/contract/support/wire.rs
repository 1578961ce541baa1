//! The plugin's end of a connection, frame by frame: the test itself is the plugin.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
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
        let mut request = format!("ws://{}/rpc?{query}", plugd.address()).into_client_request().unwrap();
        request.headers_mut().insert("user-agent", user_agent.parse().unwrap());
        match within("the handshake", connect_async(request)).await {
            Ok((socket, _)) => Ok(Self { socket, goodbye: None }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: impl Into<Message>) {
        within("room to send", self.socket.send(frame.into())).await.unwrap();
    }

    /// Sends the head of a text frame of so many bytes, and nothing of its contents.
    pub(crate) async fn announce(&mut self, bytes: usize) {
        let mut head = vec![0x81, 0xff];
        head.extend(u64::try_from(bytes).unwrap().to_be_bytes());
        head.extend([0; 4]);
        self.socket.get_mut().write_all(&head).await.unwrap();
    }

    /// The next text frame; none once the connection is closed.
    pub(crate) async fn frame(&mut self) -> Option<Value> {
        loop {
            match within("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.expect("plugd says why it closes");
                    self.goodbye = Some((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next request of plugd, which must look as the strictest SDK wants it.
    pub(crate) async fn request(&mut self) -> Value {
        let request = self.frame().await.unwrap_or_else(|| panic!("closed: {:?}", self.goodbye));
        let keys: Vec<_> = request.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(keys == ["id", "jsonrpc", "method", "params"] || keys == ["id", "jsonrpc", "method"], "{request}");
        assert_eq!(request["jsonrpc"], "2.0");
        let id = request["id"].as_str().unwrap();
        assert_eq!(id.parse::<xid::Id>().unwrap().to_string(), id, "not a canonical xid");
        request
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
        assert!(answer.get("method").is_none(), "an answer with a method is taken for a request: {answer}");
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
    }

    /// Waits for the end; code and reason of plugd's goodbye.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        while let Some(frame) = self.frame().await {
            assert!(frame["method"].is_string(), "{frame}");
        }
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
