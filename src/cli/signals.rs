//! Ctrl-C and the signal of a service manager.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;

/// Exit code of a process that a second signal ends at once: 128 and the number of SIGINT.
const IMPATIENT: i32 = 130;

/// A token that SIGINT or SIGTERM cancels. A second one ends the process at once.
///
/// # Errors
/// The signals can't be listened to.
pub(super) fn stop_token() -> Result<CancellationToken, Failure> {
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        next(&mut signals).await;
        stopped.cancel();
        next(&mut signals).await;
        std::process::exit(IMPATIENT);
    });
    Ok(stop)
}

async fn next((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
