//! Ctrl-C, the signals of a service manager, and of a terminal that is closed.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;

/// Exit code of a process that a second signal ends at once: 128 and the number of SIGINT.
const IMPATIENT: i32 = 130;

/// A token that SIGINT or SIGTERM cancels. A second one ends the process at once. Neither is missed because whoever started
/// the process ignores it.
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

/// SIGHUP: to a server, whose terminal may be long gone, it says that its settings have changed.
///
/// # Errors
/// The signal can't be listened to.
pub(super) fn hangups() -> Result<Signal, Failure> {
    Ok(signal(SignalKind::hangup())?)
}

/// Cancels the token when the terminal is closed: nobody sees any more what is printed there.
///
/// # Errors
/// The signal can't be listened to.
pub(super) fn stop_with_terminal(stop: &CancellationToken) -> Result<(), Failure> {
    let (mut hangups, stop) = (hangups()?, stop.clone());
    tokio::spawn(async move {
        hangups.recv().await;
        stop.cancel();
    });
    Ok(())
}
