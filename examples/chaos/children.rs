//! Processes that do not want to go.

use std::{
    env,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::setsid;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::common::log;

/// A process that no test has ended by then ends by itself.
const OUTSTAY: Duration = Duration::from_secs(300);

/// Starts this program once more, as a child that shares stdout and stays.
///
/// # Errors
/// The child cannot be started.
pub(crate) fn spawn(is_new_session: bool) -> anyhow::Result<()> {
    let mut child = Command::new(env::current_exe()?);
    child.arg("linger").stdin(Stdio::null());
    if is_new_session {
        child.arg("--new-session");
    }
    // Nobody waits for it: that is the point.
    let id = child.spawn()?.id();
    log(format_args!("grandchild {id}"));
    Ok(())
}

/// The life of such a child.
///
/// # Errors
/// No new session, or no signal handlers.
pub(crate) async fn linger(is_new_session: bool) -> anyhow::Result<()> {
    if is_new_session {
        setsid()?;
    }
    ignore_signals()?;
    log("lingering");
    outstay().await;
    Ok(())
}

/// Ignores SIGINT and SIGTERM, but says so.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) fn ignore_signals() -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => log("ignoring SIGINT"),
                _ = terminate.recv() => log("ignoring SIGTERM"),
            }
        }
    });
    Ok(())
}

/// Stays.
pub(crate) async fn outstay() {
    let _ = timeout(OUTSTAY, std::future::pending::<()>()).await;
}
