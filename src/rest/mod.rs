//! The REST shim: HTTP, JSON and server-sent events for browsers and scripts, in front of the gRPC API.
//!
//! It only ever talks to the generated clients, so that it runs embedded (over the service in memory) and in a process
//! of its own (over a channel) as the same code. It decides nothing: credentials are forwarded, not checked.
//!
//! ```text
//! request ─► traced ─► cors ─► render ─► guard ─► handler ─► Backend ─► gRPC
//!                        │        │         └ a good credential? a cookie from another site? a deadline
//!                        │        └ turns a Problem into the error body
//!                        └ preflight, headers for listed origins
//! ```
//!
//! Each resource has a file with its handlers (parse, call, render) and its rows of the table of operations, from which
//! both the router and the OpenAPI document are made.

mod active;
mod answer;
mod api;
mod backend;
mod body;
mod caller;
mod configuration;
mod context;
mod cors;
mod cut;
mod docs;
mod error;
mod external;
mod guard;
mod logs;
mod openapi;
mod operation;
mod package;
mod path;
mod plugins;
mod query;
mod schemas;
mod site;
mod sse;
mod system;
#[cfg(test)]
mod tests;
mod upload;
mod view;
mod watch;

use std::sync::Arc;

use axum::{Router, middleware, routing::get};

pub use self::backend::Backend;
use self::{
    error::Problem,
    operation::{Group, Operation},
};
use crate::telemetry::trace;

/// Largest body of a request, in bytes, unless the options say otherwise: a package (CONTRACT 1.5).
pub const MAX_BODY: usize = crate::api::MAX_PACKAGE as usize;

/// What an operator decides about the shim.
#[derive(Debug, Clone)]
pub struct Options {
    /// Origins of other sites (`https://admin.example.org`) whose pages may read what the API answers, with the user's
    /// cookie too. To write they need a bearer token: their browsers say that a request is from another site, and then the
    /// cookie does not count. Each is compared as written; there is no wildcard. A page of this server itself needs no
    /// entry: its browser says that it is one, or else its origin is told by the request's `Host`; where a proxy in front
    /// does not keep that header, the origin that it serves has to stand here.
    pub allowed_origins: Vec<String>,
    /// Whether clients find it at `https://`, without a proxy.
    pub is_encrypted: bool,
    /// Largest body of a request, in bytes.
    pub max_body: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { allowed_origins: Vec::new(), is_encrypted: false, max_body: MAX_BODY }
    }
}

/// What every handler may use.
#[derive(Clone)]
struct App {
    backend: Backend,
    options: Arc<Options>,
    pages: Arc<system::Pages>,
}

/// The router of everything under `/api`, and of `/`, `/healthz` and `/readyz`. It answers 404 to any other path.
pub fn router(backend: Backend, options: Options) -> Router {
    let groups = groups();
    let pages = system::Pages::of(&openapi::document(&groups));
    let app = App { backend, options: Arc::new(options), pages: Arc::new(pages) };
    let routes = groups.into_iter().flat_map(|group| group.operations).fold(Router::new(), |router, operation| {
        let (path, route) = operation.into_route(&app);
        router.route(path, route)
    });
    routes
        .route("/", get(system::root))
        .fallback(async || Problem::no_route())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::from_fn(context::render))
        .layer(middleware::from_fn_with_state(app.clone(), cors::cors))
        .layer(middleware::from_fn(trace::traced))
        .with_state(app)
}

/// The one table of operations, in the order in which a newcomer needs them.
fn groups() -> Vec<Group> {
    vec![
        Group::new("Plugins", "Install, list and remove plugins.", plugins::operations()),
        Group::new("Lifecycle", "Start, stop and restart the plugins that plugd runs.", active::operations()),
        Group::new("Streams", "What happens to plugins and what they print, as server-sent events.", streams()),
        Group::new("Configuration", "Settings of a plugin, which its manifest declares.", configuration::operations()),
        Group::new("Packages", "The archives that supervised plugins come from.", package::operations()),
        Group::new("External plugins", "Plugins that somebody else runs.", external::operations()),
        Group::new("Server", "This server, and this document.", system::operations()),
    ]
}

fn streams() -> Vec<Operation> {
    watch::operations().into_iter().chain(logs::operations()).collect()
}
