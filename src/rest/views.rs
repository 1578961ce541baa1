//! Plugins as REST clients see them (CONTRACT 2). The OpenAPI document has its schemas from here.

use jiff::Timestamp;
use prost_types::Struct;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::schemas::{DesiredState, PluginManifest, PluginState};
use crate::api::{
    self, json,
    v1::{self, ActiveState, PluginMode, PluginStatus as Reported, ReportedState, failure::Stage},
    words::word,
};

/// One plugin.
#[derive(Serialize, ToSchema)]
pub(super) struct Plugin {
    /// The installation's id, which is not the manifest's.
    #[schema(pattern = "^[0-9a-v]{20}$")]
    id: String,
    added_at: Timestamp,
    name: String,
    description: String,
    version: String,
    status: PluginStatus,
    connection: PluginConnection,
    #[schema(value_type = PluginManifest)]
    manifest: json::Document,
    plugd: PluginExtras,
}

/// All plugins.
#[derive(Serialize, ToSchema)]
pub(super) struct PluginList {
    pub(super) plugins: Vec<Plugin>,
}

/// What a plugin does. Each state has its own keys and no other, because clients tell them apart by these.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "active_state", mapping(
    ("inactive" = "#/components/schemas/PluginInactive"),
    ("starting" = "#/components/schemas/PluginStarting"),
    ("connecting" = "#/components/schemas/PluginConnecting"),
    ("active" = "#/components/schemas/PluginActive"),
    ("error" = "#/components/schemas/PluginError"),
    ("restarting" = "#/components/schemas/PluginRestarting"),
)))]
pub(super) enum PluginStatus {
    Inactive(PluginInactive),
    Starting(PluginStarting),
    Connecting(PluginConnecting),
    Active(PluginActive),
    Error(PluginError),
    Restarting(PluginRestarting),
}

/// Nothing of the plugin runs.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginInactive {
    active_state: &'static str,
    deactivated_at: Timestamp,
}

/// The plugin's process is being started.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginStarting {
    active_state: &'static str,
    starting_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transition: Option<PluginTransition>,
}

/// The plugin is expected to connect.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginConnecting {
    active_state: &'static str,
    connecting_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transition: Option<PluginTransition>,
}

/// The plugin is connected.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginActive {
    active_state: &'static str,
    activated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transition: Option<PluginTransition>,
}

/// The plugin failed and is not started again.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginError {
    active_state: &'static str,
    message: String,
    details: PluginFailure,
}

/// The plugin failed and will be started again.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginRestarting {
    active_state: &'static str,
    message: String,
    details: PluginFailure,
}

/// What is known of a failure (CONTRACT 8.3).
#[derive(Serialize, ToSchema)]
pub(super) struct PluginFailure {
    /// What runs plugins: `local`, or `kubernetes`.
    runtime_provider: String,
    /// Where in a run it failed: `start`, `connect`, `link`, `exit` or `stop`.
    stage: String,
    error: String,
    /// -1 if the process ended by a signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    signal: Option<i32>,
    /// Processes that can't be killed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pids: Vec<u32>,
    /// The package that plugd goes back to because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    going_back_to: Option<String>,
}

/// A plugin that is being stopped shows the state that it leaves until nothing of it runs any more.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PluginTransition {
    Stopping,
}

/// How a plugin is connected.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "mode", mapping(
    ("supervised" = "#/components/schemas/SupervisedConnection"),
    ("external" = "#/components/schemas/ExternalConnection"),
)))]
pub(super) enum PluginConnection {
    Supervised(SupervisedConnection),
    External(ExternalConnection),
}

/// plugd runs the plugin.
#[derive(Serialize, ToSchema)]
pub(super) struct SupervisedConnection {
    mode: &'static str,
}

/// Somebody else runs the plugin, which connects with this token. Only who may change plugins sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct ExternalConnection {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
}

/// What plugd knows of a plugin beyond the contract, where no client takes it for something else.
#[derive(Serialize, ToSchema)]
pub(super) struct PluginExtras {
    #[schema(value_type = DesiredState)]
    desired_state: &'static str,
    generation: u64,
    observed_generation: u64,
    revision: u64,
    configuration_revision: u64,
    #[schema(value_type = PluginState)]
    state: String,
    since: Timestamp,
    restart_count: u32,
    degraded: bool,
    events_dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    package_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous_package_digest: Option<String>,
}

