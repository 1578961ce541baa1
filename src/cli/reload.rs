//! SIGHUP: the settings are read again, and what can be changed while plugd serves is.

use tokio::{sync::mpsc, task::spawn_blocking};

use super::{failure::Failure, signals, telemetry::Filter};

/// Reads the settings with `load` at each SIGHUP. The log's filter is changed here; the settings are handed on to what takes
/// the rest.
///
/// # Errors
/// The signal can't be listened to.
pub(super) fn on_hangup<C: Send + 'static>(
    load: impl Fn() -> Result<C, Failure> + Clone + Send + 'static,
    log: fn(&C) -> &str,
    mut filter: Filter,
) -> Result<mpsc::Receiver<C>, Failure> {
    let mut hangups = signals::hangups()?;
    let (renewed, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: reading the settings again");
            // A file may be on a disk that hangs.
            let Ok(loaded) = spawn_blocking(load.clone()).await else { return };
            match loaded {
                Ok(config) => {
                    filter.renew(log(&config));
                    if renewed.send(config).await.is_err() {
                        return;
                    }
                }
                Err(failure) => tracing::error!("{}; nothing is changed", failure.what),
            }
        }
    });
    Ok(receiver)
}
