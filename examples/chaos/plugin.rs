//! The connected side: a good plugin, with the faults that its mode gives it.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::common::{Failure, Fields, Host, Plugin, Request, fields, log};

/// Answers everything, and writes down what it was asked.
pub(crate) struct Tame {
    started: Instant,
    delay: Duration,
    errand: Option<Errand>,
}

/// The messages to send once connected.
enum Errand {
    BigFrame(usize),
    Ask(String),
}

impl Default for Tame {
    fn default() -> Self {
        Self { started: Instant::now(), delay: Duration::ZERO, errand: None }
    }
}

impl Tame {
    /// Sends a frame of so many bytes.
    pub(crate) fn sending(bytes: usize) -> Self {
        Self { errand: Some(Errand::BigFrame(bytes)), ..Self::default() }
    }

    /// Calls this method of the host.
    pub(crate) fn asking(method: String) -> Self {
        Self { errand: Some(Errand::Ask(method)), ..Self::default() }
    }

    /// Takes its time for every answer.
    pub(crate) fn answering_after(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    fn result(&self, request: &Request) -> Result<Fields, Failure> {
        Ok(fields(match request.method.as_str() {
            "configure" | "event" => json!({"ok": true}),
            "ping" => json!({"pong": true, "status": "healthy", "uptime_seconds": self.started.elapsed().as_secs()}),
            "robot_tool_call" => json!({"output": request.params.get("arguments")}),
            unknown => return Err(Failure::method_not_found(unknown)),
        }))
    }
}

impl Plugin for Tame {
    async fn connected(&self, host: Host) {
        let outcome = match &self.errand {
            None => return,
            Some(Errand::BigFrame(bytes)) => host.call("get_config", padding(*bytes)).await,
            Some(Errand::Ask(method)) => host.call(method, json!({})).await,
        };
        match outcome {
            Ok(result) => log(format_args!("result {result}")),
            Err(failure) => log(format_args!("failure {failure}")),
        }
    }

    async fn answer(&self, request: &Request) -> Result<Fields, Failure> {
        log(format_args!("request {} {}", request.method, Value::from(request.params.clone())));
        if !self.delay.is_zero() {
            let _ = timeout(self.delay, pending::<()>()).await;
        }
        self.result(request)
    }
}

/// Parameters that make the whole frame so many bytes long.
fn padding(bytes: usize) -> Value {
    const FRAME: &str = r#"{"id":"00000000000000000000","jsonrpc":"2.0","method":"get_config","params":{"keys":[""]}}"#;
    json!({"keys": ["x".repeat(bytes.saturating_sub(FRAME.len()))]})
}
