//! What `ServerService` tells of this plugd.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Examine, boot::Setup, role::Role};
use crate::{
    config::{Config, RuntimeProvider},
    domain::finding::{Finding, Outcome, Topic},
    grpc::{Examination, Identity, Part, ServerService},
    store::Store,
};

/// How long an examination may take: twice what the slowest part of it may.
const EXAMINATION: Duration = Duration::from_secs(120);

/// The service that tells of this plugd.
pub(super) fn about(
    setup: &Setup,
    (store, obstacle): (&Store, Arc<dyn Fn() -> Option<String> + Send + Sync>),
    cluster: Option<Role>,
    draining: &CancellationToken,
) -> ServerService {
    let (store, provider) = (store.clone(), setup.config.runtime_provider);
    let nodes = cluster.is_some().then(|| store.clone());
    let parts = move || {
        let own = [stored(&store), records(&store), processes(obstacle(), provider), audit(&store)];
        own.into_iter().chain(cluster.as_ref().map(Role::part)).collect()
    };
    of_parts(setup, (parts, nodes), draining)
}

/// The same of a node that follows, which runs no plugins and has no audit trail of its own.
pub(super) fn about_follower(
    setup: &Setup,
    store: &Store,
    cluster: Role,
    draining: &CancellationToken,
) -> ServerService {
    let (store, nodes) = (store.clone(), Some(store.clone()));
    of_parts(setup, (move || vec![stored(&store), records(&store), cluster.part()], nodes), draining)
}

fn of_parts(
    setup: &Setup,
    (parts, nodes): (impl Fn() -> Vec<Part> + Send + Sync + 'static, Option<Store>),
    draining: &CancellationToken,
) -> ServerService {
    let Setup { config, examine, .. } = setup;
    let examination = examination(config.clone(), examine.clone(), draining.clone());
    ServerService::new(identity(setup), parts, examination, nodes)
}

fn identity(Setup { config, started, .. }: &Setup) -> Identity {
    let is_server = config.database_url.as_ref().is_some_and(|url| url.starts_with("postgres"));
    Identity {
        version: env!("CARGO_PKG_VERSION"),
        started: *started,
        host_name: host_name(),
        database: if is_server { "PostgreSQL" } else { "SQLite" },
        data_folder: std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone()),
        sandbox: config.sandbox,
    }
}

/// What this host is called.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn stored(store: &Store) -> Part {
    match store.check() {
        Ok(()) => Part { name: "store", is_healthy: true, found: "the database answers".to_owned() },
        Err(error) => Part { name: "store", is_healthy: false, found: error.message },
    }
}

fn records(store: &Store) -> Part {
    let is_healthy = store.is_whole();
    let found = if is_healthy {
        "every record could be read"
    } else {
        "records of some plugins could not be read, and are left out: the log says which; nothing is swept meanwhile"
    };
    Part { name: "records", is_healthy, found: found.to_owned() }
}

fn processes(obstacle: Option<String>, provider: RuntimeProvider) -> Part {
    let is_healthy = obstacle.is_none();
    let found = match (obstacle, provider) {
        (Some(obstacle), _) => format!("nothing is started: {obstacle}"),
        (None, RuntimeProvider::Local) => "the keeper can be asked for processes".to_owned(),
        (None, RuntimeProvider::Kubernetes) => "the cluster can be asked for pods".to_owned(),
        (None, RuntimeProvider::None) => "this plugd runs no plugins".to_owned(),
    };
    Part { name: "processes", is_healthy, found }
}

fn audit(store: &Store) -> Part {
    let lost = store.audit_lost();
    let found = if lost == 0 { "nothing is lost".to_owned() } else { format!("{lost} events found no room of late") };
    Part { name: "audit trail", is_healthy: lost == 0, found }
}

/// Examines with these settings, for a while at the most and until plugd drains: what was laid out for it is gone afterwards.
fn examination(config: Config, examine: Examine, draining: CancellationToken) -> Examination {
    Arc::new(move || {
        let examined = timeout_of(examine(config.clone()));
        Handle::current().block_on(draining.run_until_cancelled(examined))
    })
}

async fn timeout_of(examined: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(EXAMINATION, examined).await.unwrap_or_else(|_| {
        vec![Finding {
            topic: Topic::Host,
            subject: "examination".to_owned(),
            outcome: Outcome::Failure,
            found: format!("not done within {} s", EXAMINATION.as_secs()),
            remedy: Some("run `plugd doctor` on the server's host, which says how far it comes".to_owned()),
        }]
    })
}
