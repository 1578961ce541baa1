//! The routes of the one port: which service gets which request.

use std::{net::IpAddr, sync::Arc};

use anyhow::Context;
use axum::{Router, extract::Request, response::Response};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};
use tower::ServiceExt;

use super::{
    metrics::{self, Measured, Scrapes},
    ports::Answers,
    proxies,
};
use crate::{
    api::{
        DESCRIPTOR_SET,
        v1::{
            access_service_server::AccessServiceServer, bus_service_server::BusServiceServer,
            configuration_service_server::ConfigurationServiceServer, hook_service_server::HookServiceServer,
            log_service_server::LogServiceServer, package_service_server::PackageServiceServer,
            plugin_service_server::PluginServiceServer, policy_service_server::PolicyServiceServer,
            server_service_server::ServerServiceServer,
        },
    },
    bus::{Events, Hosts},
    cluster::{Forwarder, Progress, Routed},
    config::{Config, RuntimeProvider},
    console,
    domain::events::EventCatalog,
    fetch,
    grpc::{self, Access, AccessService, BusService, Guard, HookService, ServerService, UsageOf},
    hooks::Hooks,
    listener::App,
    logs::Logs,
    rest,
    store::Store,
    storyden,
    supervisor::{Handle, Packages},
    telemetry::trace,
};

pub(super) struct Services<H> {
    pub(super) handle: Handle,
    pub(super) packages: Arc<Packages>,
    pub(super) logs: Logs,
    pub(super) usage: UsageOf,
    pub(super) about: ServerService,
    pub(super) store: Store,
    pub(super) access: Arc<Access>,
    pub(super) hosts: Arc<Hosts>,
    /// None at a node that follows: the leader tells their receivers.
    pub(super) hooks: Option<Hooks>,
    pub(super) catalog: EventCatalog,
    pub(super) health: H,
    pub(super) link: Router,
    /// Of a node that follows: what passes on what it can't answer, and how far it follows.
    pub(super) follows: Option<(Forwarder, watch::Receiver<Progress>)>,
    pub(super) draining: CancellationToken,
}

/// What answers calls.
#[derive(Clone)]
enum Calls {
    Here(grpc::Server),
    /// Some here, the others at the leader.
    Routed(Routed),
}

impl Calls {
    async fn answer(&self, request: Request) -> Response {
        match self {
            Self::Here(server) => server.answer(request).await,
            Self::Routed(routed) => routed.answer(request).await,
        }
    }

    /// The same in memory, with no socket between; streams can't stall calls there, so one service carries both.
    fn backend(&self) -> rest::Backend {
        let calls = Arc::new(self.clone());
        let service = grpc::InMemory::new(move |request| {
            let calls = Arc::clone(&calls);
            async move { calls.answer(request).await }
        });
        rest::Backend::new(service.clone(), service)
    }
}

/// Everything that is served: gRPC by its content type; the rest by path.
struct All {
    calls: Calls,
    /// Knows who may read.
    grpc: grpc::Server,
    scrapes: Scrapes,
    web: Router,
    trusted: Vec<IpAddr>,
}

impl All {
    async fn answer(&self, mut request: Request) -> Response {
        proxies::see_through(&mut request, &self.trusted);
        if trace::is_grpc(request.headers()) {
            return self.calls.answer(request).await;
        }
        if request.uri().path() == metrics::PATH {
            return self.scrapes.guarded(&self.grpc, request).await;
        }
        let Ok(answer) = self.web.clone().oneshot(request).await;
        answer
    }
}

/// What answers on each port, each request in its trace.
///
/// # Errors
/// None that a build with its own descriptors can have.
pub(super) fn answers<H: Health>(
    config: &Config,
    services: Services<HealthServer<H>>,
    measured: Measured,
) -> anyhow::Result<Answers> {
    let (link, follows, hooks) = (services.link.clone(), services.follows.clone(), services.hooks.clone());
    let access = Arc::clone(&services.access);
    let (grpc, plugins) = services_of(config, services)?;
    let scrapes = Scrapes::of(measured, hooks.as_ref(), &grpc, &plugins);
    let calls = match follows {
        Some((forwarder, progress)) => Calls::Routed(Routed { server: grpc.clone(), forwarder, access, progress }),
        None => Calls::Here(grpc.clone()),
    };
    let options = rest::Options { allowed_origins: config.allowed_origins.clone(), ..rest::Options::default() };
    let web = trace::with_routes(web(rest::App::new(calls.backend(), options)).merge(link.clone()));
    let all = All { calls, grpc, scrapes: scrapes.clone(), web, trusted: config.trusted_proxies.clone() };
    let all = Arc::new(all);
    let clients = App::new(move |request| {
        let all = Arc::clone(&all);
        trace::traced(request, grpc::is_method, async move |request| all.answer(request).await)
    });
    Ok(Answers { clients, plugins: link.into(), scrapes: scrapes.router().into() })
}

