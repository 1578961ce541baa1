//! Runs of plugins: laying out a package, creating a process, watching it and all that it starts until nothing is left.
//!
//! ```text
//! supervisor ─start─► Runtime ─► install ─► keeper ─► init ─► processes
//!            ◄─RunEvent─────────────────────────────────┘
//! ```

pub mod cgroup;
mod install;
pub mod keeper;
pub mod kubernetes;
pub mod process;
pub mod sandbox;
mod usage;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::domain::{
    Digest, PluginId, RunEvent, RunId, Secret,
    policy::{OWN_VARIABLES, Policy},
};

pub use install::{FileSink, PackageFiles, lay_out};
pub use keeper::KILL_MARGIN;

/// What to start.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// The plugin.
    pub plugin: PluginId,
    /// The run; the token in `url` begins with it.
    pub run: RunId,
    /// The program: a bare name is looked up on the host's `PATH`, one with `/` is relative to the install directory.
    pub command: String,
    /// Its arguments, handed over as they are.
    pub args: Vec<String>,
    /// What the operator decided about the plugin.
    pub policy: Arc<Policy>,
    /// How long ending an earlier run, fetching and laying out the package may take, once it is its turn.
    pub prepare_timeout: Duration,
    /// How long it may take to end once it is asked to.
    pub grace: Duration,
    /// The package that must be in the install directory.
    pub package: Digest,
    /// The URL that the plugin dials, with the token of its run.
    pub url: Secret,
    /// What the run is a part of, as W3C Trace Context writes it, if that is known.
    pub traceparent: Option<String>,
}

impl StartSpec {
    /// The token in the URL; empty if there is none.
    pub fn token(&self) -> &str {
        token_in(self.url.expose())
    }

    /// The variables that tell the plugin of its run.
    pub fn own_variables(&self) -> impl Iterator<Item = (&str, String)> {
        let url = || Some(self.url.expose().to_owned());
        let values = [url(), url(), Some(self.plugin.to_string()), self.traceparent.clone()];
        OWN_VARIABLES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)))
    }
}

/// The token in a URL that a plugin dials; empty if there is none.
fn token_in(url: &str) -> &str {
    let (_, query) = url.split_once('?').unwrap_or_default();
    query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default()
}

/// Where the events of a run go: `Spawned` and `Exited` at the most, and one last event. Called from the runtime's tasks: it must not block.
pub type RunEvents = Box<dyn Fn(RunEvent) + Send + Sync>;

/// A run that an earlier plugd began and that goes on. Dropping it ends it, once plugd goes on without it.
pub struct EarlierRun {
    /// Of which plugin.
    pub plugin: PluginId,
    /// Its id.
    pub run: RunId,
    /// With which it dials.
    pub token: Secret,
    /// Nothing of it runs any longer: there is only to be heard how it ended.
    pub has_ended: bool,
    /// Goes on with it, which has so long for the rest of its start. What it has done by now is told, then what it does.
    pub take_over: Box<dyn FnOnce(RunEvents, Duration) -> Box<dyn Run> + Send>,
}

/// One run under way. Dropping it kills everything of the run, unless runs outlive plugd.
pub trait Run: Send + Sync {
    /// Sends the stop signal to everything of the run. Before the spawn it cancels the start; `GroupEmptied` follows.
    fn stop(&self);

    /// Kills everything of the run. Before the spawn it cancels the start; `GroupEmptied` follows.
    fn kill(&self);

    /// Ids of the run's processes that still live, as far as is known.
    fn pids(&self) -> Vec<u32>;
}

/// What the supervisor wants of a run. Only ever raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Run,
    Stop,
    Kill,
}

impl Wish {
    /// Tells a run. A repeated wish is carried out again: members may have joined.
    fn tell(self, wishes: &watch::Sender<Self>) {
        wishes.send_modify(|current| *current = self.max(*current));
    }
}

/// Starts runs and keeps the install directories.
pub trait Runtime: Send + Sync + 'static {
    /// Begins a run and returns at once. Exactly one last event follows, always.
    fn start(&self, spec: StartSpec, events: RunEvents) -> Box<dyn Run>;

    /// Lets what runs go on until this time since the host's boot (`boot_time::since_boot`), unless a later one was told: after
    /// that another plugd may run the same plugins. Where nothing is ever told, nothing changes. It does not wait.
    fn go_on_until(&self, time: Duration);

    /// Whether runs go on while there is no plugd.
    fn outlives_plugd(&self) -> bool {
        false
    }

    /// The runs that earlier plugds began, at most one a plugin. Asked once; nothing is started before it is known, which takes as long
    /// as it takes.
    fn earlier(&self) -> BoxFuture<'_, Vec<EarlierRun>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// The plugins of which it keeps anything while nothing of them runs.
    fn kept(&self) -> BoxFuture<'_, std::io::Result<Vec<PluginId>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Deletes what it keeps of a plugin of which nothing runs.
    fn remove(&self, plugin: PluginId) -> BoxFuture<'static, std::io::Result<()>>;
}

/// The words of an error without the number that the standard library appends.
pub fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
