//! Deletions of plugins that were stored, and of which something is left on the host or in the cluster.

use std::{sync::Arc, time::Duration};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::{runtime::Runtime, store::Store, supervisor::Projection};

/// How often it is looked for what is left.
const OFTEN: Duration = Duration::from_secs(3600);

/// Removes the folders and volumes of plugins whose deletion was stored, but not carried out to its end: at the start what was not when
/// plugd was last here, and each hour what could not be removed meanwhile, until it drains.
pub(super) fn finish(
    runtime: Arc<dyn Runtime>,
    store: Store,
    projection: Arc<Projection>,
    draining: CancellationToken,
) {
    tokio::spawn(draining.run_until_cancelled_owned(async move {
        let (mut told, mut ticks) = (0, interval(OFTEN));
        loop {
            ticks.tick().await;
            finish_now(&*runtime, &store, &projection, &mut told).await;
        }
    }));
}

/// Only those of which the journal says so: what nobody knows is told of once, and may be another plugd's, or of a database that
/// has lost it and is restored tomorrow.
async fn finish_now(runtime: &dyn Runtime, store: &Store, projection: &Projection, told: &mut usize) {
    let unknown: Vec<_> = match runtime.kept().await {
        Ok(found) => found.into_iter().filter(|id| projection.slot(*id).is_err()).collect(),
        Err(error) => return tracing::warn!(%error, "it is not known of which plugins files are kept"),
    };
    if unknown.is_empty() {
        return;
    }
    let deleted = match store.deleted(&unknown).await {
        Ok(deleted) => deleted,
        Err(error) => return tracing::warn!(%error, "files of deleted plugins may be left behind for an hour"),
    };
    if let Some(plugin) = unknown.iter().find(|id| !deleted.contains(id)) {
        let count = unknown.len().saturating_sub(deleted.len());
        if std::mem::replace(told, count) < count {
            tracing::warn!(
                count,
                %plugin,
                "there are files or volumes of plugins that this database does not know: if it is an older one, or one of SQLite \
                 that has lost its log (-wal), restore a backup"
            );
        }
    }
    for plugin in deleted {
        match runtime.remove(plugin).await {
            Ok(()) => tracing::info!(%plugin, "the deletion of a plugin's files was finished"),
            Err(error) => tracing::warn!(%plugin, %error, "files of a deleted plugin are left behind"),
        }
    }
}
