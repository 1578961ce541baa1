//! Plugins as REST clients see them (CONTRACT 2).

use std::fmt::Write;

use jiff::Timestamp;
use prost_types::Struct;
use serde_json::{Map, Value, json};

use crate::api::{
    json::from_struct,
    v1::{ActiveState, ConfigurationField, Plugin, PluginMode, PluginStatus, ReportedState, configuration_field::Type},
};

/// Key of a stopping plugin's details with the state that it leaves.
const STOPPING_FROM: &str = "stopping_from";

/// One plugin. What plugd knows beyond the contract is under `plugd`, where no client takes it for something else.
pub(super) fn plugin(plugin: &Plugin) -> Value {
    let unreported = PluginStatus::default();
    let reported = plugin.status.as_ref().unwrap_or(&unreported);
    let mut view = json!({
        "id": plugin.id,
        "added_at": time(plugin.create_time.as_ref()),
        "name": plugin.name,
        "description": plugin.description,
        "version": plugin.version,
        "status": status(reported),
        "connection": connection(plugin),
        "plugd": extras(plugin, reported),
    });
    // Within the macro it would be copied, and manifests are large.
    view["manifest"] = object(plugin.manifest.as_ref());
    view
}

/// All of these, one after the other, as the text of a list. A tree of all of them would take many times its memory.
pub(super) fn push_plugins(list: &mut String, plugins: &[Plugin]) {
    for one in plugins {
        if !list.is_empty() {
            list.push(',');
        }
        // Writing to a string can't fail.
        let _ = write!(list, "{}", plugin(one));
    }
}

/// A protobuf struct as an object; none is an empty one.
pub(super) fn object(fields: Option<&Struct>) -> Value {
    Value::Object(fields.map(from_struct).unwrap_or_default())
}

/// A time as RFC 3339 writes it; none, or one out of range, is the epoch.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    time.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Clients tell the shapes apart by the keys that are there, so each state has its own and no other.
fn status(reported: &PluginStatus) -> Value {
    let since = time(reported.since.as_ref());
    let details = object(reported.details.as_ref());
    match reported.state() {
        ReportedState::Inactive | ReportedState::Unspecified => dated("inactive", since),
        ReportedState::Starting => dated("starting", since),
        ReportedState::Connecting => dated("connecting", since),
        ReportedState::Active => dated("active", since),
        ReportedState::Stopping => stopping(&details, since),
        ReportedState::Restarting => explained("restarting", reported, details),
        ReportedState::Error => explained("error", reported, details),
    }
}

/// A state with the time of its beginning, whose key is the state's own.
fn dated(state: &str, since: String) -> Value {
    let key = match state {
        "inactive" => "deactivated_at",
        "starting" => "starting_at",
        "connecting" => "connecting_at",
        _ => "activated_at",
    };
    json!({"active_state": state, key: since})
}

fn explained(state: &str, reported: &PluginStatus, details: Value) -> Value {
    json!({"active_state": state, "message": reported.message, "details": details})
}

/// Clients have no word for this state: it is the one that is being left, with a transition beside it.
fn stopping(details: &Value, since: String) -> Value {
    let from = details.get(STOPPING_FROM).and_then(Value::as_str);
    let from = from.filter(|from| matches!(*from, "starting" | "connecting")).unwrap_or("active");
    let mut status = dated(from, since);
    status["transition"] = json!("stopping");
    status
}

fn connection(plugin: &Plugin) -> Value {
    match plugin.mode() {
        PluginMode::External if plugin.token.is_empty() => json!({"mode": "external"}),
        PluginMode::External => json!({"mode": "external", "token": plugin.token}),
        PluginMode::Supervised | PluginMode::Unspecified => json!({"mode": "supervised"}),
    }
}

fn extras(plugin: &Plugin, reported: &PluginStatus) -> Value {
    let mut extras = json!({
        "desired_state": if plugin.desired_state() == ActiveState::Active { "active" } else { "inactive" },
        "generation": plugin.generation,
        "observed_generation": reported.observed_generation,
        "revision": plugin.revision,
        "configuration_revision": plugin.configuration_revision,
        "state": state_name(reported.state()),
        "since": time(reported.since.as_ref()),
        "restart_count": reported.restart_count,
        "degraded": reported.degraded,
        "events_dropped": reported.events_dropped,
    });
    if reported.pid != 0 {
        extras["pid"] = json!(reported.pid);
    }
    let texts = [
        ("run_id", &reported.run_id),
        ("package_digest", &plugin.package_digest),
        ("previous_package_digest", &plugin.previous_package_digest),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        extras[key] = json!(text);
    }
    extras
}

/// Names of the reported states, as filters and plugd's own keys have them.
pub(super) const STATES: [(&str, ReportedState); 7] = [
    ("inactive", ReportedState::Inactive),
    ("starting", ReportedState::Starting),
    ("connecting", ReportedState::Connecting),
    ("active", ReportedState::Active),
    ("restarting", ReportedState::Restarting),
    ("stopping", ReportedState::Stopping),
    ("error", ReportedState::Error),
];

fn state_name(state: ReportedState) -> &'static str {
    STATES.iter().find(|(_, known)| *known == state).map_or("inactive", |(name, _)| name)
}

/// One field of a configuration's schema.
pub(super) fn field(field: &ConfigurationField) -> Value {
    let kind = match field.r#type() {
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::String | Type::Unspecified => "string",
    };
    let mut view = Map::new();
    view.insert("type".to_owned(), json!(kind));
    view.insert("id".to_owned(), json!(field.id));
    view.insert("label".to_owned(), json!(field.label));
    view.insert("description".to_owned(), json!(field.description));
    if let Some(default) = &field.default {
        view.insert("default".to_owned(), crate::api::json::from_value(default));
    }
    Value::Object(view)
}
