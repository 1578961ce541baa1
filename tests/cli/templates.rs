//! What `plugd new` writes: it is valid, its own tests pass, and it keeps to the wire.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{alone, run};
use crate::harness::{Plugd, Run, Running, external_manifest, program, within};

/// The folder of a new plugin.
async fn created(home: &Path, template: &str) {
    alone(home, &["new", "plugin", "--template", template, "--author", "me"]).await.text();
}

/// plugd, as a plugin sees it.
struct Host {
    socket: WebSocketStream<TcpStream>,
    config: Value,
}

impl Host {
    /// Runs a plugin that dials this host.
    async fn run(folder: &Path, command: &[&str]) -> (Self, Running) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/rpc?plugin_id=x&token=y", listener.local_addr().unwrap());
        let running =
            Running::start(program(command[0]).args(&command[1..]).current_dir(folder).env("PLUGD_RPC_URL", url));
        let (stream, _) = within("a plugin dials", listener.accept()).await.unwrap();
        let socket = within("a handshake", accept_async(stream)).await.unwrap();
        (Self { socket, config: json!({"greeting": "Good day"}) }, running)
    }

    async fn next(&mut self) -> Message {
        within("a message of a plugin", self.socket.next()).await.unwrap().unwrap()
    }

    async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; a call of the plugin's for its configuration is answered.
    async fn text(&mut self) -> Value {
        loop {
            let Message::Text(text) = self.next().await else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["method"] != "get_config" {
                return message;
            }
            let result = json!({"method": "get_config", "config": self.config});
            self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).await;
        }
    }

    /// The answer to a call.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = "d6k8gido2dtljn5ct60g";
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        let answer = self.text().await;
        assert_eq!((&answer["id"], &answer["jsonrpc"]), (&json!(id), &json!("2.0")), "{answer}");
        answer
    }

    /// The code with which the plugin says goodbye; plugd says it, too.
    async fn goodbye(&mut self) -> Option<CloseCode> {
        loop {
            if let Message::Close(frame) = self.next().await {
                let _ = self.socket.flush().await;
                return frame.map(|CloseFrame { code, .. }| code);
            }
        }
    }
}

/// Everything that plugd may ask of it, until it is told to stop.
async fn keeps_to_the_wire(folder: &Path, command: &[&str]) {
    let (mut host, mut running) = Host::run(folder, command).await;
    running.find("connected").await;

    let pong = host.call("ping", json!({})).await["result"].clone();
    assert_eq!((&pong["method"], &pong["pong"], &pong["status"]), (&json!("ping"), &json!(true), &json!("healthy")));
    assert!(pong["uptime_seconds"].is_number(), "{pong}");
    running.find("configured: Good day").await;
    let ok = |method: &str, ok: bool| json!({"method": method, "ok": ok});
    assert_eq!(host.call("configure", json!({"greeting": " "})).await["result"], ok("configure", false));
    assert_eq!(host.call("configure", json!({"greeting": "Hi"})).await["result"], ok("configure", true));
    let event = json!({"event": "EventThreadPublished", "id": "x"});
    assert_eq!(host.call("event", event).await["result"], ok("event", true));
    running.find("Hi, EventThreadPublished x").await;
    // Each length has a form of its own on the wire.
    for unknown in ["toString".to_owned(), "x".repeat(200), "x".repeat(70_000)] {
        let error = host.call(&unknown, json!({})).await["error"].clone();
        assert_eq!(error, json!({"code": -32601, "message": format!("method not found: {unknown}")}));
    }
    host.socket.send(Message::Ping("alive?".into())).await.unwrap();
    assert_eq!(host.next().await, Message::Pong("alive?".into()));

    running.interrupt();
    assert_eq!(host.goodbye().await, Some(CloseCode::Normal));
    running.find("stopping").await;
    assert_eq!(running.ended().await.code(), Some(0));
}

/// The plugin ends, and says why, when the connection is lost.
async fn ends_with_the_connection(folder: &Path, command: &[&str]) {
    let (host, mut running) = Host::run(folder, command).await;
    running.find("connected").await;
    drop(host);
    assert_eq!(running.ended().await.code(), Some(1));
}

/// A plugin whose token is not valid says so.
async fn says_that_its_token_is_not_valid(folder: &Path, command: &[&str]) {
    let plugd = Plugd::start().await;
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap();
    run(&plugd, &["rotate-token", &outside.id]).await.text();
    let url = format!("ws://{}/rpc?token={}", plugd.address(), outside.token());
    let mut command_line = program(command[0]);
    let refused = command_line.args(&command[1..]).current_dir(folder).env("PLUGD_RPC_URL", url).run().await;
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    let said = format!("{}{}", String::from_utf8_lossy(&refused.stdout), refused.stderr);
    assert!(said.contains("the token in PLUGD_RPC_URL is not valid, or no longer"), "{said}");
}

