//! Carries messages between a plugin and plugd: JSON-RPC over a WebSocket.
//!
//! [`run`] connects to the address in `PLUGD_RPC_URL` and hands each call of plugd to the plugin, several at a time. On
//! SIGINT or SIGTERM it says goodbye and returns. What a plugin prints is its log.

use std::{
    collections::HashMap,
    env,
    error::Error,
    fmt,
    io::{Write, stdout},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that may wait to be sent.
const OUTBOX: usize = 16;

/// The plugin's part, whose methods run side by side.
pub(crate) trait Plugin: Send + Sync + 'static {
    /// The connection is there.
    fn connected(&self, host: Host) -> impl Future<Output = Result<(), Failure>> + Send;
    /// plugd calls a method. The `method` that every result has to repeat is added by [`run`].
    fn call(&self, method: &str, params: Value) -> impl Future<Output = Result<Value, Failure>> + Send;
}

/// An error as JSON-RPC carries it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: i64,
    message: String,
}

impl Failure {
    /// Something went wrong.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: -32000, message: message.into() }
    }

    /// The plugin has no such method.
    pub(crate) fn method_not_found(method: &str) -> Self {
        Self { code: -32601, message: format!("method not found: {method}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl Error for Failure {}

/// Prints one line. One that can't be written is lost: a plugin must not end because nobody reads its log.
pub(crate) fn log(line: impl fmt::Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}

/// plugd, as the plugin sees it.
#[derive(Clone)]
pub(crate) struct Host(mpsc::Sender<Outgoing>);

impl Host {
    /// Calls a method of plugd, or of the application behind it, and returns its result.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let (answer, answered) = oneshot::channel();
        let call = Outgoing::Call { method: method.to_owned(), params, answer };
        self.0.send(call).await.map_err(|_| Failure::new("the connection is lost"))?;
        match timeout(CALL_TIMEOUT, answered).await {
            Ok(answered) => answered.map_err(|_| Failure::new("the connection is lost"))?,
            Err(_) => Err(Failure::new(format!("{method}: no answer in time"))),
        }
    }
}

type Answer = oneshot::Sender<Result<Value, Failure>>;

enum Outgoing {
    Call { method: String, params: Value, answer: Answer },
    Answer(Value),
}

/// Runs a plugin until it is asked to stop.
///
/// # Errors
/// plugd can't be reached, or the connection is lost.
pub(crate) async fn run(plugin: impl Plugin) -> Result<(), Box<dyn Error>> {
    let url = env::var("PLUGD_RPC_URL").or_else(|_| env::var("STORYDEN_RPC_URL"));
    let url = url.map_err(|_| "PLUGD_RPC_URL is not set: start this plugin with plugd")?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (socket, _) = timeout(CONNECT_TIMEOUT, connect_async(&url)).await?.map_err(explain)?;
    log("connected");
    let (outbox, mut outgoing) = mpsc::channel(OUTBOX);
    let mut session = Session::new(socket, Arc::new(plugin), Host(outbox));
    session.start();
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some(message) = outgoing.recv() => session.send(message).await?,
            message = session.socket.next() => match message {
                Some(Ok(Message::Text(text))) => session.receive(&serde_json::from_str(&text)?),
                // The library answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Err("the connection is lost: plugd closed it".into()),
                Some(Err(error)) => return Err(error.into()),
            },
        }
    }
    log("stopping");
    session.close().await;
    Ok(())
}

/// The reason why there is no connection.
fn explain(error: tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(answer) if answer.status() == tungstenite::http::StatusCode::UNAUTHORIZED => {
            "can't connect to plugd: the token in PLUGD_RPC_URL is not valid, or no longer".to_owned()
        }
        error => format!("can't connect to plugd: {error}"),
    }
}

/// One connection.
struct Session<P> {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    plugin: Arc<P>,
    host: Host,
    /// The plugin's calls that plugd has yet to answer.
    calls: HashMap<String, Answer>,
    last_id: u64,
}

impl<P: Plugin> Session<P> {
    fn new(socket: WebSocketStream<MaybeTlsStream<TcpStream>>, plugin: Arc<P>, host: Host) -> Self {
        Self { socket, plugin, host, calls: HashMap::new(), last_id: 0 }
    }

    fn start(&self) {
        let (plugin, host) = (Arc::clone(&self.plugin), self.host.clone());
        tokio::spawn(async move {
            if let Err(failure) = plugin.connected(host).await {
                log(format_args!("error: {failure}"));
            }
        });
    }

    fn receive(&mut self, message: &Value) {
        if let Some(method) = message["method"].as_str() {
            self.answer(message["id"].clone(), method.to_owned(), message["params"].clone());
        } else if let Some(answer) = message["id"].as_str().and_then(|id| self.calls.remove(id)) {
            let failure = message["error"]["message"].as_str().map(Failure::new);
            let outcome = failure.map_or_else(|| Ok(message["result"].clone()), Err);
            // The caller may have stopped waiting.
            let _ = answer.send(outcome);
        }
    }

    /// Each call is answered in a task of its own, so that it may call plugd, too.
    fn answer(&self, id: Value, method: String, params: Value) {
        let (plugin, host) = (Arc::clone(&self.plugin), self.host.clone());
        tokio::spawn(async move {
            let message = match plugin.call(&method, params).await {
                Ok(mut result) => {
                    if let Some(fields) = result.as_object_mut() {
                        fields.insert("method".to_owned(), method.into());
                    }
                    json!({"jsonrpc": "2.0", "id": id, "result": result})
                }
                Err(Failure { code, message }) => {
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                }
            };
            // Fails only when the connection is gone.
            let _ = host.0.send(Outgoing::Answer(message)).await;
        });
    }

    async fn send(&mut self, message: Outgoing) -> Result<(), Box<dyn Error>> {
        let message = match message {
            Outgoing::Answer(message) => message,
            Outgoing::Call { method, params, answer } => {
                self.last_id += 1;
                let id = format!("call-{}", self.last_id);
                let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
                self.calls.insert(id, answer);
                message
            }
        };
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }

    /// Says goodbye with code 1000, which makes it a clean stop, and waits for plugd to say it too.
    async fn close(&mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "stopping".into() };
        let handshake = async {
            let _ = self.socket.close(Some(goodbye)).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = timeout(CLOSE_TIMEOUT, handshake).await;
    }
}
