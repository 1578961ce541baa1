//! One connection: serves the host's requests side by side, and carries the plugin's own.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;

use super::{
    Failure, Fields, Request,
    address::Socket,
    envelope::{self, Incoming},
    log,
};

/// Messages that may wait to be sent; a handler that has one more waits itself.
const OUTBOX: usize = 16;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// JSON-RPC code for a call that got no answer because the connection was lost.
const DISCONNECTED: i64 = -32000;

/// The plugin's part.
pub(crate) trait Plugin: Send + Sync + 'static {
    /// A connection is there. Runs beside the requests, and ends with the connection at the latest.
    fn connected(&self, host: Host) -> impl Future<Output = ()> + Send;
    /// The host asks. Several requests are answered at the same time.
    fn answer(&self, request: &Request) -> impl Future<Output = Result<Fields, Failure>> + Send;
}

/// The host, as a plugin calls it.
#[derive(Clone)]
pub(crate) struct Host(mpsc::Sender<Outgoing>);

impl Host {
    /// Calls a method of the host and waits for its result.
    ///
    /// # Errors
    /// The host's own, or code -32000 when the connection is lost.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let (reply, replied) = oneshot::channel();
        let disconnected = || Failure { code: DISCONNECTED, message: "the connection was lost".into() };
        let call = Outgoing::Call { method: method.into(), params, reply };
        self.0.send(call).await.map_err(|_| disconnected())?;
        replied.await.map_err(|_| disconnected())?
    }
}

type Reply = oneshot::Sender<Result<Value, Failure>>;

enum Outgoing {
    Call { method: String, params: Value, reply: Reply },
    Answer(String),
}

/// The reason why a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// This plugin was told to stop.
    Stopped,
    /// The host closed it.
    Closed { code: CloseCode, reason: String },
    /// The connection broke.
    Lost(Option<Error>),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Closed { code, reason } => write!(f, "closed {code} {reason}"),
            Self::Lost(Some(error)) => write!(f, "{error}"),
            Self::Lost(None) => f.write_str("end of stream"),
        }
    }
}

/// Serves one connection until it ends or `stop` is cancelled. Dropping the future drops the connection.
pub(crate) async fn serve<P: Plugin>(socket: Socket, plugin: Arc<P>, stop: &CancellationToken) -> Ended {
    let (outbox, mut outgoing) = mpsc::channel(OUTBOX);
    let mut session = Session { socket, plugin, host: Host(outbox), calls: HashMap::new(), tasks: JoinSet::new() };
    session.start();
    loop {
        let step = tokio::select! {
            () = stop.cancelled() => Err(session.close().await),
            frame = session.socket.next() => session.receive(frame),
            Some(message) = outgoing.recv() => session.send(message).await,
            Some(_) = session.tasks.join_next() => Ok(()),
        };
        if let Err(ended) = step {
            return ended;
        }
    }
}

struct Session<P> {
    socket: Socket,
    plugin: Arc<P>,
    host: Host,
    /// The plugin's calls that the host has yet to answer.
    calls: HashMap<String, Reply>,
    /// Dropped with the session, which ends what still runs.
    tasks: JoinSet<()>,
}

impl<P: Plugin> Session<P> {
    fn start(&mut self) {
        let (plugin, host) = (Arc::clone(&self.plugin), self.host.clone());
        self.tasks.spawn(async move { plugin.connected(host).await });
    }

    fn receive(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), Ended> {
        match frame {
            Some(Ok(Message::Text(text))) => self.dispatch(&text),
            Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
            // The library answers pings; binary frames mean nothing here.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Ended::Lost(Some(error))),
            None => return Err(Ended::Lost(None)),
        }
        Ok(())
    }

    fn dispatch(&mut self, text: &str) {
        match Incoming::parse(text) {
            Ok(Incoming::Request(request)) => self.answer(request),
            Ok(Incoming::Response { id, outcome }) => match self.calls.remove(&id) {
                // The caller may have stopped waiting.
                Some(reply) => drop(reply.send(outcome)),
                None => log(format_args!("an answer to nothing: {id}")),
            },
            Err(error) => log(format_args!("not a message: {error}")),
        }
    }

    fn answer(&mut self, request: Request) {
        let (plugin, outbox) = (Arc::clone(&self.plugin), self.host.0.clone());
        self.tasks.spawn(async move {
            let outcome = plugin.answer(&request).await;
            let answer = envelope::answer(&request.id, request.method, outcome);
            // Fails only when the connection is gone, and its host with it.
            let _ = outbox.send(Outgoing::Answer(answer)).await;
        });
    }

    async fn send(&mut self, message: Outgoing) -> Result<(), Ended> {
        let text = match message {
            Outgoing::Answer(text) => text,
            Outgoing::Call { method, params, reply } => {
                let id = xid::new().to_string();
                let text = envelope::request(&id, &method, params);
                self.calls.insert(id, reply);
                text
            }
        };
        self.socket.send(Message::text(text)).await.map_err(|error| Ended::Lost(Some(error)))
    }

    /// Says goodbye, and waits for the host to say it too.
    async fn close(&mut self) -> Ended {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "stopping".into() };
        let handshake = async {
            let _ = self.socket.close(Some(goodbye)).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = timeout(CLOSE_TIMEOUT, handshake).await;
        Ended::Stopped
    }
}

fn closed(frame: Option<CloseFrame>) -> Ended {
    frame.map_or(Ended::Closed { code: CloseCode::Normal, reason: String::new() }, |frame| Ended::Closed {
        code: frame.code,
        reason: frame.reason.to_string(),
    })
}
