//! The domain's types as messages of the API and back.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use prost::Message;
use prost_types::{Struct, Value};
use serde_json::{Map, Value as Json};
use tonic::Code;

use super::audit;
use crate::{
    api::{json, v1},
    domain::{
        self, ActiveState, Confinement, Error, Mode, PluginId, Result, SandboxLevel, Stage, State,
        access::Role,
        audit::{AuditEvent, Principal},
        configuration::FieldType,
        error::Kind,
        finding::{Outcome, Topic},
        json::require_shallow,
        policy::StopSignal,
    },
    logs::Stream,
    supervisor::ChangeKind,
};

/// A plugin without secrets.
pub(super) fn plugin(plugin: &domain::Plugin) -> v1::Plugin {
    let desired = &plugin.desired;
    let manifest = &desired.manifest;
    v1::Plugin {
        id: plugin.id.to_string(),
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        version: manifest.version.clone(),
        mode: v1::PluginMode::from(desired.mode).into(),
        manifest: manifest.encoded(|manifest| checked_struct(manifest).encode_to_vec()),
        active_state: v1::ActiveState::from(desired.active).into(),
        generation: desired.generation,
        status: Some(status(&plugin.reported)),
        create_time: Some(timestamp(plugin.created)),
        package_digest: desired.package.map(|digest| digest.to_string()),
        previous_package_digest: desired.previous_digest().map(|digest| digest.to_string()),
        configuration_revision: configuration_revision(desired),
        revision: plugin.revision,
        token: None,
    }
}

/// A plugin with its token, if it is an external one.
pub(super) fn plugin_in_full(source: &domain::Plugin) -> v1::Plugin {
    v1::Plugin { token: source.desired.token.as_ref().map(|token| token.expose().to_owned()), ..plugin(source) }
}

/// The revision of a plugin's configuration, if it was ever set.
pub(super) fn configuration_revision(desired: &domain::Desired) -> Option<u64> {
    Some(desired.configuration_revision).filter(|revision| *revision > 0)
}

/// What is reported of a plugin.
fn status(reported: &domain::Reported) -> v1::PluginStatus {
    v1::PluginStatus {
        state: v1::ReportedState::from(reported.state).into(),
        state_time: Some(timestamp(reported.since)),
        observed_generation: reported.observed_generation,
        failure: reported.failure.as_deref().map(failure),
        restart_count: reported.restarts,
        pid: reported.pid,
        run_id: reported.run.map(|run| run.to_string()),
        degraded: reported.is_degraded,
        events_dropped: reported.events_dropped,
        protocol_faults: reported.protocol_faults,
        last_protocol_fault: Some(reported.last_protocol_fault.clone()).filter(|fault| !fault.is_empty()),
        stopping_from: reported.stopping_from.map(|left| v1::ReportedState::from(left).into()),
        confinement: reported.confinement.map(|held| v1::Confinement::from(held).into()),
        usage: None,
        restart_time: None,
        placement: reported.placement.as_deref().map(placement),
    }
}

/// A change, without what only its reader knows: of which kind it is to them, and their cursor.
pub(super) fn event(commit: &domain::Commit) -> v1::PluginEvent {
    v1::PluginEvent {
        revision: commit.revision,
        commit_time: Some(timestamp(commit.time)),
        plugin_id: commit.plugin.id.to_string(),
        plugin: Some(plugin(&commit.plugin)),
        state_before: commit.before.map(|before| v1::ReportedState::from(before).into()),
        ..v1::PluginEvent::default()
    }
}

/// What a run uses of the host.
pub(super) fn usage(usage: domain::Usage) -> v1::Usage {
    let sample = usage.sample;
    v1::Usage {
        sample_time: Some(timestamp(sample.time)),
        memory_bytes: sample.memory_bytes,
        cpu_time: sample.cpu_time.try_into().ok(),
        cpu_millis: usage.cpu_millis,
        processes: sample.processes,
        open_files: sample.open_files,
        memory_history: usage.memory_history.into(),
    }
}

fn failure(failure: &domain::Failure) -> v1::Failure {
    v1::Failure {
        stage: v1::failure::Stage::from(failure.stage).into(),
        message: failure.message.clone(),
        exit_code: failure.exit_code,
        signal: failure.signal,
        out_of_memory: failure.out_of_memory,
        survivors: failure.survivors.clone(),
        going_back_to: failure.going_back_to.map(|digest| digest.to_string()),
        placement: failure.placement.as_deref().map(placement),
    }
}

fn placement(placement: &domain::Placement) -> v1::Placement {
    let domain::Placement { provider, name, host } = placement.clone();
    v1::Placement { provider, name, host }
}

/// An access token without its secret.
pub(super) fn token(token: &domain::access::AccessToken) -> v1::AccessToken {
    v1::AccessToken {
        id: token.id.to_string(),
        name: token.name.clone(),
        role: v1::Role::from(token.role).into(),
        create_time: Some(timestamp(token.created)),
        expire_time: token.expires.map(timestamp),
    }
}

