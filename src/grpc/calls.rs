//! Calls are counted by method and code, with the time until their answer begins: the names are OpenTelemetry's.

use std::time::Duration;

use axum::response::Response;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};
use tonic::{Code, Status};

use super::{audit, auth};
use crate::telemetry::metrics::SECONDS;

/// The method of a call of none that there is: clients could make up any number of names.
const UNKNOWN: &str = "unknown";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    rpc_method: &'static str,
    rpc_response_status_code: &'static str,
}

/// Counts calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calls(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for Calls {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(SECONDS)))
    }
}

impl Calls {
    /// Registers what is counted.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls of the gRPC API, until the answer begins; REST and the console make such calls, too";
        registry.register("rpc_server_call_duration_seconds", help, self.0.clone());
    }

    /// Counts a call of the method at this path that was answered after this time.
    pub(super) fn count(&self, path: &str, response: &Response, after: Duration) {
        // What has begun well has no code yet.
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        let rpc_method = auth::known_method(path).unwrap_or(UNKNOWN);
        let labels = Labels { rpc_method, rpc_response_status_code: audit::name(code) };
        self.0.get_or_create(&labels).observe(after.as_secs_f64());
    }
}
