//! Plugins as processes of this host. Linux 5.11 or later.

mod environment;
mod inits;
mod launch;
mod open_files;
mod options;
mod prepare;
mod program;
mod run;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{net::unix::pipe, sync::Semaphore, task::spawn_blocking, time::timeout};

use self::prepare::PluginLocks;
use super::{
    PackageFiles, Run, RunEvents, Runtime, StartSpec,
    cgroup::{Cgroups, Controllers},
    install::Installations,
    keeper::{Inits, Keeper},
    usage::Usages,
    words,
};
use crate::domain::{self, Digest, PluginId, RunId, Usage};

pub use open_files::raise_open_files;
pub use options::{Options, Sandbox};

/// Gets a package by its digest.
pub type FetchPackage = Arc<dyn Fn(Digest) -> BoxFuture<'static, domain::Result<Box<dyn PackageFiles>>> + Send + Sync>;

/// Takes the read ends of the pipes that the processes of a run write to: stdout and stderr. Both must be drained to their
/// ends.
pub type Capture = Arc<dyn Fn(&StartSpec, [pipe::Receiver; 2]) + Send + Sync>;

/// Runs plugins as processes. Dropping it, and the runs that it started, kills everything that it started.
pub struct ProcessRuntime {
    inner: Arc<Inner>,
    /// Held by each run, too. Nobody else keeps it: a thread that a disk has stopped would hold its lock.
    keeper: Option<Arc<Keeper>>,
}

/// What all runs share.
struct Inner {
    options: Options,
    fetch: FetchPackage,
    capture: Capture,
    installations: Installations,
    /// None where this plugd runs no plugins.
    inits: Option<Inits>,
    kept: inits::Kept,
    /// Where runs get groups of their own, if this host has that.
    cgroups: Option<Cgroups>,
    /// Who may change an install directory.
    folders: PluginLocks,
    /// Held by a run until nothing of it is left.
    runs: PluginLocks,
    turns: Arc<Semaphore>,
    usages: Usages,
}

impl ProcessRuntime {
    /// A runtime with these options, and its keeper if it has one. To have groups for its runs this process may move into
    /// one of its own.
    ///
    /// # Errors
    /// The keeper's lock can't be had, or its thread can't be started.
    pub fn new(options: Options, fetch: FetchPackage, capture: Capture) -> io::Result<Self> {
        if options.keeper.is_none() {
            return Self::with_groups(options, fetch, capture, None);
        }
        // Before there is a keeper, so that the keeper is where this process goes.
        let cgroups = Cgroups::find(&options.lock);
        let cgroups = cgroups.inspect_err(|error| tracing::info!("runs have no control groups: {}", words(error))).ok();
        let holds = cgroups.as_ref().map_or_else(Controllers::default, Cgroups::controllers);
        holds.weaker(options.limits).for_each(|words| tracing::warn!("{words}"));
        Self::with_groups(options, fetch, capture, cgroups)
    }

    fn with_groups(
        options: Options,
        fetch: FetchPackage,
        capture: Capture,
        cgroups: Option<Cgroups>,
    ) -> io::Result<Self> {
        // A relative folder would mean another one to a process that works in its own.
        let root = std::path::absolute(&options.plugin_dir)?;
        let keeper = options.keeper.clone().map(|program| Keeper::start(program, &options.lock)).transpose()?;
        let inner = Inner {
            installations: Installations::new(root),
            inits: keeper.as_ref().map(Keeper::inits),
            kept: inits::Kept::default(),
            cgroups,
            folders: PluginLocks::default(),
            runs: PluginLocks::default(),
            turns: Arc::new(Semaphore::new(options.max_concurrent_starts.max(1))),
            usages: Usages::default(),
            options,
            fetch,
            capture,
        };
        Ok(Self { inner: Arc::new(inner), keeper: keeper.map(Arc::new) })
    }

    /// Takes apart what was being deleted when plugd ended, in the background. Must be called within a tokio runtime.
    pub fn empty_trash(&self) {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || {
            if let Err(error) = inner.installations.empty_trash() {
                tracing::warn!(%error, "some of what was deleted is still in the trash");
            }
        });
    }

    /// What a run uses of the host; none before it was sampled, and once nothing of it is left.
    pub fn usage(&self, run: RunId) -> Option<Usage> {
        self.inner.usages.of(run)
    }

    /// Waits until nothing lives of what it started, for this long at the most. Answers whether that is so.
    pub async fn ended(&self, limit: Duration) -> bool {
        timeout(limit, self.inner.runs.free()).await.is_ok()
    }

    /// Why no run can be begun now, in words; none where one can.
    pub fn obstacle(&self) -> Option<&'static str> {
        self.inner.inits.as_ref()?.obstacle()
    }

    /// Removes the groups that earlier plugds left, in the background, once nothing lives that they started: nothing is started
    /// before that either. To be called before anything is. Must be called within a tokio runtime.
    pub fn remove_leftovers(&self) {
        let (Some(inits), Some(cgroups)) = (self.inner.inits.clone(), &self.inner.cgroups) else { return };
        let leftovers = cgroups.leftovers();
        tokio::spawn(async move {
            if inits.unlocked().await {
                spawn_blocking(move || leftovers.remove());
            }
        });
    }
}

impl Runtime for ProcessRuntime {
    /// Must be called within a tokio runtime.
    fn start(&self, spec: StartSpec, events: RunEvents) -> Box<dyn Run> {
        Box::new(run::start((Arc::clone(&self.inner), self.keeper.clone()), spec, events))
    }

    /// Once told, the keeper kills everything when the time passes without a later one, also while this process is frozen, and
    /// nothing is started before there is one; that is done [`super::KILL_MARGIN`] later.
    fn go_on_until(&self, time: Duration) {
        if let Some(keeper) = &self.keeper {
            keeper.go_on_until(time);
        }
    }

    /// Those that have an install directory.
    fn kept(&self) -> BoxFuture<'_, io::Result<Vec<PluginId>>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { spawn_blocking(move || inner.installations.plugins()).await.map_err(io::Error::other)? })
    }

    fn remove(&self, plugin: PluginId) -> BoxFuture<'static, io::Result<()>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let lock = inner.folders.lock(plugin).await;
            spawn_blocking(move || {
                let removed = inner.installations.remove(plugin);
                drop(lock);
                removed
            })
            .await?
        })
    }
}
