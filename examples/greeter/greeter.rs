//! The plugin itself: one method a request.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    common::{Failure, Fields, Host, Plugin, Request, fields, log},
    settings::Settings,
};

/// Greets what is published.
pub(crate) struct Greeter {
    started: Instant,
    settings: Mutex<Settings>,
}

impl Plugin for Greeter {
    async fn connected(&self, host: Host) {
        match host.call("get_config", json!({})).await {
            Ok(result) => drop(self.configure(&fields(result["config"].clone()))),
            Err(failure) => log(format_args!("no configuration: {failure}")),
        }
    }

    async fn answer(&self, request: &Request) -> Result<Fields, Failure> {
        match request.method.as_str() {
            "configure" => Ok(self.configure(&request.params)),
            "event" => Ok(self.event(&request.params)),
            "ping" => Ok(self.ping()),
            unknown => Err(Failure::method_not_found(unknown)),
        }
    }
}

impl Greeter {
    /// A greeter with the defaults.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), settings: Mutex::default() }
    }

    fn configure(&self, params: &Fields) -> Fields {
        let settings = Settings::parse(params);
        match &settings {
            Ok(settings) => log(format_args!("configured: {settings:?}")),
            Err(error) => log(format_args!("configuration refused: {error}")),
        }
        let is_ok = settings.map(|settings| *self.settings() = settings).is_ok();
        fields(json!({"ok": is_ok}))
    }

    fn event(&self, payload: &Fields) -> Fields {
        let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or("?");
        log(self.settings().greet(&format!("{} {}", text("event"), text("id"))));
        fields(json!({"ok": true}))
    }

    fn ping(&self) -> Fields {
        fields(json!({"pong": true, "status": "healthy", "uptime_seconds": self.started.elapsed().as_secs_f64()}))
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