/// Python: the goodbye finds the connection gone.
#[tokio::test]
async fn a_connection_that_is_gone_is_closed_without_a_word() {
    let home = tempfile::tempdir().unwrap();
    created(home.path(), "python").await;
    let script = "import asyncio, plugd\n\
                  class Gone:\n    async def close(self, code): raise ConnectionResetError('Connection lost')\n\
                  \x20   async def receive(self): raise asyncio.IncompleteReadError(b'', 2)\n\
                  class Quiet:\n    async def connected(self, host): pass\n\
                  async def end():\n    host = plugd.Host(Quiet(), Gone())\n\
                  \x20   await host.close(asyncio.ensure_future(host.serve()))\nasyncio.run(end())\n";
    let ended = program("python3").args(["-c", script]).current_dir(home.path().join("plugin")).run().await;
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

async fn is_valid(home: &Path) {
    let valid = alone(home, &["validate", "plugin", "-o", "json"]).await.json();
    assert_eq!(valid["warnings"], json!([]));
}

#[tokio::test]
async fn a_new_plugin_in_python_is_whole() {
    let home = tempfile::tempdir().unwrap();
    created(home.path(), "python").await;
    is_valid(home.path()).await;
    let folder = home.path().join("plugin");
    let tested = program("python3").args(["-m", "unittest"]).current_dir(&folder).run().await;
    assert!(tested.status.success() && tested.stderr.contains("Ran 4 tests"), "{tested:?}");
    keeps_to_the_wire(&folder, &["python3", "main.py"]).await;
    ends_with_the_connection(&folder, &["python3", "main.py"]).await;
    says_that_its_token_is_not_valid(&folder, &["python3", "main.py"]).await;
}

#[tokio::test]
async fn a_new_plugin_in_node_is_whole() {
    let home = tempfile::tempdir().unwrap();
    created(home.path(), "node").await;
    is_valid(home.path()).await;
    let folder = home.path().join("plugin");
    let tested = program("node").arg("--test").current_dir(&folder).run().await;
    assert!(tested.text().contains("# pass 4"), "{tested:?}");
    let command = ["node", "--experimental-websocket", "main.js"];
    keeps_to_the_wire(&folder, &command).await;
    ends_with_the_connection(&folder, &command).await;
    says_that_its_token_is_not_valid(&folder, &command).await;
}

/// Its program is the example that Cargo builds from the same files.
#[tokio::test]
async fn a_new_plugin_in_rust_is_whole() {
    let home = tempfile::tempdir().unwrap();
    created(home.path(), "rust").await;
    let folder = home.path().join("plugin");
    let unbuilt = alone(home.path(), &["validate", "plugin"]).await;
    assert!(unbuilt.stderr.contains("has it been built?"), "{}", unbuilt.stderr);
    assert_eq!(fs::metadata(folder.join("build.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    let example = Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples/new-rust");
    fs::copy(example, folder.join("plugin")).unwrap();
    is_valid(home.path()).await;
    keeps_to_the_wire(&folder, &["./plugin"]).await;
    ends_with_the_connection(&folder, &["./plugin"]).await;
    says_that_its_token_is_not_valid(&folder, &["./plugin"]).await;
}

#[tokio::test]
async fn a_new_plugin_replaces_nothing_and_says_what_comes_next() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("my plugin");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("plugd.py"), "mine").unwrap();
    assert_eq!(alone(home.path(), &["new", "my plugin"]).await.code(), Some(6));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);

    let created = alone(home.path(), &["new", "my plugin", "--force"]).await;
    let files = ["manifest.json", "main.py", "plugd.py", "test_main.py"].map(|name| format!("my plugin/{name}\n"));
    assert_eq!(created.text(), files.concat());
    assert!(created.stderr.contains("plugd dev 'my plugin'\n"), "{}", created.stderr);
    for wrong in [&["new", "x", "--template", "rust", "--command", "y"][..], &["new", "x", "--", "y"]] {
        assert_eq!(alone(home.path(), wrong).await.code(), Some(2), "{wrong:?}");
    }
    fs::create_dir(home.path().join("yaml")).unwrap();
    fs::write(home.path().join("yaml/manifest.yml"), "id: x").unwrap();
    assert_eq!(alone(home.path(), &["new", "yaml"]).await.code(), Some(6));
    let other = alone(home.path(), &["new", "other", "--command", "ruby", "--", "main.rb"]).await;
    assert_eq!(other.text(), "other/manifest.json\n");
}
