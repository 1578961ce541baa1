//! The REST shim: HTTP, JSON and server-sent events for browsers and scripts, in front of the gRPC API.
//!
//! It only ever talks to the generated clients, so that it runs embedded (over the service in memory) and in a process
//! of its own (over a channel) as the same code. Whose a credential is it asks the service; the service decides again at
//! each call.
//!
//! ```text
//! request ─► cors ─► render ─► guard ─► handler ─► Backend ─► gRPC
//!              │        │         └ who calls? may they? a cookie from another site? a deadline
//!              │        └ turns a Problem into the error body; headers of every answer
//!              └ preflight, headers for listed origins, if there are any
//! ```
//!
//! Each resource has a file with its handlers: parse, call, render. The OpenAPI document is made from what stands on them, and
//! from the types in `views` and `schemas`.

mod access;
mod backend;
pub(crate) mod body;
mod configuration;
mod docs;
mod error;
pub mod forwarded;
mod logs;
mod openapi;
mod package;
mod plugins;
mod request;
mod schemas;
pub(crate) mod sse;
mod system;
#[cfg(test)]
pub(crate) mod tests;
mod upload;
mod views;
mod watch;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_MATCH, ORIGIN, RETRY_AFTER,
            WWW_AUTHENTICATE,
        },
    },
    middleware,
    routing::MethodRouter,
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

pub use self::backend::Backend;
pub(crate) use self::{
    access::{CONSOLE_COOKIE, cookie, identify, require_own_site, run},
    error::Problem,
    package::{download, update},
    plugins::{install, install_from_url, register},
    request::{Api, Origin, Query, streamed},
    upload::Upload,
};
use crate::telemetry::trace;

/// Largest body of a request, in bytes, unless the options say otherwise: a package (CONTRACT 1.5).
pub const MAX_BODY: usize = crate::api::MAX_PACKAGE as usize;

/// Headers that pages of listed origins may send.
const REQUEST_HEADERS: [HeaderName; 8] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_MATCH,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Headers that pages of listed origins may read.
const RESPONSE_HEADERS: [HeaderName; 6] = [
    CONTENT_DISPOSITION,
    ETAG,
    HeaderName::from_static("preference-applied"),
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    trace::TRACE_ID,
];

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT: Duration = Duration::from_secs(600);

/// What an operator decides about the shim.
#[derive(Debug, Clone)]
pub struct Options {
    /// Origins of other sites (`https://admin.example.org`) whose pages may read what the API answers, with the user's
    /// cookie too. To write they need a bearer token: their browsers say that a request is from another site, and then the
    /// cookie does not count. Each is compared as written; there is no wildcard. A page of this server itself needs no
    /// entry: its browser says that it is one, or else its origin is told by the request's `Host`; where a proxy in front
    /// does not keep that header, the origin that it serves has to stand here.
    pub allowed_origins: Vec<String>,
    /// Largest body of a request, in bytes.
    pub max_body: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { allowed_origins: Vec::new(), max_body: MAX_BODY }
    }
}

impl Options {
    /// Whether the operator has listed this origin.
    fn lists(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|listed| listed.trim_end_matches('/').eq_ignore_ascii_case(origin))
    }
}

/// What every handler may use, of the shim and of the console. Each request takes a few clones of it.
#[derive(Clone)]
pub struct App(Arc<Shared>);

pub struct Shared {
    pub(crate) backend: Backend,
    pub(crate) options: Options,
    pages: system::Pages,
    tokens: access::Tokens,
}

impl App {
    /// What handlers use that talk to this backend.
    pub fn new(backend: Backend, options: Options) -> Self {
        let pages = system::Pages::of(&openapi::to_json(routes(|route| route).1));
        Self(Arc::new(Shared { backend, options, pages, tokens: access::Tokens::default() }))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The handlers of one path.
type Routes = UtoipaMethodRouter<App>;

/// The router of everything under `/api`, and of `/healthz` and `/readyz`. It answers 404 to any other path. Whoever serves it
/// has each request `traced`.
pub fn router(app: App) -> Router {
    let cors = (!app.options.allowed_origins.is_empty()).then(|| cors(app.options.clone()));
    let guard = middleware::from_fn_with_state(app.clone(), access::guard);
    let (routes, _) = routes(|route| route.route_layer(guard.clone()));
    let router = routes
        .fallback(async || Problem::no_route())
        .method_not_allowed_fallback(async || Problem::of(StatusCode::METHOD_NOT_ALLOWED))
        .layer(middleware::from_fn(error::render))
        .with_state(app);
    cors.into_iter().fold(router, Router::layer)
}

/// All operations, and the document about them. Those about plugins need a credential, so that a guard is put before each.
fn routes(guarded: impl Fn(MethodRouter<App>) -> MethodRouter<App>) -> (Router<App>, utoipa::openapi::OpenApi) {
    let all = [plugins::routes(), watch::routes(), logs::routes(), configuration::routes(), package::routes()];
    let (mut private, mut public) = (OpenApiRouter::default(), OpenApiRouter::default());
    for routes in all.into_iter().flatten() {
        private = private.routes(routes.map(&guarded));
    }
    for routes in system::routes() {
        public = public.routes(routes);
    }
    openapi::require_credential(private.get_openapi_mut());
    openapi::require_nothing(public.get_openapi_mut());
    OpenApiRouter::with_openapi(openapi::frame()).merge(private).merge(public).split_for_parts()
}

/// Lets pages of listed origins read what is answered. Others get no header that would, so that their browsers refuse by
/// themselves.
fn cors(options: Options) -> CorsLayer {
    let is_listed = move |origin: &HeaderValue, _: &_| origin.to_str().is_ok_and(|origin| options.lists(origin));
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_listed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(RESPONSE_HEADERS)
        .max_age(PREFLIGHT)
        .vary([ORIGIN])
}
