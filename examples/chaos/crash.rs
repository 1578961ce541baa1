//! Crashes.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::Path,
    process::{abort, exit},
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};
use tokio::time::{Instant, sleep_until};

use crate::{common::log, mode::CrashSignal};

/// Crashes when `after` has passed.
pub(crate) fn later(after: Duration, signal: Option<CrashSignal>) {
    let deadline = Instant::now() + after;
    tokio::spawn(async move {
        sleep_until(deadline).await;
        log("crashing");
        match signal {
            Some(signal) => die_of(signal),
            None => exit(1),
        }
    });
}

/// Crashes unless `marker`, a file in the working directory, tells that it has done so before.
///
/// # Errors
/// The file cannot be made.
pub(crate) fn once(marker: &Path) -> anyhow::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(marker) {
        Ok(_) => {
            log("crashing this once");
            exit(1)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn die_of(signal: CrashSignal) -> ! {
    let signal = match signal {
        CrashSignal::Kill => Signal::KILL,
        CrashSignal::Segv => Signal::SEGV,
        CrashSignal::Abrt => abort(),
    };
    // The standard library catches the first SIGSEGV, to tell a stack overflow; the next one kills.
    loop {
        let _ = kill_process(getpid(), signal);
    }
}
