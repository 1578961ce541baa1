//! Starts the parts, each after those that it needs.

use std::{collections::BTreeSet, fs, net::SocketAddr, sync::Arc};

use anyhow::Context;
use axum::Router;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Examine, about,
    admin::{self, AdminToken},
    deletions, make_private,
    metrics::{Measured, Measures},
    options::{credentials, log_options, supervision},
    place, pods,
    ports::Answers,
    role::Role,
    routes,
    runtimes::{self, Runtimes},
};
use crate::{
    bus::{Bridge, Hosts},
    config::{Config, EventCatalog as Catalog, RuntimeProvider},
    domain::{Secret, events::EventCatalog},
    files,
    grpc::{Access, UsageOf},
    hooks::{self, Hooks},
    link::{self, Host},
    logs,
    runtime::{Runtime, process::ProcessRuntime},
    store::{self, Store},
    storyden::{self, Storyden},
    supervisor::{self, Handle, Packages, Parts, Projection, Supervisor},
    telemetry::metrics::Changes,
};

/// With what the parts are started: by a node of a cluster each time that it leads.
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) examine: Examine,
    /// When plugd was started.
    pub(super) started: Timestamp,
    pub(super) listener: Measures,
    /// Where plugins of this host dial.
    pub(super) plugins_dial: SocketAddr,
    pub(super) catalog: EventCatalog,
}

/// What opens the door to an administrator.
#[derive(Default)]
pub(super) struct Keys {
    /// If it was made now.
    pub(super) admin_token: Option<AdminToken>,
    /// The token of a link to the console.
    pub(super) link: Option<Secret>,
}

/// Everything, ready to run.
pub(super) struct System {
    pub(super) answers: Answers,
    /// The plugins' connections, on whatever port.
    pub(super) connections: TaskTracker,
    pub(super) handle: Handle,
    pub(super) supervisor: Supervisor,
    pub(super) parts: Arc<Parts>,
    pub(super) store: Store,
    pub(super) has_plugins: bool,
    /// None where plugins are no processes of this host.
    pub(super) local: Option<Arc<ProcessRuntime>>,
    pub(super) logs: logs::Logs,
    pub(super) hooks: Hooks,
    pub(super) keys: Keys,
}

/// Makes the folders that there must be, and says where the store is.
///
/// # Errors
/// What is in the way.
pub(super) fn prepare(config: &Config) -> anyhow::Result<store::Options> {
    make_private(&config.data_dir)?;
    fs::create_dir_all(&config.plugin_dir)
        .with_context(|| format!("can't make the folder {}", config.plugin_dir.display()))?;
    let options = place::store_options(config)?;
    place::note_other(config, &options.address);
    Ok(options)
}

/// Wires the parts of a plugd that is alone, or leads its cluster in this term.
///
/// # Errors
/// What is in the way.
pub(super) async fn boot(
    setup: &Setup,
    (opened, loaded): (store::Opened, store::Loaded),
    term: Option<u64>,
    draining: CancellationToken,
) -> anyhow::Result<System> {
    let Setup { config, catalog, .. } = setup;
    let hooks = hooks::Found::of(&loaded);
    let package_store = opened.packages(&place::packages(config), &loaded.database_id).await;
    let (projection, supervisor) = supervisor::start(loaded.plugins, loaded.head);
    let cluster = term.map(|term| Role::Leads { term, projection: projection.clone() });
    // From here on it closes the database when it is dropped: before anything that may fail.
    let (store, changes) = start_store(opened, projection.clone());
    let package_store = package_store.context("the packages can't be opened")?;
    let access = Arc::new(Access::new(loaded.tokens));
    let admin_token = admin::first_token(&config.data_dir, &access, &store).await?;
    let link = admin::link(&access, &store).await;
    let logs = logs::Logs::new(config.plugin_dir.clone(), log_options(config));
    let local = Arc::new(runtimes::local(config, &package_store, &logs)?);
    let runtimes = Runtimes::new(config, &loaded.database_id, (local.clone(), logs.clone()), &draining).await?;
    let has_plugins = config.runtime_provider != RuntimeProvider::None;
    if has_plugins {
        deletions::finish_hourly(runtimes.used.clone(), store.clone(), projection.clone(), draining.clone());
    }

    let handle = Handle::new(projection.clone(), Arc::new(store.clone()), loaded.epoch, draining.clone());
    let hooks = Hooks::start(hooks, store.clone(), handle.clone(), config.fetch_private, draining.clone())?;
    let packages = Arc::new(Packages::new(handle.clone(), package_store, catalog.clone()));
    tokio::spawn(draining.clone().run_until_cancelled_owned(packages.clone().keep_swept()));
    let hosts = Arc::new(Hosts::default());
    let bridge = Storyden::new(Bridge::new(projection.clone(), hosts.clone()), credentials(config));
    let about = about::about(setup, (&store, runtimes.obstacle.clone()), cluster.clone(), &draining);
    let rpc_url = pods::rpc_url(config).unwrap_or_else(|| rpc_url(setup.plugins_dial));
    let parts = actor_parts(config, (store.clone(), runtimes.used, Arc::new(bridge)), &logs, rpc_url);
    let (usage, health) = (usage_of(local.clone()), routes::health(&store, &draining, has_plugins));
    let (connections, links) = (TaskTracker::new(), link::Metrics::default());
    let dialled = plugins_app(config, (&handle, &packages), (connections.clone(), links.clone()));
    let measured = Measured {
        projection,
        changes,
        store: store.clone(),
        links,
        usage: usage.clone(),
        listener: setup.listener.clone(),
        memory_limit: config.limit_memory.map(|limit| limit.0),
        cluster,
    };
    let services = routes::Services {
        handle: handle.clone(),
        packages,
        logs: logs.clone(),
        usage,
        about,
        store: store.clone(),
        access,
        hosts,
        hooks: Some(hooks.clone()),
        catalog: catalog.clone(),
        health,
        link: dialled,
        follows: None,
        draining,
    };
    let (answers, keys) = (routes::answers(config, services, measured)?, Keys { admin_token, link });
    let local = (config.runtime_provider == RuntimeProvider::Local).then_some(local);
    Ok(System { answers, connections, handle, supervisor, parts, store, has_plugins, local, logs, hooks, keys })
}

