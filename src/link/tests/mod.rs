//! The link over real sockets: a WebSocket client against the router behind plugd's own listener.

mod closing;
mod handshake;
mod life;
mod package;
mod rpc;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::*;
use crate::{domain::RunId, listener};

const PLUGIN: &str = "9m4e2mr0ui3e8a215n4g";
const LONG: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Attach = Box<dyn Fn(Session) -> BoxFuture<'static, Result<(), Rejected>> + Send + Sync>;
type Answer = Arc<dyn Fn(Caller, String, Value) -> BoxFuture<'static, Result<Value, RpcError>> + Send + Sync>;

/// Whatever a test waits for comes within this time, or the test fails.
async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it did not come in time")
}

/// What a test wants of the host's side.
struct Setup {
    options: Options,
    pings: Pings,
    refusal: Option<Refusal>,
    attach: Attach,
    answer: Answer,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Options::default(),
            // On a busy machine a test may take longer than the time after which a plugin is pinged.
            pings: Pings { interval: 100 * LONG, timeout: LONG },
            refusal: None,
            attach: Box::new(|_| async { Ok(()) }.boxed()),
            answer: Arc::new(|_, _, params| async move { Ok(json!({"echo": params})) }.boxed()),
        }
    }
}

impl Setup {
    fn answering<F>(answer: impl Fn(Caller, String, Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, RpcError>> + Send + 'static,
    {
        Self {
            answer: Arc::new(move |caller, method, params| answer(caller, method, params).boxed()),
            ..Self::default()
        }
    }

    fn attaching<F>(attach: impl Fn(Session) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Rejected>> + Send + 'static,
    {
        Self { attach: Box::new(move |session| attach(session).boxed()), ..Self::default() }
    }

    async fn start(self) -> Rig {
        let listener = listener::Listener::bind(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        let address = listener.address();
        let (events, events_of) = mpsc::unbounded_channel();
        let (sessions, sessions_of) = mpsc::unbounded_channel();
        let handshakes = Arc::default();
        let options = self.options;
        let acceptor = Arc::new(FakeAcceptor {
            setup: self,
            events: Mutex::new(Some(events)),
            sessions,
            handshakes: Arc::clone(&handshakes),
        });
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let app = router(acceptor, options, connections.clone(), Metrics::default());
        tokio::spawn(listener::serve(listener, app, listener::Options::default(), stop.clone()));
        Rig { address, events: events_of, sessions: sessions_of, handshakes, connections, _stop: stop.drop_guard() }
    }
}

/// A running link.
struct Rig {
    address: SocketAddr,
    events: mpsc::UnboundedReceiver<RunEvent>,
    sessions: mpsc::UnboundedReceiver<Session>,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    connections: TaskTracker,
    _stop: DropGuard,
}

impl Rig {
    /// Dials in and waits until it is attached.
    async fn connect(&mut self) -> (Socket, Session) {
        let socket = self.dial().await;
        (socket, within(self.sessions.recv()).await.unwrap())
    }

    async fn dial(&self) -> Socket {
        self.dial_over(TcpSocket::new_v4().unwrap()).await
    }

    /// As a plugin whose side of the connection has hardly any room for what it does not read.
    async fn connect_narrow(&mut self) -> (Socket, Session) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        (self.dial_over(socket).await, within(self.sessions.recv()).await.unwrap())
    }

    async fn dial_over(&self, socket: TcpSocket) -> Socket {
        let url = format!("ws://{}/rpc?token=secret&plugin_id={PLUGIN}", self.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("user-agent", "Python/3.11 websockets/15.0.1".parse().unwrap());
        let stream = MaybeTlsStream::Plain(within(socket.connect(self.address)).await.unwrap());
        within(client_async(request, stream)).await.unwrap().0
    }

    async fn event(&mut self) -> RunEvent {
        within(self.events.recv()).await.expect("no event will come")
    }

    /// The next event, which must be that the plugin broke the protocol.
    async fn fault(&mut self) -> (u64, String) {
        let event = self.event().await;
        let RunEvent::ProtocolBroken { count, last } = event else { panic!("no fault: {event:?}") };
        (count, last)
    }

    /// The reason of `Disconnected`, which must be the next and the last event.
    async fn closed(&mut self) -> String {
        let RunEvent::Disconnected { reason, .. } = self.event().await else { panic!("not closed") };
        assert_eq!(within(self.events.recv()).await, None, "an event after the last one");
        reason
    }
}

struct FakeAcceptor {
    setup: Setup,
    /// Given away at the first attach, so that its end shows that no event will come.
    events: Mutex<Option<mpsc::UnboundedSender<RunEvent>>>,
    sessions: mpsc::UnboundedSender<Session>,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
}

impl Acceptor for FakeAcceptor {
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        let token = handshake.token.clone();
        self.handshakes.lock().unwrap().push(handshake);
        let authenticated = Authenticated {
            plugin: PLUGIN.parse().unwrap(),
            credential: Credential::Run(RunId::from_bytes([0; 12])),
            token: token.into(),
        };
        async { self.setup.refusal.map_or(Ok(authenticated), Err) }.boxed()
    }

    fn attach(&self, authenticated: Authenticated, session: Session) -> BoxFuture<'_, Result<Attached, Rejected>> {
        async move {
            (self.setup.attach)(session.clone()).await?;
            self.sessions.send(session).unwrap();
            Ok(Attached {
                pings: self.setup.pings,
                events: self.events(),
                host: self.host(),
                caller: authenticated.plugin,
                run: RunId::from_bytes([0; 12]),
                start: None,
            })
        }
        .boxed()
    }
}

impl FakeAcceptor {
    fn events(&self) -> SessionEvents {
        let events = self.events.lock().unwrap().take().expect("one connection a test");
        Box::new(move |event| events.send(event).unwrap_or_default())
    }

    fn host(&self) -> Arc<dyn Host> {
        Arc::new(FakeHost(Arc::clone(&self.setup.answer)))
    }
}

struct FakeHost(Answer);

impl Host for FakeHost {
    fn call(&self, caller: Caller, method: String, params: Value) -> BoxFuture<'static, Result<Value, RpcError>> {
        // What the host does before its future is polled may panic too.
        (self.0)(caller, method, params)
    }
}

/// Sends a JSON-RPC frame.
async fn send(socket: &mut Socket, frame: Value) {
    within(socket.send(Message::text(frame.to_string()))).await.unwrap();
}

/// The next text frame.
async fn receive(socket: &mut Socket) -> Value {
    match within(socket.next()).await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        other => panic!("not a text frame: {other:?}"),
    }
}

/// Reads up to the close frame: its code and text.
async fn read_close(socket: &mut Socket) -> (u16, String) {
    loop {
        match within(socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("not a close frame: {other:?}"),
        }
    }
}

fn call(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}
