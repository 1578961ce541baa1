//! The standard health service: serving while the store answers and plugd does not drain.

use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

use crate::store::Store;

/// Names that clients ask about; the empty one is the server as a whole.
const NAMES: [&str; 4] = ["", "plugd.v1.PluginService", "plugd.v1.BusService", "plugd.v1.AccessService"];

/// The service, kept up to date by a task that ends with the store or when plugd drains.
pub(super) fn service(store: &Store, draining: &CancellationToken) -> HealthServer<impl Health> {
    let (reporter, service) = health_reporter();
    let mut healthy = store.healthy();
    let draining = draining.clone();
    tokio::spawn(async move {
        loop {
            let is_healthy = *healthy.borrow_and_update();
            set(&reporter, is_healthy).await;
            tokio::select! {
                changed = healthy.changed() => if changed.is_err() { break },
                () = draining.cancelled() => break,
            }
        }
        set(&reporter, false).await;
    });
    service
}

async fn set(reporter: &HealthReporter, is_healthy: bool) {
    let status = if is_healthy { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
