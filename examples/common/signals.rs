//! The signals that ask a plugin to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::log;

/// A token that is cancelled by SIGINT or SIGTERM.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => log("stopping: SIGINT"),
            _ = terminate.recv() => log("stopping: SIGTERM"),
        }
        stopped.cancel();
    });
    Ok(stop)
}
