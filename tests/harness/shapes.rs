//! Reading plugins as the gRPC API has them.

use plugd::api::{
    json::from_struct,
    v1::{Plugin, PluginStatus, ReportedState},
};
use serde_json::Value;

/// What its supervisor reports of a plugin.
pub(crate) fn status_of(plugin: &Plugin) -> &PluginStatus {
    plugin.status.as_ref().unwrap()
}

/// Its reported state.
pub(crate) fn state_of(plugin: &Plugin) -> ReportedState {
    status_of(plugin).state()
}

/// What went wrong with it, in words.
pub(crate) fn message_of(plugin: &Plugin) -> &str {
    &status_of(plugin).message
}

/// One detail of what went wrong with it.
pub(crate) fn detail(plugin: &Plugin, key: &str) -> Value {
    let details = status_of(plugin).details.as_ref().map(from_struct).unwrap_or_default();
    details.get(key).cloned().unwrap_or_default()
}
