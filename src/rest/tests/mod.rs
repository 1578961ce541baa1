//! The shim over a service in memory that answers as it is told.

mod bodies;
mod bytes;
mod configuration;
mod credentials;
mod documents;
mod errors;
pub(crate) mod fake;
mod logs;
mod negotiation;
mod plugins;
mod sites;
mod sockets;
mod traces;
mod uploads;
mod views;
mod watching;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, request::Builder},
};
use futures_util::FutureExt;
use serde_json::Value;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::ServiceExt;

use self::fake::Fake;
use super::{App, Backend, Options, router};
use crate::{
    api::v1::{
        access_service_server::AccessServiceServer,
        configuration_service_server::ConfigurationServiceServer,
        hook_service_server::HookServiceServer,
        log_service_server::LogServiceServer,
        package_service_server::PackageServiceServer,
        plugin_service_server::{PluginServiceServer, SERVICE_NAME},
    },
    telemetry::trace::traced,
};

/// An id as real ones look.
const ID: &str = "9m4e2mr0ui3e8a215n4g";

/// A small limit, so that tests need no large bodies.
const LIMIT: usize = 4096;

/// The shim and the service behind it.
struct Harness {
    router: Router,
    fake: Arc<Fake>,
    health: HealthReporter,
}

/// A response that has been read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Harness {
    fn new() -> Self {
        Self::with(Options { max_body: LIMIT, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        let fake = Arc::new(Fake::new());
        let (app, health) = app(&fake, options);
        Self { router: router(app), fake, health }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let answer = async |request| self.router.clone().oneshot(request).await.unwrap();
        let response = traced(request, |_| false, answer).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(admin("GET", path).body(Body::empty()).unwrap()).await
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(json(admin(method, path), body)).await
    }
}

/// What handlers have in front of a service, and what says whether that is healthy.
pub(crate) fn app(fake: &Arc<Fake>, options: Options) -> (App, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(SERVICE_NAME, ServingStatus::Serving).now_or_never().unwrap();
    let service = tonic::service::Routes::new(PluginServiceServer::from_arc(fake.clone()))
        .add_service(AccessServiceServer::from_arc(fake.clone()))
        .add_service(PackageServiceServer::from_arc(fake.clone()))
        .add_service(ConfigurationServiceServer::from_arc(fake.clone()))
        .add_service(LogServiceServer::from_arc(fake.clone()))
        .add_service(HookServiceServer::from_arc(fake.clone()))
        .add_service(health);
    (App::new(Backend::new(service.clone(), service), options), reporter)
}

impl Answer {
    fn json(&self) -> Value {
        assert!(self.text.ends_with('\n'), "no line break at the end of {:?}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A request without a credential.
fn anonymous(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header("host", "plugd.example")
}

/// A request with a credential of this name; see [`Fake`].
fn bearer(token: &str, method: &str, path: &str) -> Builder {
    anonymous(method, path).header("authorization", format!("Bearer {token}"))
}

fn admin(method: &str, path: &str) -> Builder {
    bearer("admin", method, path)
}

fn json(builder: Builder, body: &str) -> Request<Body> {
    builder.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

fn path(rest: &str) -> String {
    format!("/api/plugins/{ID}{rest}")
}