/// What browsers are served: the REST shim and the console.
pub(super) fn web(app: rest::App) -> Router {
    console::router(app.clone()).merge(rest::router(app))
}

fn services_of<H: Health>(
    config: &Config,
    services: Services<HealthServer<H>>,
) -> anyhow::Result<(grpc::Server, grpc::Services)> {
    let trail = services.store.clone();
    let guard = Guard::new(services.access.clone(), move |event| trail.audit(event));
    let projection = services.handle.projection().clone();
    let events = Events::new(projection.clone(), services.catalog.clone(), storyden::events::encode);
    let bus = BusService::new(projection, events, services.hosts, services.draining.clone());
    let access = AccessService::new(services.store.clone(), services.access);
    let plugins = grpc::Services::new(grpc::Parts {
        handle: services.handle,
        packages: services.packages,
        logs: services.logs,
        usage: services.usage,
        store: services.store,
        catalog: services.catalog,
        fetch: fetch::Options { allow_private: config.fetch_private, ..fetch::Options::default() },
        heartbeat: config.heartbeat,
        watch_max_age: config.watch_max_age,
        is_disabled: config.runtime_provider == RuntimeProvider::None,
        draining: services.draining,
    });
    let served = grpc::Builder::default()
        .with(PluginServiceServer::new(plugins.clone()))
        .with(PackageServiceServer::new(plugins.clone()))
        .with(ConfigurationServiceServer::new(plugins.clone()))
        .with(PolicyServiceServer::new(plugins.clone()))
        .with(LogServiceServer::new(plugins.clone()))
        .with(BusServiceServer::new(bus))
        .with(AccessServiceServer::new(access))
        .with(ServerServiceServer::new(services.about))
        .with(services.health)
        .with(descriptors().build_v1().context("reflection")?)
        .with(descriptors().build_v1alpha().context("reflection")?);
    let served = match services.hooks {
        Some(hooks) => served.with(HookServiceServer::new(HookService::new(hooks))),
        None => served,
    };
    Ok((served.behind(guard), plugins))
}

/// What reflection tells: the services, and the details that their errors carry.
fn descriptors() -> tonic_reflection::server::Builder<'static> {
    [DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET]
        .into_iter()
        .fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
}

/// Names that clients ask about; the empty one is the server as a whole.
const HEALTH_NAMES: [&str; 9] = [
    "",
    "plugd.v1.PackageService",
    "plugd.v1.ConfigurationService",
    "plugd.v1.PolicyService",
    "plugd.v1.LogService",
    "plugd.v1.BusService",
    "plugd.v1.AccessService",
    "plugd.v1.HookService",
    "plugd.v1.ServerService",
];

/// Unknown where plugins are not run here: this is how anybody can tell, the REST shim's `/api/info` for one.
const PLUGINS: &str = "plugd.v1.PluginService";

/// Says whether every plugin's record could be read; those that could not are left out until a plugd is started that can.
const RECORDS: &str = "plugd.records";

/// The standard health service: serving while the store answers and plugd does not drain. It is kept up to date by a task that ends with the store or when plugd drains.
pub(super) fn health(store: &Store, draining: &CancellationToken, has_plugins: bool) -> HealthServer<impl Health> {
    let names = health_names(has_plugins);
    let (reporter, service) = health_reporter();
    let mut healthy = store.healthy();
    let is_whole = store.is_whole();
    let draining = draining.clone();
    tokio::spawn(async move {
        set(&reporter, &[RECORDS], is_whole).await;
        loop {
            let is_healthy = *healthy.borrow_and_update();
            set(&reporter, &names, is_healthy).await;
            tokio::select! {
                changed = healthy.changed() => if changed.is_err() { break },
                () = draining.cancelled() => break,
            }
        }
        set(&reporter, &names, false).await;
    });
    service
}

/// The same of a node of a cluster that neither leads nor follows: it can't do its work, and knows of no records.
pub(super) async fn not_serving(has_plugins: bool) -> HealthServer<impl Health> {
    let (reporter, service) = health_reporter();
    set(&reporter, &health_names(has_plugins), false).await;
    reporter.set_service_status(RECORDS, ServingStatus::Unknown).await;
    service
}

fn health_names(has_plugins: bool) -> Vec<&'static str> {
    HEALTH_NAMES.into_iter().chain(has_plugins.then_some(PLUGINS)).collect()
}

async fn set(reporter: &HealthReporter, names: &[&'static str], is_healthy: bool) {
    let status = if is_healthy { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(*name, status).await;
    }
}
