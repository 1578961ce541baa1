//! The domain's types as messages of the API and back.

use std::time::Duration;

use jiff::Timestamp;
use prost_types::{Struct, Value};
use serde_json::{Map, Value as Json};

use crate::{
    api::{json, v1},
    domain::{self, ActiveState, Error, Mode, PluginId, Result, State, access::Role, json::require_shallow},
};

/// What a change looks like through a watcher's filter.
pub use v1::plugin_event::Kind as EventKind;

/// A plugin; the token of an external one only if it is to be revealed.
#[must_use]
pub fn plugin(plugin: &domain::Plugin, reveal_token: bool) -> v1::Plugin {
    let desired = &plugin.desired;
    let manifest = desired.manifest.to_map();
    let text = |key| manifest.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    v1::Plugin {
        id: plugin.id.to_string(),
        name: text("name"),
        description: text("description"),
        version: text("version"),
        mode: mode(desired.mode).into(),
        manifest: Some(checked_struct(&manifest)),
        desired_state: active_state(desired.active).into(),
        generation: desired.generation,
        status: Some(status(&plugin.reported)),
        create_time: Some(timestamp(plugin.created)),
        package_digest: digest(desired.package),
        revision: plugin.revision,
        token: desired.token.clone().filter(|_| reveal_token).unwrap_or_default(),
        previous_package_digest: digest(desired.previous_digest()),
        configuration_revision: desired.configuration_revision,
    }
}

/// What is reported of a plugin.
#[must_use]
pub fn status(reported: &domain::Reported) -> v1::PluginStatus {
    v1::PluginStatus {
        state: state(reported.state).into(),
        since: Some(timestamp(reported.since)),
        observed_generation: reported.observed_generation,
        message: reported.message.clone(),
        details: Some(checked_struct(&reported.details)),
        restart_count: reported.restarts,
        pid: reported.pid.unwrap_or_default(),
        run_id: reported.run.map(|run| run.to_string()).unwrap_or_default(),
        degraded: reported.is_degraded,
        events_dropped: reported.events_dropped,
        protocol_faults: reported.protocol_faults,
        last_protocol_fault: reported.last_protocol_fault.clone(),
    }
}

/// A commit as an event of that kind; the token of an external plugin only if it is to be revealed.
#[must_use]
pub fn event(commit: &domain::Commit, kind: EventKind, reveal_token: bool) -> v1::PluginEvent {
    v1::PluginEvent {
        kind: kind.into(),
        revision: commit.revision,
        time: Some(timestamp(commit.time)),
        plugin_id: commit.plugin.id.to_string(),
        plugin: Some(plugin(&commit.plugin, reveal_token)),
    }
}

/// An access token without its secret.
#[must_use]
pub fn token(token: &domain::access::AccessToken) -> v1::AccessToken {
    v1::AccessToken {
        id: token.id.to_string(),
        name: token.name.clone(),
        role: role(token.role).into(),
        create_time: Some(timestamp(token.created)),
        expire_time: token.expires.map(timestamp),
    }
}

/// A point in time.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (second, nanosecond) = (time.as_second(), time.subsec_nanosecond());
    // The nanoseconds of a time before 1970 are negative in one and count forward in the other.
    let borrow = i64::from(nanosecond < 0);
    prost_types::Timestamp { seconds: second - borrow, nanos: nanosecond + 1_000_000_000 * i32::from(nanosecond < 0) }
}

/// The text form of a digest; empty if there is none.
#[must_use]
pub fn digest(digest: Option<domain::Digest>) -> String {
    digest.map(|digest| digest.to_string()).unwrap_or_default()
}

/// An object of which it was checked when it came that it can be carried exactly. Should it not be, it is told to plugd's
/// log, and the reader sees none.
#[must_use]
pub fn checked_struct(object: &Map<String, Json>) -> Struct {
    json::to_struct(object).unwrap_or_else(|error| {
        tracing::error!(%error, "an object that can't be carried was let in");
        Struct::default()
    })
}

/// A value; see [`checked_struct`].
#[must_use]
pub fn checked_value(value: &Json) -> Value {
    json::to_value(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a value that can't be carried was let in");
        Value::default()
    })
}

/// An object in a request.
///
/// # Errors
/// `INVALID_ARGUMENT` about the number in this field that JSON can't say, or the value that is nested too deep.
pub fn object(field: &str, object: &Struct) -> Result<Map<String, Json>> {
    let object = json::read_struct(object).map_err(|inexact| {
        let inexact = inexact.within(field);
        let description = inexact.description();
        Error::field(inexact.path, description)
    })?;
    require_shallow(field, &object)?;
    Ok(object)
}

