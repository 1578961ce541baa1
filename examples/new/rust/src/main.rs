//! The plugin: what it does when plugd calls it. Edit this file; `plugd.rs` carries the messages.

mod plugd;

use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};

use crate::plugd::{Failure, Host, Plugin, log, run};

/// Greets every thread that is published, in its log.
struct Greeter {
    greeting: Mutex<String>,
    started: Instant,
}

impl Plugin for Greeter {
    /// plugd keeps the configuration: ask for it. What nobody has set yet is missing in it.
    async fn connected(&self, host: Host) -> Result<(), Failure> {
        let result = host.call("get_config", json!({})).await?;
        self.configure(&result["config"]);
        Ok(())
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        match method {
            "configure" => Ok(json!({"ok": self.configure(&params)})),
            "event" => Ok(self.event(&params)),
            "ping" => Ok(self.ping()),
            unknown => Err(Failure::method_not_found(unknown)),
        }
    }
}

impl Greeter {
    fn new() -> Self {
        Self { greeting: Mutex::new("Hello".to_owned()), started: Instant::now() }
    }

    /// Somebody changes the configuration. With `"ok": false` it is refused, and not stored.
    fn configure(&self, params: &Value) -> bool {
        let greeting = params["greeting"].as_str().unwrap_or("Hello");
        if greeting.trim().is_empty() {
            log("configuration refused: the greeting is empty");
            return false;
        }
        log(format_args!("configured: {greeting}"));
        greeting.clone_into(&mut self.greeting.lock().unwrap_or_else(PoisonError::into_inner));
        true
    }

    /// One of the manifest's `events_consumed` has happened; `params` is its payload, with its name in `event`.
    fn event(&self, params: &Value) -> Value {
        let text = |key: &str| params[key].as_str().unwrap_or_default();
        log(format_args!("{}, {} {}", self.greeting(), text("event"), text("id")));
        json!({"ok": true})
    }

    /// plugd asks whether the plugin still lives.
    fn ping(&self) -> Value {
        json!({"pong": true, "status": "healthy", "uptime_seconds": self.started.elapsed().as_secs_f64()})
    }

    fn greeting(&self) -> String {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Greeter::new()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(error);
            ExitCode::FAILURE
        }
    }
}

/// Tests of the plugin without plugd: `cargo test` in this folder.
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_lives_and_takes_events() {
        let plugin = Greeter::new();
        assert_eq!(plugin.call("ping", json!({})).await.unwrap()["pong"], true);
        let event = json!({"event": "EventThreadPublished", "id": "x"});
        assert_eq!(plugin.call("event", event).await.unwrap(), json!({"ok": true}));
        assert!(plugin.call("no_such_method", json!({})).await.is_err());
    }

    #[test]
    fn it_takes_a_greeting_and_refuses_an_empty_one() {
        let plugin = Greeter::new();
        assert!(plugin.configure(&json!({"greeting": "Good day"})));
        assert!(!plugin.configure(&json!({"greeting": " "})));
        assert_eq!(plugin.greeting(), "Good day");
    }
}
