//! What is measured of plugins' connections.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{CallError, RpcError};
use crate::telemetry::metrics::{Held, SECONDS};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    /// Who calls whom.
    direction: &'static str,
    outcome: &'static str,
}

/// Measures of all connections together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    calls: Family<Labels, Histogram, fn() -> Histogram>,
    pings: Histogram,
    connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let calls = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        Self { calls, pings: Histogram::new(SECONDS), connections: Gauge::default() }
    }
}

impl Metrics {
    /// Registers what is measured.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls between plugd and plugins, by who called and what came of it";
        registry.register("call_duration_seconds", help, self.calls.clone());
        registry.register("ping_duration_seconds", "Until a plugin answered a ping", self.pings.clone());
        registry.register("plugin_connections", "Connections of plugins", self.connections.clone());
    }

    pub(super) fn called_plugin<T>(&self, answer: &Result<T, CallError>, after: Duration) {
        let outcome = match answer {
            Ok(_) => "ok",
            Err(CallError::NotConnected | CallError::Lost(_)) => "disconnected",
            Err(CallError::TimedOut(_)) => "timed_out",
            Err(CallError::Refused(_)) => "refused",
            Err(CallError::Undecodable(_)) => "undecodable",
            Err(CallError::QueueFull) => "queue_full",
            Err(CallError::TooLarge { .. }) => "too_large",
        };
        self.observe("to_plugin", outcome, after);
    }

    pub(super) fn called_by_plugin<T>(&self, answer: &Result<T, RpcError>, after: Duration) {
        let outcome = match answer {
            Ok(_) => "ok",
            Err(error) if error.code == RpcError::METHOD_NOT_FOUND => "unknown_method",
            Err(error) if error.code == RpcError::INVALID_PARAMS => "invalid_params",
            Err(_) => "failed",
        };
        self.observe("from_plugin", outcome, after);
    }

    pub(super) fn pinged(&self, after: Duration) {
        self.pings.observe(after.as_secs_f64());
    }

    /// One more connection, until this is dropped.
    pub(super) fn connected(&self) -> Held {
        Held::one_of(&self.connections)
    }

    fn observe(&self, direction: &'static str, outcome: &'static str, after: Duration) {
        self.calls.get_or_create(&Labels { direction, outcome }).observe(after.as_secs_f64());
    }
}
