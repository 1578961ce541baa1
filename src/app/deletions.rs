//! Deletions of plugins that were stored, and of which something is left on the host or in the cluster.

use std::{sync::Arc, time::Duration};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::{runtime::Runtime, store::Store, supervisor::Projection};

/// How often it is looked for what is left.
const OFTEN: Duration = Duration::from_secs(3600);

/// Removes the folders and volumes of plugins whose deletion was stored, but not carried out to its end: at the start what was not when
/// plugd was last here, and each hour what could not be removed meanwhile, until it drains.
pub(super) fn finish_hourly(
    runtime: Arc<dyn Runtime>,
    store: Store,
    projection: Arc<Projection>,
    draining: CancellationToken,
) {
    tokio::spawn(draining.run_until_cancelled_owned(finish(runtime, store, projection, OFTEN)));
}

async fn finish(runtime: Arc<dyn Runtime>, store: Store, projection: Arc<Projection>, often: Duration) {
    let (mut told, mut ticks) = (0, interval(often));
    loop {
        ticks.tick().await;
        finish_now(&*runtime, &store, &projection, &mut told).await;
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::BoxFuture;
    use tokio::{sync::mpsc, time::timeout};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::{
        domain::PluginId,
        runtime::{Run, RunEvents, StartSpec},
        store::{self, Address, tests::mk_plugin},
        supervisor,
    };

    /// A runtime that keeps something of these plugins, of which nothing can be removed the first time.
    struct Keeps {
        plugins: Vec<PluginId>,
        tries: Mutex<u32>,
        removed: mpsc::UnboundedSender<(PluginId, u32)>,
    }

    impl Runtime for Keeps {
        fn start(&self, _: StartSpec, _: RunEvents) -> Box<dyn Run> {
            unreachable!("nothing is started")
        }

        fn go_on_until(&self, _: Duration) {}

        fn kept(&self) -> BoxFuture<'_, std::io::Result<Vec<PluginId>>> {
            Box::pin(std::future::ready(Ok(self.plugins.clone())))
        }

        fn remove(&self, plugin: PluginId) -> BoxFuture<'static, std::io::Result<()>> {
            let mut tries = self.tries.lock().unwrap();
            *tries += 1;
            self.removed.send((plugin, *tries)).unwrap();
            let removed = if *tries == 1 { Err(std::io::ErrorKind::ResourceBusy.into()) } else { Ok(()) };
            Box::pin(std::future::ready(removed))
        }
    }

    #[tokio::test]
    async fn what_could_not_be_removed_is_removed_later_and_what_nobody_knows_never() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::file(&folder.path().join("plugd.db")).unwrap();
        let (opened, _) = store::open(store::Options { address, journal_keep: 10, audit_keep: 10 }).await.unwrap();
        let store = opened.start(Box::new(|_| {}));
        let [deleted, unknown] = [1, 2].map(|number| mk_plugin(number).id);
        store.install(mk_plugin(1)).await.unwrap();
        store.remove(deleted).await.unwrap();
        let (removed, mut removals) = mpsc::unbounded_channel();
        let runtime = Arc::new(Keeps { plugins: vec![unknown, deleted], tries: Mutex::default(), removed });
        let (projection, _supervisor) = supervisor::start(Vec::new(), 0);
        let _finishing =
            AbortOnDropHandle::new(tokio::spawn(finish(runtime, store, projection, Duration::from_millis(1))));
        for tries in 1..=2 {
            let removed = timeout(Duration::from_secs(60), removals.recv()).await;
            assert_eq!(removed, Ok(Some((deleted, tries))));
        }
    }
}
