//! The bus: messages between plugins and the application that they extend.
//!
//! ```text
//! application ─publish─► Events ─queue─► plugin        plugin ─call─► Bridge ─► get_config (plugd itself)
//! application ─call────────────────────► plugin                          └────► Hosts ─► application
//! ```

mod events;
mod hosts;
#[cfg(test)]
pub(crate) mod tests;

use std::{sync::Arc, time::Duration};

pub use events::Events;
pub use hosts::{Bridge, Call, GET_CONFIG, HostCall, HostEvent, HostId, Hosts, unserved};
use serde_json::{Map, Value};

use crate::{
    domain::{Error, PluginId, Reason, Result, json},
    link::CallError,
    supervisor::Projection,
    telemetry::trace::Parent,
};

/// How long a plugin's answer to a call is waited for unless the caller says otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that a caller may wait for a plugin's answer; the Go SDK's own limit (CONTRACT 10.5).
pub const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(600);

/// Most bytes that a plugin's result takes on the way to a caller.
const MAX_RESULT: usize = json::MAX_MESSAGE - 1024;

/// Most characters in the name of a method.
const MAX_METHOD: usize = 128;

/// The methods of plugins that are plugd's own to call, and what does instead.
const OWN_METHODS: [(&str, &str); 3] = [
    ("configure", "UpdateConfiguration (`plugd config set`) sets a configuration and stores what the plugin accepted"),
    ("event", "PublishEvent (`plugd publish`) hands out events"),
    ("ping", "plugd asks by itself whether a plugin lives, and its status says what came of that"),
];

/// Calls one method of one connected plugin. The call is a part of `parent`.
///
/// # Errors
/// `INVALID_ARGUMENT` for a method that only plugd calls, `PLUGIN_NOT_FOUND`, `PLUGIN_NOT_CONNECTED`, `PLUGIN_CALL_FAILED` with the plugin's code and message,
/// `PLUGIN_CALL_TIMED_OUT`, `TOO_BUSY`.
pub async fn call(
    projection: &Arc<Projection>,
    plugin: PluginId,
    (method, params): (&str, Map<String, Value>),
    timeout: Duration,
    parent: Option<Parent>,
) -> Result<Map<String, Value>> {
    check_method(method)?;
    let slot = projection.slot(plugin)?;
    let session = slot.session().ok_or_else(|| call_error(&CallError::NotConnected).with("plugin_id", plugin))?;
    let answer = slot.call(&session, (method, params), timeout.min(MAX_CALL_TIMEOUT), parent).await;
    answer.and_then(check_result).map_err(|error| call_error(&error).with("plugin_id", plugin).with("method", method))
}

/// What plugd calls by itself changes what it stores and reports, so nobody else calls that. A name is kept
/// until the call is answered.
fn check_method(method: &str) -> Result<()> {
    if method.chars().count() > MAX_METHOD {
        return Err(Error::field("method", format!("has more than {MAX_METHOD} characters")));
    }
    let own = OWN_METHODS.iter().find(|(name, _)| *name == method);
    own.map_or(Ok(()), |(name, instead)| {
        Err(Error::field("method", format!("{name:?} is called by plugd alone: {instead}")))
    })
}

/// A result that no client could read is no answer.
fn check_result(result: Map<String, Value>) -> Result<Map<String, Value>, CallError> {
    json::require_carried("result", &result).map_err(CallError::Undecodable)?;
    let bytes = json::size_of(&result);
    if bytes > MAX_RESULT {
        let message = format!("it takes {bytes} bytes on the way to the caller, which takes {MAX_RESULT}");
        return Err(CallError::Undecodable(message));
    }
    Ok(result)
}

/// What a caller is told when its call of a plugin came to nothing.
pub fn call_error(error: &CallError) -> Error {
    let reason = match error {
        CallError::NotConnected => Reason::PluginNotConnected,
        CallError::TimedOut(_) => Reason::PluginCallTimedOut,
        CallError::Refused(_) | CallError::Undecodable(_) | CallError::Lost(_) => Reason::PluginCallFailed,
        CallError::QueueFull => Reason::TooBusy,
        CallError::TooLarge { .. } => Reason::TooLarge,
    };
    let told = Error::new(reason, error.to_string());
    match error {
        CallError::Refused(refused) => told.with("code", refused.code).with("message", &refused.message),
        _ => told,
    }
}
