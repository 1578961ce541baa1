//! The inits of runs. One is kept that waits for its orders, so that a start need not wait until the keeper has made one.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
};
use tokio::{net::unix::pipe, time::timeout};

use super::{Inner, launch::late};
use crate::{
    domain::{Failure, Stage},
    runtime::{
        StartSpec,
        keeper::{Init, protocol::Request},
        words,
    },
};

/// An init without orders, and what the processes of its run will print.
pub(super) struct Idle {
    pub(super) init: Init,
    pub(super) output: [pipe::Receiver; 2],
    /// Tells when something was mounted or unmounted since. Such an init sees what was there when it was made.
    mounts: Option<File>,
}

impl Idle {
    /// Whether it can be given orders: its keeper may have died meanwhile, and the host may look different.
    fn is_good(&self) -> bool {
        self.init.is_idle() && self.mounts.as_ref().is_some_and(|mounts| !have_changed(mounts))
    }
}

/// The init that is kept: of the kind that a run needs which is shut in, and only once there was such a run.
#[derive(Default)]
pub(super) struct Kept {
    idle: Mutex<Option<Idle>>,
    /// Held while one is made.
    making: Arc<tokio::sync::Mutex<()>>,
}

impl Kept {
    fn take(&self) -> Option<Idle> {
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.filter(Idle::is_good)
    }

    /// Whether there is one that can be given orders.
    pub(super) fn is_there(&self) -> bool {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Idle::is_good)
    }

    fn put(&self, idle: Idle) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(idle);
    }
}

/// The init of a run.
///
/// # Errors
/// There is no keeper that answers, or the host allows no more processes or descriptors.
pub(super) async fn idle(inner: Arc<Inner>, spec: StartSpec) -> Result<Idle, Failure> {
    if inner.options.sandbox.is_off_for(&spec.policy.process) {
        return ask(&inner, Request::Plain, &spec.command).await;
    }
    match inner.kept.take() {
        Some(idle) => Ok(idle),
        None => ask(&inner, Request::Apart, &spec.command).await,
    }
}

/// Has one made in the background that the next run takes, if that is to be shut in as this one is. Where it can't be made, the
/// next start is told why it can't.
pub(super) fn keep_another(inner: Arc<Inner>, spec: &StartSpec) {
    let is_shut_in = !inner.options.sandbox.is_off_for(&spec.policy.process);
    if !is_shut_in || inner.kept.is_there() {
        return;
    }
    let Ok(making) = Arc::clone(&inner.kept.making).try_lock_owned() else { return };
    tokio::spawn(async move {
        match ask(&inner, Request::Apart, "").await {
            Ok(idle) => inner.kept.put(idle),
            Err(failure) => tracing::debug!(message = failure.message, "no init is kept for the next start"),
        }
        drop(making);
    });
}

/// Asks the keeper for an init, for the run of this command.
async fn ask(inner: &Inner, request: Request, command: &str) -> Result<Idle, Failure> {
    let limit = inner.options.spawn_timeout;
    // From before it is made: what is mounted in that moment counts as a change.
    let mounts = watch_mounts().ok();
    let cannot = |error: io::Error| Failure::new(Stage::Start, format!("cannot make a process: {}", words(&error)));
    let (stdout, out) = output_pipe().map_err(cannot)?;
    let (stderr, err) = output_pipe().map_err(cannot)?;
    let Some(inits) = &inner.inits else {
        return Err(Failure::new(Stage::Start, "this plugd runs no plugins").permanent());
    };
    let asked = timeout(limit, inits.init(request, [out, err])).await;
    let init = asked.map_err(|_| late(command, inits.obstacle().unwrap_or("no keeper answers"), limit))?;
    Ok(Idle { init: init.map_err(cannot)?, output: [stdout, stderr], mounts })
}

/// The end that plugd reads, and the one that processes write to.
fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

/// A file that tells when the mounts of this process, which its keeper shares, have changed.
fn watch_mounts() -> io::Result<File> {
    let mounts = rustix::fs::open("/proc/self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(mounts.into())
}

fn have_changed(mounts: &File) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut watched = [PollFd::new(mounts, PollFlags::PRI)];
    poll(&mut watched, Some(&now)).is_err() || watched[0].revents().intersects(PollFlags::PRI | PollFlags::ERR)
}
