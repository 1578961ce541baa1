//! Metrics: what there is to measure, and who may read it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::role::Role;
use crate::{
    domain::{Error, Reason},
    grpc,
    hooks::Hooks,
    link,
    store::Store,
    supervisor::Projection,
    telemetry::{
        metrics::{Changes, Collection, Form, Known, Metrics, Plugins, Values},
        trace,
    },
    tls,
};

/// How long a scrape waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where metrics are.
pub(super) const PATH: &str = "/metrics";

/// What is measured of the listener for clients.
#[derive(Clone)]
pub(super) struct Measures {
    pub(super) open: Gauge,
    /// The file of its certificate, if it is encrypted.
    pub(super) certificate: Option<PathBuf>,
}

impl Measures {
    fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that are open, plugins' among them", self.open.clone());
        if let Some(certificate) = self.certificate.clone() {
            registry.register_collector(Box::new(Values::default().gauge(
                "certificate_expiry_timestamp_seconds",
                "When the listener's certificate ends, as Unix time; 0 if it can't be read",
                move || expiry(&certificate),
            )));
        }
    }
}

/// What is measured.
pub(super) struct Measured {
    pub(super) projection: Arc<Projection>,
    pub(super) changes: Changes,
    pub(super) store: Store,
    pub(super) links: link::Metrics,
    pub(super) usage: grpc::UsageOf,
    pub(super) listener: Measures,
    /// What the operator lets every plugin use of memory.
    pub(super) memory_limit: Option<u64>,
    /// What this plugd is in its cluster, if it is of one.
    pub(super) cluster: Option<Role>,
}

/// Answers who asks for metrics: one at a time, as each answer takes a while to write.
#[derive(Clone)]
pub(super) struct Scrapes {
    metrics: Metrics,
    turn: Arc<Semaphore>,
}

impl Scrapes {
    /// Of all that is measured.
    pub(super) fn of(measured: Measured, hooks: Option<&Hooks>, grpc: &grpc::Server, plugins: &grpc::Services) -> Self {
        let mut collection = Collection::default();
        grpc.calls().register(collection.plain());
        let own = collection.own();
        measured.changes.register(own);
        measured.store.metrics().register(own);
        measured.links.register(own);
        if let Some(hooks) = hooks {
            hooks.register(own);
        }
        measured.projection.register(own);
        trace::register(own);
        measured.listener.register(own);
        own.register_collector(Box::new(values(&measured, plugins)));
        if let Some(role) = measured.cluster.clone() {
            own.register_collector(Box::new(of_cluster(move || role.clone())));
        }
        own.register_collector(Box::new(of_plugins(measured)));
        Self { metrics: collection.finish(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Of a node of a cluster that neither leads nor follows, and is this now.
    pub(super) fn of_node(role: impl Fn() -> Role + Clone + Send + Sync + 'static, listener: &Measures) -> Self {
        let mut collection = Collection::default();
        let own = collection.own();
        trace::register(own);
        listener.register(own);
        own.register_collector(Box::new(of_cluster(role)));
        Self { metrics: collection.finish(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// The metrics, for whoever has a token that reads.
    pub(super) async fn guarded(&self, grpc: &grpc::Server, request: Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response();
        }
        let (may_read, form) = (grpc.may_read(&request), form(request.headers()));
        drop(request);
        match may_read {
            Ok(()) => self.answer(form).await,
            Err(error) => refused(&error),
        }
    }

    /// The metrics, for everybody.
    pub(super) fn router(self) -> Router {
        Router::new().route(PATH, get(move |headers: HeaderMap| async move { self.answer(form(&headers)).await }))
    }

    async fn answer(&self, form: Form) -> Response {
        let turn = timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        let metrics = self.metrics.clone();
        // The turn is over when the work is, whether or not anybody waits for it.
        let written = spawn_blocking(move || {
            let text = metrics.text(form);
            drop(turn);
            text
        });
        match written.await {
            Ok(text) => ([(CONTENT_TYPE, form.media_type()), (CACHE_CONTROL, "no-store")], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// The form that is asked for.
fn form(headers: &HeaderMap) -> Form {
    let is_asked =
        |accept: &HeaderValue| accept.to_str().is_ok_and(|text| text.contains("application/openmetrics-text"));
    if headers.get_all(ACCEPT).iter().any(is_asked) { Form::OpenMetrics } else { Form::Prometheus }
}

fn refused(error: &Error) -> Response {
    let text = format!("{}\n", error.message);
    match error.reason {
        Reason::PermissionDenied => (StatusCode::FORBIDDEN, text).into_response(),
        Reason::Unauthenticated => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], text).into_response(),
        _ => (StatusCode::TOO_MANY_REQUESTS, text).into_response(),
    }
}

fn values(measured: &Measured, plugins: &grpc::Services) -> Values {
    let (head, watches) = (Arc::clone(&measured.projection), Arc::clone(&measured.projection));
    let (healthy, compacted) = (measured.store.healthy(), measured.store.clone());
    let (uploads, downloads) = (plugins.clone(), plugins.clone());
    Values::default()
        .gauge("store_healthy", "Whether the database answers", move || u64::from(*healthy.borrow()))
        .gauge("journal_revision", "The newest revision", move || head.head())
        .gauge("journal_compacted_revision", "The newest revision that is no longer kept", move || {
            compacted.compacted()
        })
        .gauge("watches", "Watches that are open, webhooks' among them", move || watches.watches() as u64)
        .gauge("uploads", "Packages that are being uploaded", move || uploads.transfers()[0] as u64)
        .gauge("downloads", "Packages that are being downloaded", move || downloads.transfers()[1] as u64)
}

/// Of a plugd that is alone there is nothing to be said of this.
fn of_cluster(role: impl Fn() -> Role + Clone + Send + Sync + 'static) -> Values {
    let [leads, term, revisions, seconds] = [(); 4].map(|()| role.clone());
    Values::default()
        .gauge("cluster_leads", "Whether this node leads its cluster", move || u64::from(leads().is_leader()))
        .gauge("cluster_term", "The number of the leader that this node knows; 0 if it knows none", move || {
            term().term()
        })
        .gauge("cluster_lag_revisions", "Revisions that this node knows of and has not read yet", move || {
            revisions().lag().0
        })
        .gauge("cluster_lag_seconds", "How long ago this node had read everything", move || seconds().lag().1.as_secs())
}

fn of_plugins(measured: Measured) -> Plugins {
    let Measured { projection, memory_limit, usage, .. } = measured;
    Plugins::new(move || {
        let known = |plugin: Arc<crate::domain::Plugin>| {
            let usage = plugin.reported.run.and_then(|run| usage(run));
            let memory_limit = plugin.desired.policy.process.limits.memory_bytes.or(memory_limit);
            Known { plugin, usage, memory_limit }
        };
        projection.snapshot().1.into_iter().map(known).collect()
    })
}

/// Read anew each time: certificates are renewed while plugd runs.
fn expiry(certificate: &Path) -> u64 {
    let end = tls::end_of(certificate).ok().and_then(|end| end.duration_since(UNIX_EPOCH).ok());
    end.map_or(0, |end| end.as_secs())
}
