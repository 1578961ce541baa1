//! What the API's messages say, in words: for the command line and the console.

use prost_types::value::Kind;

use super::v1::{Hook, Node, Placement, Plugin, PluginStatus, ReportedState, Usage};

/// The word for the value of an enum, of its name in the API: "active" for `REPORTED_STATE_ACTIVE`.
#[must_use]
pub fn word(name: &str) -> String {
    name.rsplit('_').next().unwrap_or_default().to_lowercase()
}

/// All states that a plugin can be in.
pub fn states() -> impl Iterator<Item = ReportedState> {
    (1..).map_while(|number| ReportedState::try_from(number).ok())
}

/// The state for this word, as [`word`] gives it.
#[must_use]
pub fn state_named(name: &str) -> Option<ReportedState> {
    states().find(|state| word(state.as_str_name()) == name)
}

/// What a plugin does.
#[must_use]
pub fn state_of(plugin: &Plugin) -> ReportedState {
    plugin.status.as_ref().map_or(ReportedState::Unspecified, PluginStatus::state)
}

/// A plugin's own id, of its manifest.
#[must_use]
pub fn manifest_id(plugin: &Plugin) -> Option<String> {
    match plugin.manifest_struct().fields.remove("id")?.kind? {
        Kind::StringValue(id) => Some(id),
        _ => None,
    }
}

/// Where a run is: "plugd/plugd-d4k1… on a-host".
#[must_use]
pub fn placement(placement: &Placement) -> String {
    let host = placement.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    format!("{}{host}", placement.name)
}

/// What a node of a cluster does.
#[must_use]
pub fn node_role(node: &Node) -> String {
    match (node.is_present, node.term, node.revision) {
        (false, ..) => "not heard of".to_owned(),
        (true, Some(term), _) => format!("leads, term {term}"),
        (true, None, Some(_)) => "follows".to_owned(),
        (true, None, None) => "neither leads nor follows".to_owned(),
    }
}

/// How far a node of a cluster lags behind: "3 revisions, 2 s"; none where it leads, and where that is not known.
#[must_use]
pub fn node_lag(node: &Node) -> Option<String> {
    let seconds = node.lag.as_ref().filter(|_| node.is_present && node.term.is_none())?.seconds;
    Some(match node.behind_revisions {
        0 => format!("{seconds} s"),
        1 => format!("1 revision, {seconds} s"),
        count => format!("{count} revisions, {seconds} s"),
    })
}

/// How a webhook fares.
#[must_use]
pub fn hook_status(hook: &Hook) -> String {
    match (hook.enabled, hook.failure_count) {
        (false, _) => format!("disabled: {}", hook.last_error),
        (true, 0) if hook.last_attempt_time.is_none() => "nothing delivered yet".to_owned(),
        (true, 0) => "delivers".to_owned(),
        (true, 1) => format!("failed once: {}", hook.last_error),
        (true, times) => format!("failed {times} times: {}", hook.last_error),
    }
}

/// The share of one processor that a run uses: "12.5%"; none after the first sample.
#[must_use]
pub fn cpu(usage: &Usage) -> Option<String> {
    usage.cpu_millis.map(|millis| format!("{}.{}%", millis / 10, millis % 10))
}
