//! The standard health service: serving while the store answers and plugd does not drain.

use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

use crate::store::Store;

/// Names that clients ask about; the empty one is the server as a whole.
const NAMES: [&str; 6] = [
    "",
    "plugd.v1.PackageService",
    "plugd.v1.ConfigurationService",
    "plugd.v1.LogService",
    "plugd.v1.BusService",
    "plugd.v1.AccessService",
];

/// Unknown where plugins are not run here: this is how anybody can tell, the REST shim's `/api/info` for one.
const PLUGINS: &str = "plugd.v1.PluginService";

/// Says whether every plugin's record could be read; those that could not are left out until a plugd is started that can.
const RECORDS: &str = "plugd.records";

/// The service, kept up to date by a task that ends with the store or when plugd drains.
pub(super) fn service(store: &Store, draining: &CancellationToken, has_plugins: bool) -> HealthServer<impl Health> {
    let names: Vec<&'static str> = NAMES.into_iter().chain(has_plugins.then_some(PLUGINS)).collect();
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

async fn set(reporter: &HealthReporter, names: &[&'static str], is_healthy: bool) {
    let status = if is_healthy { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(*name, status).await;
    }
}
