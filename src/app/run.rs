//! How the parts run beside each other, and end one after the other.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::boot::System;
use crate::{logs::Logs, store::Store, supervisor::Handle};

/// How long plugins that other programs run may take to close their connections, and to read what was sent before.
const CLOSING: Duration = Duration::from_secs(2);

/// How long what plugins printed last may take to be written once they have ended.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

/// How long a start may take to find out what every plugin does.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How much longer than a plugin may take to stop the supervisor is waited for.
const MARGIN: Duration = Duration::from_millis(500);

impl System {
    /// Supervises until it drains, and once it is known what every plugin does, serves beside that. Returns when both have ended
    /// and no plugin runs; the store is still to be closed.
    pub(super) async fn run(self, serving: impl Future<Output = ()>, draining: CancellationToken) {
        let Self { connections, handle, supervisor, parts, store, has_plugins, logs, hooks, .. } = self;
        let serving = async {
            if has_plugins {
                catch_up(&handle, &store).await;
            }
            serving.await;
        };
        let supervising = async {
            if has_plugins {
                supervisor.run(parts, draining.clone(), MARGIN).await;
            }
        };
        tokio::join!(serving, supervising, yield_to_another(store.healthy(), draining.clone()));
        wait_for_plugins(&connections, &logs).await;
        hooks.ended().await;
    }
}

/// Waits until the store knows what every plugin does. Before that, what is reported is what was when plugd was last here.
/// Plugins that dial meanwhile wait in the queue.
async fn catch_up(handle: &Handle, store: &Store) {
    let current = async {
        handle.caught_up().await;
        store.flush().await
    };
    if !matches!(timeout(CATCH_UP, current).await, Ok(Ok(()))) {
        tracing::warn!("serving before every plugin's state is known to the store");
    }
}

/// Ends everything when the store ends by itself: another plugd has the database, and runs the plugins of it.
async fn yield_to_another(mut healthy: watch::Receiver<bool>, draining: CancellationToken) {
    tokio::select! {
        _ = async { while healthy.changed().await.is_ok() {} } => draining.cancel(),
        () = draining.cancelled() => {}
    }
}

/// Waits until plugins have closed their connections and all that they printed is written.
async fn wait_for_plugins(connections: &TaskTracker, logs: &Logs) {
    connections.close();
    if timeout(CLOSING, connections.wait()).await.is_err() {
        tracing::warn!(count = connections.len(), "plugins have not closed their connections in time");
    }
    if timeout(LAST_OUTPUT, logs.drained()).await.is_err() {
        tracing::warn!("a process that left its group still prints; what it prints is no longer kept");
    }
}
