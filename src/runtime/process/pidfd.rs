//! Waiting for the end of a process, ours or not, without polling.

use std::{future, io};

use rustix::fd::OwnedFd;
use tokio::io::{Interest, unix::AsyncFd};

use crate::runtime::process_table::Process;

/// A process whose end can be awaited.
#[derive(Debug)]
pub(in crate::runtime) struct Pidfd(AsyncFd<OwnedFd>);

impl Pidfd {
    /// Of exactly this process; `None` when it is gone.
    pub(in crate::runtime) fn of(process: &Process) -> io::Result<Option<Self>> {
        process.open()?.map(Self::new).transpose()
    }

    /// From its descriptor.
    #[allow(unsafe_code, reason = "the one way to register a descriptor; the safe one is deprecated")]
    pub(in crate::runtime) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, moved in here and never taken out or replaced while it is registered.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        registered.map(Self).map_err(io::Error::from)
    }

    /// Returns when the process has ended, all its threads included.
    pub(in crate::runtime) async fn ended(&self) {
        if let Err(error) = self.0.readable().await {
            // Only while the async runtime shuts down, which drops this task.
            tracing::debug!(%error, "a process can no longer be watched");
            future::pending().await
        }
    }
}
