//! Room for descriptors. plugd holds a few for each plugin, and the usual soft limit of 1024 would end at a few hundred.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that plugd was started with: what its plugins get.
static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many files as the host permits. Its plugins keep what it was started with: programs are
/// confused by a limit that is higher than they expect. To be called at boot.
pub fn raise_open_files() {
    let limit = INHERITED.get_or_init(|| getrlimit(Resource::Nofile));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..*limit }) {
        tracing::warn!(%error, soft = limit.current, hard = limit.maximum, "cannot raise the limit of open files");
    }
}

/// The limit before it was raised, if it was.
pub(super) fn inherited() -> Option<Rlimit> {
    INHERITED.get().copied()
}