/// An event of the audit trail.
pub(super) fn audit_event(event: AuditEvent) -> v1::AuditEvent {
    let Principal { token, name, role } = event.principal;
    let principal = v1::audit_event::Principal { token_id: token.to_string(), name, role: v1::Role::from(role).into() };
    v1::AuditEvent {
        id: event.id,
        end_time: Some(timestamp(event.time)),
        principal: Some(principal),
        address: event.address.map(|address| address.to_string()).unwrap_or_default(),
        method: event.method,
        plugin_id: event.plugin.map(|id| id.to_string()),
        token_id: event.token.map(|id| id.to_string()),
        hook_id: event.hook.map(|id| id.to_string()),
        code: event.code,
        reason: event.reason.unwrap_or_default(),
        trace_id: event.trace_id,
    }
}

/// A point in time.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    SystemTime::from(time).into()
}

/// An object of which it was checked when it came that it can be carried exactly. Should it not be, it is told to plugd's
/// log, and the reader sees none.
pub(super) fn checked_struct(object: &Map<String, Json>) -> Struct {
    json::to_struct(object).unwrap_or_else(|error| {
        tracing::error!(%error, "an object that can't be carried was let in");
        Struct::default()
    })
}

/// A value; see [`checked_struct`].
pub(super) fn checked_value(value: &Json) -> Value {
    json::to_value(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a value that can't be carried was let in");
        Value::default()
    })
}

/// An object in a request.
///
/// # Errors
/// `INVALID_ARGUMENT` about the number in this field that JSON can't say, or the value that is nested too deep.
pub(super) fn object(field: &str, object: &Struct) -> Result<Map<String, Json>> {
    let object = json::read_struct(object).map_err(|inexact| {
        let inexact = inexact.within(field);
        let description = inexact.description();
        Error::field(inexact.path, description)
    })?;
    require_shallow(field, &object)?;
    Ok(object)
}

/// The id of the plugin that a request is about.
///
/// # Errors
/// `PLUGIN_NOT_FOUND` if it is not an id (CONTRACT 1.5).
pub(super) fn plugin_id(text: &str) -> Result<PluginId> {
    let id = PluginId::from_path(text).map_err(|_| Error::plugin_not_found(text))?;
    audit::about_plugin(id);
    Ok(id)
}

/// A length of time in a request.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if it is negative or out of range.
pub(super) fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration> {
    Duration::try_from(duration).map_err(|_| Error::field(field, "must be a length of time that is not negative"))
}

/// An enumeration that the API has too, with the same names.
pub(super) trait Named: Sized {
    /// The value that a request asks for; none if it asks for none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` about this field if there is no such value.
    fn asked(field: &str, number: i32) -> Result<Option<Self>>;
}

/// Makes theirs of ours, which have the same names.
macro_rules! shown_as {
    ($($ours:ident = $theirs:ty: $($name:ident)+;)+) => {$(
        impl From<$ours> for $theirs {
            fn from(value: $ours) -> Self {
                match value {
                    $($ours::$name => Self::$name,)+
                }
            }
        }
    )+};
}

shown_as! {
    Stage = v1::failure::Stage: Start Connect Link Exit Stop;
    Topic = v1::finding::Topic: Host Settings Protections;
    Outcome = v1::finding::Outcome: Ok Warning Failure;
    FieldType = v1::configuration_field::Type: String Number Boolean;
    ChangeKind = v1::plugin_event::Kind: Added Changed Removed;
    Kind = Code: InvalidArgument NotFound AlreadyExists FailedPrecondition Aborted OutOfRange DeadlineExceeded
        Unavailable ResourceExhausted Unauthenticated PermissionDenied Internal;
}

/// The same both ways.
macro_rules! same_names {
    ($($ours:ident = $theirs:ident: $($name:ident)+;)+) => {$(
        shown_as! { $ours = v1::$theirs: $($name)+; }

        impl Named for $ours {
            fn asked(field: &str, number: i32) -> Result<Option<Self>> {
                match v1::$theirs::try_from(number) {
                    Ok(v1::$theirs::Unspecified) => Ok(None),
                    $(Ok(v1::$theirs::$name) => Ok(Some(Self::$name)),)+
                    Err(_) => Err(no_such(field, number)),
                }
            }
        }
    )+};
}

same_names! {
    Mode = PluginMode: Supervised External;
    ActiveState = ActiveState: Active Inactive;
    State = ReportedState: Inactive Starting Connecting Active Restarting Stopping Error;
    Role = Role: Admin Viewer Host Link;
    Stream = LogStream: Stdout Stderr;
    SandboxLevel = SandboxLevel: Off Protect Strict;
    StopSignal = StopSignal: Sigint Sigterm Sigquit Sighup Sigusr1 Sigusr2 Sigkill;
    Confinement = Confinement: Off ProtectFilesOnly Protect StrictFilesOnly Strict;
}

/// The value that a request has to ask for.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if it asks for none, or there is no such value.
pub(super) fn required<T: Named>(field: &str, number: i32) -> Result<T> {
    T::asked(field, number)?.ok_or_else(|| Error::field(field, "must be given"))
}

/// The states that a filter asks for.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if one does not exist or is not given.
pub(super) fn states(field: &str, numbers: &[i32]) -> Result<Vec<State>> {
    let at = |(index, number): (usize, &i32)| required(&format!("{field}[{index}]"), *number);
    numbers.iter().enumerate().map(at).collect()
}

pub(super) fn no_such(field: &str, number: i32) -> Error {
    Error::field(field, format!("{number} is not one of its values"))
}

#[cfg(test)]
mod tests;
