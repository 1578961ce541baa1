//! Reading plugins as the gRPC API has them.

use plugd::api::v1::{Failure, Plugin, PluginStatus, ReportedState};

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
    plugin.message()
}

/// What went wrong with it.
pub(crate) fn failure_of(plugin: &Plugin) -> &Failure {
    status_of(plugin).failure.as_ref().unwrap()
}
