//! What an operator decides about plugin processes.

use std::{io, path::PathBuf, time::Duration};

use crate::domain::policy::{Limits, ProcessPolicy, StopSignal, User, UserRange};

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

pub use crate::runtime::sandbox::Sandbox;

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
    pub(super) fn for_plugin(&self, policy: &ProcessPolicy) -> io::Result<Self> {
        Ok(Self {
            sandbox: self.sandbox.for_plugin(policy)?,
            limits: policy.limits.or(self.limits),
            stop_signal: policy.stop_signal.unwrap_or(self.stop_signal),
            ..self.clone()
        })
    }
}
