//! Plugins as processes of this host. Linux 5.11 or later.

mod inits;
mod launch;
mod prepare;
mod program;
mod run;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::unix::pipe, sync::Semaphore, task::spawn_blocking, time::timeout};

use self::prepare::PluginLocks;
use super::{
    PackageFiles, Run, RunEvents, Runtime, StartSpec,
    cgroup::{Cgroups, Controllers, remove_leftovers},
    install::Installations,
    keeper::{Inits, Keeper},
    usage::Usages,
    words,
};
use crate::domain::{
    self, Digest, PluginId, RunId, Usage,
    policy::{Limits, ProcessPolicy, StopSignal, User, UserRange},
};

pub use super::sandbox::Sandbox;

/// The limit of open files that plugd was started with: what its plugins get.
static INHERITED_OPEN_FILES: OnceLock<Rlimit> = OnceLock::new();

/// How processes are started and stopped on this host.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of install directories.
    pub plugin_dir: PathBuf,
    /// The file that is locked while anything lives that was started here; one for each plugd.
    pub lock: PathBuf,
    /// Variables of the host that plugins get: exact names, or `PREFIX*`.
    pub env_allow: Vec<String>,
    /// The signal that asks a plugin to end.
    pub stop_signal: StopSignal,
    /// How long the host may take to find a program and to make a process of it.
    pub spawn_timeout: Duration,
    /// How many starts may be under way at once.
    pub max_concurrent_starts: usize,
    /// Limits of each plugin.
    pub limits: Limits,
    /// User and group that plugins run as and own their files as; plugd's own when absent. Needs privileges.
    pub user: Option<User>,
    /// Users of whom each plugin gets one for itself, in place of `user`. Needs privileges.
    pub uids: Option<UserRange>,
    /// What plugins can reach.
    pub sandbox: Sandbox,
    /// The program that is the keeper when its one argument says so: plugd's own. Nothing can be started when absent.
    pub keeper: Option<PathBuf>,
}

impl Options {
    /// The defaults for a plugd whose plugins are in this folder, and whose lock is this file.
    pub fn new(plugin_dir: PathBuf, lock: PathBuf) -> Self {
        Self {
            plugin_dir,
            lock,
            env_allow: ["PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR"].map(String::from).into(),
            stop_signal: StopSignal::default(),
            spawn_timeout: Duration::from_secs(30),
            max_concurrent_starts: 8,
            limits: Limits::default(),
            user: None,
            uids: None,
            sandbox: Sandbox::default(),
            keeper: None,
        }
    }

    /// The same for one plugin, of which the operator decided more. Who its user is is decided where its folder is prepared.
    ///
    /// # Errors
    /// A path that the plugin may use can't be found, or holds what must be hidden from it.
    fn for_plugin(&self, policy: &ProcessPolicy) -> io::Result<Self> {
        Ok(Self {
            sandbox: self.sandbox.for_plugin(policy)?,
            limits: policy.limits.or(self.limits),
            stop_signal: policy.stop_signal.unwrap_or(self.stop_signal),
            ..self.clone()
        })
    }
}

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
                spawn_blocking(move || remove_leftovers(leftovers));
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

/// Lets this process open as many files as the host permits: plugd holds a few for each plugin, and the usual soft limit of 1024
/// would end at a few hundred. Its plugins keep what it was started with: programs are confused by a limit that is higher than
/// they expect. To be called at boot.
pub fn raise_open_files() {
    let limit = INHERITED_OPEN_FILES.get_or_init(|| getrlimit(Resource::Nofile));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..*limit }) {
        tracing::warn!(%error, soft = limit.current, hard = limit.maximum, "cannot raise the limit of open files");
    }
}
