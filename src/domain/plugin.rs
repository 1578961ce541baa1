//! One plugin as the store remembers it: what is desired of it, what is reported of it, and one change of either.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Confinement, Digest, Failure, Placement, PluginId, RunId, Secret, manifest::Manifest, package::digest_of,
    policy::Policy,
};

/// A place in the order of installation.
pub type Place = (u64, PluginId);

/// One installation of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    pub id: PluginId,
    /// When it was installed, by a clock that may have been set back since.
    pub created: Timestamp,
    /// The revision that installed it: lists are in this order.
    pub installed: u64,
    /// What is desired: changed by calls only.
    pub desired: Desired,
    /// What is reported: changed by the plugin's supervisor only.
    pub reported: Reported,
    /// Revision of its last change of either kind.
    pub revision: u64,
    /// The request that installed it, if that had a name. No two plugins have one of the same name.
    pub request: Option<Request>,
}

/// A request to install a plugin that its caller gave a name, so that a retry gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name, which no other request has.
    pub id: String,
    /// The digest of what was to be installed: a package, or a manifest.
    pub asked: Digest,
}

impl Request {
    /// A request of this name to register a plugin with this manifest.
    #[must_use]
    pub fn for_manifest(id: String, manifest: &Manifest) -> Self {
        Self { id, asked: digest_of(Value::Object(manifest.to_map()).to_string().as_bytes()) }
    }
}

impl Plugin {
    /// Its place in lists: by installation. The id only tells apart what no store has given a revision yet.
    pub fn place(&self) -> Place {
        (self.installed, self.id)
    }

    /// Whether the present package was stable once, or was gone back to: then it stays if it fails. This compares with
    /// what is committed: it holds also where plugd ended before it could report anything of a new package.
    pub fn is_proven(&self) -> bool {
        self.desired.is_proven(&self.reported)
    }

    /// Whether plugd died while it started the plugin. A plugd that was stopped leaves no such record, and neither does a plugin
    /// that had connected, had failed, or waited for its next try.
    pub fn was_in_its_start(&self) -> bool {
        let is_starting = matches!(self.reported.state, State::Starting | State::Connecting);
        let is_observed = self.reported.observed_generation == self.desired.generation;
        self.desired.mode == Mode::Supervised && self.desired.active.is_active() && is_starting && is_observed
    }

    /// Whether the present package failed and has not been stable since: then it is never gone back to.
    pub fn has_failed(&self) -> bool {
        self.desired.package.is_some() && self.desired.package == self.reported.failed_package
    }
}

/// What is desired of a plugin. Each change takes the next `generation`.
#[derive(Clone, PartialEq)]
pub struct Desired {
    /// Who runs it; never changes.
    pub mode: Mode,
    pub manifest: Arc<Manifest>,
    /// Its package; supervised plugins only.
    pub package: Option<Digest>,
    /// The package before this one, to go back to.
    pub previous_package: Option<PreviousPackage>,
    /// The package was gone back to. Should it fail, that is not taken back: the two would take turns for ever.
    pub is_restored: bool,
    /// What the operator decided about this plugin alone.
    pub policy: Arc<Policy>,
    pub configuration: Arc<Map<String, Value>>,
    /// Counts the changes of the configuration; 0 when never set.
    pub configuration_revision: u64,
    pub active: ActiveState,
    /// The generation that last changed `active`: a waiter that asked for an earlier one has been superseded.
    pub active_generation: u64,
    /// The generation that last asked for a new run, whatever else changed; 0 when none ever did.
    pub restart_generation: u64,
    /// Counts the changes of anything here.
    pub generation: u64,
    /// The static token of an external plugin.
    pub token: Option<Secret>,
    /// Counts the tokens it has had; a connection of an earlier epoch is refused.
    pub token_epoch: u64,
}

/// For logs: neither the token nor the configuration nor the policy, which hold secrets, nor a manifest, which may be large.
impl fmt::Debug for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desired")
            .field("generation", &self.generation)
            .field("active", &self.active)
            .field("active_generation", &self.active_generation)
            .field("restart_generation", &self.restart_generation)
            .field("package", &self.package)
            .field("previous_package", &self.previous_digest())
            .field("is_restored", &self.is_restored)
            .field("configuration_revision", &self.configuration_revision)
            .field("token_epoch", &self.token_epoch)
            .finish_non_exhaustive()
    }
}

impl Desired {
    /// What is desired of a new plugin, before it has a package, a configuration or a token.
    pub fn new(mode: Mode, manifest: Arc<Manifest>, active: ActiveState) -> Self {
        Self {
            mode,
            manifest,
            package: None,
            previous_package: None,
            is_restored: false,
            policy: Arc::default(),
            configuration: Arc::default(),
            configuration_revision: 0,
            active,
            active_generation: 1,
            restart_generation: 0,
            generation: 1,
            token: None,
            token_epoch: 0,
        }
    }