/// The id of a plugin in a request.
///
/// # Errors
/// `PLUGIN_NOT_FOUND` if it is not an id (CONTRACT 1.5).
pub fn plugin_id(text: &str) -> Result<PluginId> {
    PluginId::from_path(text).map_err(|_| Error::plugin_not_found(text))
}

/// A length of time in a request.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if it is negative or out of range.
pub fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration> {
    Duration::try_from(duration).map_err(|_| Error::field(field, "must be a length of time that is not negative"))
}

/// Who runs a plugin.
#[must_use]
pub fn mode(mode: Mode) -> v1::PluginMode {
    match mode {
        Mode::Supervised => v1::PluginMode::Supervised,
        Mode::External => v1::PluginMode::External,
    }
}

/// The mode that a filter asks for; none if it asks for none.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if there is no such mode.
pub fn mode_filter(field: &str, number: i32) -> Result<Option<Mode>> {
    match v1::PluginMode::try_from(number) {
        Ok(v1::PluginMode::Unspecified) => Ok(None),
        Ok(v1::PluginMode::Supervised) => Ok(Some(Mode::Supervised)),
        Ok(v1::PluginMode::External) => Ok(Some(Mode::External)),
        Err(_) => Err(no_such(field, number)),
    }
}

/// Whether a plugin should run.
#[must_use]
pub fn active_state(state: ActiveState) -> v1::ActiveState {
    match state {
        ActiveState::Active => v1::ActiveState::Active,
        ActiveState::Inactive => v1::ActiveState::Inactive,
    }
}

/// Whether a request wants a plugin to run.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if it does not say.
pub fn desired_state(field: &str, number: i32) -> Result<ActiveState> {
    match v1::ActiveState::try_from(number) {
        Ok(v1::ActiveState::Active) => Ok(ActiveState::Active),
        Ok(v1::ActiveState::Inactive) => Ok(ActiveState::Inactive),
        Ok(v1::ActiveState::Unspecified) => Err(unspecified(field)),
        Err(_) => Err(no_such(field, number)),
    }
}

/// What a plugin really does.
#[must_use]
pub fn state(state: State) -> v1::ReportedState {
    match state {
        State::Inactive => v1::ReportedState::Inactive,
        State::Starting => v1::ReportedState::Starting,
        State::Connecting => v1::ReportedState::Connecting,
        State::Active => v1::ReportedState::Active,
        State::Restarting => v1::ReportedState::Restarting,
        State::Stopping => v1::ReportedState::Stopping,
        State::Error => v1::ReportedState::Error,
    }
}

/// The states that a filter asks for.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if one does not exist or is not given.
pub fn states(field: &str, numbers: &[i32]) -> Result<Vec<State>> {
    let at = |index| format!("{field}[{index}]");
    numbers.iter().enumerate().map(|(index, number)| reported_state(&at(index), *number)).collect()
}

fn reported_state(field: &str, number: i32) -> Result<State> {
    match v1::ReportedState::try_from(number) {
        Ok(v1::ReportedState::Inactive) => Ok(State::Inactive),
        Ok(v1::ReportedState::Starting) => Ok(State::Starting),
        Ok(v1::ReportedState::Connecting) => Ok(State::Connecting),
        Ok(v1::ReportedState::Active) => Ok(State::Active),
        Ok(v1::ReportedState::Restarting) => Ok(State::Restarting),
        Ok(v1::ReportedState::Stopping) => Ok(State::Stopping),
        Ok(v1::ReportedState::Error) => Ok(State::Error),
        Ok(v1::ReportedState::Unspecified) => Err(unspecified(field)),
        Err(_) => Err(no_such(field, number)),
    }
}

/// What a token is good for.
#[must_use]
pub fn role(role: Role) -> v1::Role {
    match role {
        Role::Admin => v1::Role::Admin,
        Role::Viewer => v1::Role::Viewer,
        Role::Host => v1::Role::Host,
    }
}

/// The role that a request gives a token.
///
/// # Errors
/// `INVALID_ARGUMENT` about this field if it gives none.
pub fn asked_role(field: &str, number: i32) -> Result<Role> {
    match v1::Role::try_from(number) {
        Ok(v1::Role::Admin) => Ok(Role::Admin),
        Ok(v1::Role::Viewer) => Ok(Role::Viewer),
        Ok(v1::Role::Host) => Ok(Role::Host),
        Ok(v1::Role::Unspecified) => Err(unspecified(field)),
        Err(_) => Err(no_such(field, number)),
    }
}

fn unspecified(field: &str) -> Error {
    Error::field(field, "must be given")
}

fn no_such(field: &str, number: i32) -> Error {
    Error::field(field, format!("{number} is not one of its values"))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