/// What plugins dial. Those in pods fetch their packages there, too.
fn plugins_app(
    config: &Config,
    (handle, packages): (&Handle, &Arc<Packages>),
    (connections, links): (TaskTracker, link::Metrics),
) -> Router {
    let link = link::router(Arc::new(handle.clone()), link::Options::default(), connections, links);
    if config.runtime_provider != RuntimeProvider::Kubernetes {
        return link;
    }
    let packages = packages.clone();
    let package_of: link::PackageOf = Arc::new(move |plugin| {
        let packages = packages.clone();
        Box::pin(async move { Ok(packages.download(plugin).await?.1) })
    });
    link.merge(link::package_router(Arc::new(handle.clone()), package_of))
}

fn usage_of(runtime: Arc<ProcessRuntime>) -> UsageOf {
    Arc::new(move |run| runtime.usage(run))
}

/// The store, and what counts its commits; the projection hears of them, too.
fn start_store(opened: store::Opened, projection: Arc<Projection>) -> (Store, Changes) {
    let changes = Changes::default();
    let counted = changes.clone();
    let store = opened.start(Box::new(move |commits| {
        projection.apply(commits);
        counted.observe(commits);
    }));
    (store, changes)
}

/// What every actor works with.
fn actor_parts(
    config: &Config,
    (store, runtime, host): (Store, Arc<dyn Runtime>, Arc<dyn Host>),
    logs: &logs::Logs,
    rpc_url: String,
) -> Arc<Parts> {
    let (notes, removed) = (logs.clone(), logs.clone());
    Arc::new(Parts {
        store: Arc::new(store),
        runtime,
        supervision: supervision(config),
        host,
        start_alone: Arc::new(Semaphore::new(1)),
        rpc_url,
        note: Box::new(move |id, line| notes.note(id, &line)),
        on_deleted: Box::new(move |plugin| removed.remove(plugin.id)),
    })
}

/// # Errors
/// It can't be opened: which one, and why not.
pub(super) async fn open_store(options: store::Options) -> anyhow::Result<(store::Opened, store::Loaded)> {
    let message = format!("the database {} can't be opened", options.address);
    Box::pin(store::open(options)).await.context(message)
}

/// # Errors
/// Its file can't be read.
pub(super) fn catalog(catalog: &Catalog) -> anyhow::Result<EventCatalog> {
    Ok(match catalog {
        Catalog::Any => EventCatalog::any(),
        Catalog::Storyden => storyden::events::catalog(),
        Catalog::File(path) => {
            let text = files::read_text(path, files::MAX_TEXT)
                .with_context(|| format!("can't read the catalogue of events {}", path.display()))?;
            let names: BTreeSet<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            EventCatalog::from_names(names)
        }
    })
}

/// Where plugins of this host dial: a server that listens everywhere is found on the loopback.
fn rpc_url(address: SocketAddr) -> String {
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    format!("ws://{host}:{}/rpc", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_dial_an_address_that_can_be_dialled() {
        let url = |address: &str| rpc_url(address.parse().unwrap());
        assert_eq!(url("0.0.0.0:8000"), "ws://127.0.0.1:8000/rpc");
        assert_eq!(url("[::]:8000"), "ws://[::1]:8000/rpc");
        assert_eq!(url("10.1.2.3:9"), "ws://10.1.2.3:9/rpc");
    }

    #[test]
    fn a_catalogue_may_have_a_byte_order_mark_and_line_ends_of_windows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        fs::write(&path, "\u{feff}EventOne\r\n EventTwo \r\n\r\n").unwrap();
        let catalog = catalog(&Catalog::File(path)).unwrap();
        assert!(catalog.has("EventOne") && catalog.has("EventTwo") && !catalog.has("EventThree"));
        let error = super::catalog(&Catalog::File(folder.path().to_owned())).unwrap_err();
        assert!(format!("{error:#}").ends_with("it is a folder, not a file"), "{error:#}");
    }
}
