//! Plugins that this process is itself: they dial in, count what they hear, and answer everything.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use plugd::api::v1::{GetPluginRequest, Plugin, ReportedState};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::AbortHandle, time::sleep};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::server::{Plugd, Plugins};

/// How long it is waited before a look.
const PAUSE: Duration = Duration::from_millis(10);

/// A connection, which is dropped with this.
pub(crate) struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Dials, and says whenever a message has come.
pub(crate) async fn dial(url: &str, heard: mpsc::UnboundedSender<()>) -> Connection {
    let (mut socket, _) = connect_async(url).await.unwrap();
    let task = tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let Some((answer, is_ping)) = answer(&text) else { continue };
            if !is_ping {
                let _ = heard.send(());
            }
            let Ok(()) = socket.send(Message::text(answer)).await else { return };
        }
    });
    Connection(task.abort_handle())
}

/// What a request is answered with, and whether it was a ping.
fn answer(text: &str) -> Option<(String, bool)> {
    let message: Value = serde_json::from_str(text).unwrap();
    let method = message.get("method")?;
    let result = json!({"method": method, "ok": true, "pong": true, "status": "healthy", "uptime_seconds": 1});
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    Some((answer.to_string(), method == "ping"))
}

/// Where a plugin dials plugd.
pub(crate) fn url(plugd: &Plugd, plugin: &Plugin) -> String {
    format!("ws://{}/rpc?token={}", plugd.address(), plugin.token.as_ref().unwrap())
}

/// Brings one in: it is active at the end.
pub(crate) async fn connect(plugd: &Plugd, client: &mut Plugins, plugin: &Plugin) -> Connection {
    let (ignored, _) = mpsc::unbounded_channel();
    let connection = dial(&url(plugd, plugin), ignored).await;
    let request = GetPluginRequest { plugin_id: plugin.id.clone(), view: 0 };
    let is_active = |found: Plugin| found.status.is_some_and(|status| status.state == ReportedState::Active as i32);
    while !client.get_plugin(request.clone()).await.unwrap().into_inner().plugin.is_some_and(is_active) {
        sleep(PAUSE).await;
    }
    connection
}
