//! The limit of starting and stopping: a loop that spawns the plugin, takes its connection, and signals it.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::server::greeter;

/// A plugin that runs and is connected.
pub(crate) struct Spawned {
    child: Child,
    socket: WebSocketStream<TcpStream>,
}

/// Starts one: what it is, and how long it took it to connect.
pub(crate) async fn spawn() -> (Spawned, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    let mut command = Command::new(greeter());
    command.env("PLUGD_RPC_URL", url(&listener));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.kill_on_drop(true).spawn().unwrap();
    let socket = accept(&listener).await;
    (Spawned { child, socket }, began.elapsed())
}

impl Spawned {
    /// Asks it to stop: how long that took.
    pub(crate) async fn stop(self) -> Duration {
        let began = Instant::now();
        kill_process(self.pid(), Signal::INT).unwrap();
        let Self { mut child, socket } = self;
        // Its goodbye is not answered, and need not be.
        drop(socket);
        child.wait().await.unwrap();
        began.elapsed()
    }

    pub(crate) fn pid(&self) -> Pid {
        self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).unwrap()
    }
}

/// The address that a plugin is told.
pub(crate) fn url(listener: &TcpListener) -> String {
    format!("ws://{}/rpc?plugin_id=x&token=y", listener.local_addr().unwrap())
}

/// Takes the connection of a plugin.
pub(crate) async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    tokio_tungstenite::accept_async(stream).await.unwrap()
}

/// Takes the connection of a plugin that somebody else started, and answers all that it asks for, and its goodbye.
pub(crate) async fn serve_one(listener: &TcpListener) {
    let mut socket = accept(listener).await;
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let asked: Value = serde_json::from_str(&text).unwrap();
            let result = json!({"method": asked["method"], "config": {}});
            let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
            let Ok(()) = socket.send(Message::text(answer.to_string())).await else { return };
        }
    });
}
