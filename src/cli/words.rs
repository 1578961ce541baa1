//! The API's messages as JSON and as words. The JSON is stable: scripts read it.

use prost_types::{Struct, Timestamp};
use serde_json::{Map, Value, json};

use super::ui::{Style, sanitize};
use crate::api::{
    json::from_struct,
    v1::{self, AccessToken, ActiveState, Plugin, PluginMode, PluginStatus, ReportedState, Role},
};

/// A plugin as JSON.
pub(super) fn plugin(plugin: &Plugin) -> Value {
    let mut object = json!({
        "id": plugin.id,
        "name": plugin.name,
        "description": plugin.description,
        "version": plugin.version,
        "mode": mode(plugin.mode()),
        "manifest": object(plugin.manifest.as_ref()),
        "active_state": desired(plugin.active_state()),
        "generation": plugin.generation,
        "status": status(plugin.status.as_ref().unwrap_or(&PluginStatus::default())),
        "created": time(plugin.create_time.as_ref()),
        "revision": plugin.revision,
        "configuration_revision": plugin.configuration_revision,
    });
    set_if_any(&mut object, "package_digest", plugin.package_digest());
    set_if_any(&mut object, "previous_package_digest", plugin.previous_package_digest());
    set_if_any(&mut object, "token", plugin.token());
    object
}

fn status(status: &PluginStatus) -> Value {
    json!({
        "state": state(status.state()),
        "state_time": time(status.state_time.as_ref()),
        "observed_generation": status.observed_generation,
        "failure": status.failure.as_ref().map(failure),
        "restart_count": status.restart_count,
        "pid": status.pid,
        "run_id": status.run_id,
        "degraded": status.degraded,
        "events_dropped": status.events_dropped,
        "protocol_faults": status.protocol_faults,
        "last_protocol_fault": status.last_protocol_fault,
    })
}

fn failure(failure: &v1::Failure) -> Value {
    json!({
        "stage": failure.stage().as_str_name().trim_start_matches("STAGE_").to_lowercase(),
        "message": failure.message,
        "exit_code": failure.exit_code,
        "signal": failure.signal,
        "out_of_memory": failure.out_of_memory,
        "survivors": failure.survivors,
        "going_back_to": failure.going_back_to,
    })
}

/// A token as JSON, without its secret.
pub(super) fn token(token: &AccessToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": role(token.role()),
        "created": time(token.create_time.as_ref()),
        "expires": time(token.expire_time.as_ref()),
    })
}

/// An object as JSON; an unset one is empty.
pub(super) fn object(fields: Option<&Struct>) -> Map<String, Value> {
    fields.map(from_struct).unwrap_or_default()
}

/// A time as RFC 3339 writes it.
pub(super) fn time(time: Option<&Timestamp>) -> Option<String> {
    let time = time?;
    jiff::Timestamp::new(time.seconds, time.nanos).ok().map(|time| time.to_string())
}

/// A time for a person: RFC 3339 to the second, or a hyphen.
pub(super) fn short_time(time: Option<&Timestamp>) -> String {
    let short = time.and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    short.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

fn set_if_any(object: &mut Value, key: &str, text: &str) {
    if !text.is_empty() {
        object[key] = text.into();
    }
}

/// The state that a plugin reports.
pub(super) fn state_of(plugin: &Plugin) -> ReportedState {
    plugin.status.as_ref().map_or(ReportedState::Unspecified, PluginStatus::state)
}

/// A version for a person, who could take it for a count if it stood alone.
pub(super) fn version(version: &str) -> String {
    if version.is_empty() { "no version".to_owned() } else { format!("version {}", sanitize(version)) }
}

/// The word for a reported state.
pub(super) fn state(state: ReportedState) -> &'static str {
    match state {
        ReportedState::Unspecified => "unknown",
        ReportedState::Inactive => "inactive",
        ReportedState::Starting => "starting",
        ReportedState::Connecting => "connecting",
        ReportedState::Active => "active",
        ReportedState::Restarting => "restarting",
        ReportedState::Stopping => "stopping",
        ReportedState::Error => "error",
    }
}

/// The colour of a reported state.
pub(super) fn style(state: ReportedState) -> Style {
    match state {
        ReportedState::Active => Style::Green,
        ReportedState::Error => Style::Red,
        ReportedState::Inactive | ReportedState::Unspecified => Style::Dim,
        _ => Style::Yellow,
    }
}

/// The word for who runs a plugin.
pub(super) fn mode(mode: PluginMode) -> &'static str {
    match mode {
        PluginMode::Unspecified => "unknown",
        PluginMode::Supervised => "supervised",
        PluginMode::External => "external",
    }
}

/// The word for a desired state.
pub(super) fn desired(state: ActiveState) -> &'static str {
    match state {
        ActiveState::Unspecified => "unknown",
        ActiveState::Active => "active",
        ActiveState::Inactive => "inactive",
    }
}

/// The word for a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Admin => "admin",
        Role::Viewer => "viewer",
        Role::Host => "host",
    }
}

/// The id in a plugin's manifest.
pub(super) fn manifest_id(plugin: &Plugin) -> Option<&str> {
    match plugin.manifest.as_ref()?.fields.get("id")?.kind.as_ref()? {
        prost_types::value::Kind::StringValue(id) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