/// The new token of an external plugin.
#[derive(Serialize, ToSchema)]
pub(super) struct PluginToken {
    pub(super) token: String,
}

/// A protobuf struct as an object; none is an empty one.
pub(super) fn object(fields: Option<&Struct>) -> Map<String, Value> {
    fields.map(json::from_struct).unwrap_or_default()
}

/// A time; none, or one out of range, is the epoch.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Timestamp {
    time.copied().and_then(api::time).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl From<v1::Plugin> for Plugin {
    fn from(plugin: v1::Plugin) -> Self {
        let unreported = Reported::default();
        let reported = plugin.status.as_ref().unwrap_or(&unreported);
        Self {
            added_at: time(plugin.create_time.as_ref()),
            status: PluginStatus::from(reported),
            connection: PluginConnection::of(&plugin),
            manifest: json::Document(plugin.manifest_struct()),
            plugd: PluginExtras::of(&plugin, reported),
            id: plugin.id,
            name: plugin.name,
            description: plugin.description,
            version: plugin.version,
        }
    }
}

impl From<&Reported> for PluginStatus {
    fn from(reported: &Reported) -> Self {
        match reported.state() {
            // Clients have no word for this state: it is the one that is being left, with a transition beside it.
            ReportedState::Stopping => Self::of(reported.stopping_from(), reported, Some(PluginTransition::Stopping)),
            state => Self::of(state, reported, None),
        }
    }
}

impl PluginStatus {
    fn of(state: ReportedState, reported: &Reported, transition: Option<PluginTransition>) -> Self {
        let since = time(reported.state_time.as_ref());
        let failure = reported.failure.clone().unwrap_or_default();
        let (message, details) = (failure.message.clone(), PluginFailure::from(failure));
        match state {
            ReportedState::Starting => {
                Self::Starting(PluginStarting { active_state: "starting", starting_at: since, transition })
            }
            ReportedState::Connecting => {
                Self::Connecting(PluginConnecting { active_state: "connecting", connecting_at: since, transition })
            }
            ReportedState::Restarting if transition.is_none() => {
                Self::Restarting(PluginRestarting { active_state: "restarting", message, details })
            }
            ReportedState::Error if transition.is_none() => {
                Self::Error(PluginError { active_state: "error", message, details })
            }
            ReportedState::Inactive | ReportedState::Unspecified if transition.is_none() => {
                Self::Inactive(PluginInactive { active_state: "inactive", deactivated_at: since })
            }
            _ => Self::Active(PluginActive { active_state: "active", activated_at: since, transition }),
        }
    }
}

impl From<v1::Failure> for PluginFailure {
    fn from(failure: v1::Failure) -> Self {
        Self {
            stage: match failure.stage() {
                Stage::Unspecified => "unknown".to_owned(),
                stage => word(stage.as_str_name()),
            },
            runtime_provider: failure.placement.map_or_else(|| "local".to_owned(), |placement| placement.provider),
            exit_code: failure.exit_code.or(failure.signal.map(|_| -1)),
            signal: failure.signal,
            pids: failure.survivors,
            going_back_to: failure.going_back_to,
            error: failure.message,
        }
    }
}

impl PluginConnection {
    fn of(plugin: &v1::Plugin) -> Self {
        match plugin.mode() {
            PluginMode::External => {
                Self::External(ExternalConnection { mode: "external", token: plugin.token.clone() })
            }
            PluginMode::Supervised | PluginMode::Unspecified => {
                Self::Supervised(SupervisedConnection { mode: "supervised" })
            }
        }
    }
}

impl PluginExtras {
    fn of(plugin: &v1::Plugin, reported: &Reported) -> Self {
        Self {
            desired_state: if plugin.active_state() == ActiveState::Active { "active" } else { "inactive" },
            generation: plugin.generation,
            observed_generation: reported.observed_generation,
            revision: plugin.revision,
            configuration_revision: plugin.configuration_revision(),
            state: word(reported.state().as_str_name()),
            since: time(reported.state_time.as_ref()),
            restart_count: reported.restart_count,
            degraded: reported.degraded,
            events_dropped: reported.events_dropped,
            pid: reported.pid,
            run_id: reported.run_id.clone(),
            package_digest: plugin.package_digest.clone(),
            previous_package_digest: plugin.previous_package_digest.clone(),
        }
    }
}