    pub fn is_proven(&self, reported: &Reported) -> bool {
        let was_stable = self.package.is_some() && self.package == reported.proven_package;
        was_stable || self.is_restored
    }

    pub fn previous_digest(&self) -> Option<Digest> {
        self.previous_package.as_ref().map(|previous| previous.digest)
    }
}

/// A package with its manifest, so that going back to it needs nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviousPackage {
    pub digest: Digest,
    pub manifest: Arc<Manifest>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    pub state: State,
    pub since: Timestamp,
    /// The generation of what is desired that this answers to.
    pub observed_generation: u64,
    /// What went wrong; none when nothing did. Boxed, as is the placement: many records are kept, and most have neither.
    pub failure: Option<Box<Failure>>,
    /// The state that the plugin left, while it is stopping.
    pub stopping_from: Option<State>,
    /// Restarts since it was last stable, the one under way included. Survives a restart of plugd.
    pub restarts: u32,
    /// Deaths of plugd in a row at which this plugin was in its start: not connected yet. See
    /// [`Plugin::was_in_its_start`].
    pub deaths_at_start: u32,
    pub run: Option<RunId>,
    pub pid: Option<u32>,
    /// What holds the run.
    pub confinement: Option<Confinement>,
    /// Where the run is, if not on plugd's host.
    pub placement: Option<Box<Placement>>,
    /// It missed a proof of life.
    pub is_degraded: bool,
    /// Events not delivered because it was too slow.
    pub events_dropped: u64,
    /// What it sent that the protocol does not have.
    pub protocol_faults: u64,
    /// The last of that, for its author; empty when there was none.
    pub last_protocol_fault: String,
    /// The package that was stable last. An update that never is goes back to the package before it.
    pub proven_package: Option<Digest>,
    /// The package that failed last and has not been stable since.
    pub failed_package: Option<Digest>,
    /// Counts the reports of this plugin. A reader that has seen a number waits for a record with at least that one.
    pub serial: u64,
}

impl Reported {
    /// What is reported of a plugin of which nothing has ever run.
    pub fn inactive(since: Timestamp, generation: u64) -> Self {
        Self {
            state: State::Inactive,
            since,
            observed_generation: generation,
            failure: None,
            stopping_from: None,
            restarts: 0,
            deaths_at_start: 0,
            run: None,
            pid: None,
            confinement: None,
            placement: None,
            is_degraded: false,
            events_dropped: 0,
            protocol_faults: 0,
            last_protocol_fault: String::new(),
            proven_package: None,
            failed_package: None,
            serial: 0,
        }
    }

    /// What went wrong, for a person; empty when nothing did.
    pub fn message(&self) -> &str {
        self.failure.as_ref().map_or("", |failure| &failure.message)
    }
}

/// Who runs a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// plugd runs it from a package.
    Supervised,
    /// Somebody else runs it; it dials in.
    External,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveState {
    /// It should run, and be restarted when it crashes.
    Active,
    /// Nothing of it should run.
    Inactive,
}

impl ActiveState {
    pub fn is_active(self) -> bool {
        self == Self::Active
    }
}

/// What a plugin really does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing of it runs.
    Inactive,
    /// Its package is laid out and its process is being created.
    Starting,
    /// Its process runs, or somebody else should run it, and it has not connected yet.
    Connecting,
    /// It is connected and has given proof of life.
    Active,
    /// It crashed and waits for its next try.
    Restarting,
    /// It was told to stop and something of it still runs.
    Stopping,
    /// It failed and is not tried again until somebody asks.
    Error,
}

/// One committed change of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Its place in the one order of all changes; the first is 1, and there are no gaps.
    pub revision: u64,
    pub time: Timestamp,
    /// The state reported before it; none when the plugin is new.
    pub before: Option<State>,
    /// The plugin is gone after it.
    pub is_removal: bool,
    /// The plugin after it; the last known one for a removal.
    pub plugin: Arc<Plugin>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lifecycle::tests::mk_plugin;

    #[test]
    fn what_is_desired_is_shown_in_logs_without_its_secrets() {
        let secret = Some("sdprt_secret".to_owned().into());
        let configuration = Arc::new(Map::from_iter([("key".to_owned(), Value::from("sdprt_secret"))]));
        let desired =
            Desired { token: secret, configuration, ..mk_plugin(Mode::External, ActiveState::Active).desired };
        assert!(!format!("{desired:?}").contains("secret"), "{desired:?}");
    }
}
