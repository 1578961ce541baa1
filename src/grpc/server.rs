//! The services by their names, behind the guard. A call comes to its service by one look at its path: a router that finds out
//! what else a path may mean would cost a short call more than what it asks for.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{extract::Request, response::Response};
use futures_util::{FutureExt, future::BoxFuture};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

use super::{Guard, audit, auth};
use crate::{
    domain::Result,
    telemetry::{metrics::SECONDS, trace::Span},
};

/// What a service answers to a call, in tonic's own body.
type Answered = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

type Services = HashMap<&'static str, Box<dyn Fn(Request) -> Answered + Send + Sync>>;

/// The services of the API, behind what every call passes.
#[derive(Clone)]
pub struct Server {
    guard: Arc<Guard>,
    services: Arc<Services>,
    calls: Calls,
}

/// Makes a [`Server`].
#[derive(Default)]
pub struct Builder(Services);

impl Builder {
    /// With this service, too.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request, Response = http::Response<Body>, Error = Infallible, Future = Answered>,
        S: NamedService + Clone + Send + Sync + 'static,
    {
        // These services are ready at any time.
        self.0.insert(S::NAME, Box::new(move |request| service.clone().call(request)));
        self
    }

    /// The server with these services, behind this guard.
    #[must_use]
    pub fn behind(self, guard: Guard) -> Server {
        Server { guard: Arc::new(guard), services: Arc::new(self.0), calls: Calls::default() }
    }
}

impl Server {
    /// Whether the token of a request that is no call may read.
    ///
    /// # Errors
    /// See [`Guard`]: it may not.
    pub fn may_read(&self, request: &Request) -> Result<()> {
        self.guard.may_read(request)
    }

    /// What is counted of the calls.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Answers a call.
    pub async fn answer(&self, request: Request) -> Response {
        let (begun, path) = (Instant::now(), request.uri().clone());
        let response = self.guard.pass(request, |request| self.serve(request)).await;
        self.calls.count(path.path(), &response, begun.elapsed());
        response
    }

    async fn serve(&self, request: Request) -> Response {
        let service = auth::service(request.uri().path()).and_then(|service| self.services.get(service));
        let Some(service) = service else { return Status::unimplemented("").into_http() };
        let Ok(answer) = service(request).await;
        answer.map(axum::body::Body::new)
    }
}

/// The method of a call of none that there is: clients could make up any number of names.
const UNKNOWN: &str = "unknown";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    rpc_method: &'static str,
    rpc_response_status_code: &'static str,
}

/// Counts calls by method and code, with the time until their answer begins: the names are OpenTelemetry's. Cheap to clone.
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
    fn count(&self, path: &str, response: &Response, after: Duration) {
        // What has begun well has no code yet.
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        let rpc_method = auth::known_method(path).unwrap_or(UNKNOWN);
        let labels = Labels { rpc_method, rpc_response_status_code: audit::name(code) };
        self.0.get_or_create(&labels).observe(after.as_secs_f64());
    }
}

/// What clients in memory call. Each call has a span of its own there, as one that comes over a connection.
#[derive(Clone)]
pub struct InMemory(Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>);

impl InMemory {
    /// Has calls answered by this.
    pub fn new<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        Self(Arc::new(move |request| answer(request).boxed()))
    }
}

impl Service<http::Request<Body>> for InMemory {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut request = request.map(axum::body::Body::new);
        let span = Span::serve(&mut request, auth::is_method);
        let answered = (self.0)(request);
        async move {
            let response = answered.await;
            span.answered(&response);
            Ok(response)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        domain::{
            TokenId,
            access::{AccessToken, Role},
        },
        grpc::tokens::{Access, mint},
    };

    const CHECK: &str = "/grpc.health.v1.Health/Check";

    /// What a server with the health service alone answers to a call of this path: the code, and whether it is gRPC.
    async fn call(path: &str, method: &str, has_token: bool) -> (Code, bool) {
        let (access, (secret, hash)) = (Access::default(), mint());
        let (id, created) = (TokenId::from(xid::new()), Timestamp::now());
        access.insert(AccessToken { id, name: "test".into(), role: Role::Admin, hash, created, expires: None });
        let server = Builder::default()
            .with(tonic_health::server::health_reporter().1)
            .behind(Guard::new(Arc::new(access), |_| {}));
        let mut request = http::Request::builder().method(method).uri(path).header("content-type", "application/grpc");
        if has_token {
            request = request.header("authorization", format!("Bearer {secret}"));
        }
        // An empty message of gRPC.
        let answer = server.answer(request.body(vec![0; 5].into()).unwrap()).await;
        let is_grpc = answer.headers().get("content-type").is_some_and(|value| value == "application/grpc");
        (Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code()), is_grpc)
    }

    #[tokio::test]
    async fn a_call_comes_to_its_service() {
        assert_eq!(call(CHECK, "POST", false).await, (Code::Ok, true));
    }

    #[tokio::test]
    async fn what_nobody_serves_is_unimplemented_for_those_who_may_ask() {
        for path in
            ["/", "/x", "//", "/x/", "/grpc.health.v1.Health", "/grpc.health.v1.Healthy/Check", "/plugd.v1.No/No"]
        {
            assert_eq!(call(path, "POST", true).await, (Code::Unimplemented, true), "{path}");
            let refused = call(path, "POST", false).await;
            assert_eq!(refused, (Code::Unauthenticated, true), "{path}");
        }
        assert_eq!(call("/grpc.health.v1.Health/No", "POST", false).await, (Code::Unimplemented, true));
    }
}
