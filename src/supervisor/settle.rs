//! When a change of what is desired has taken effect: a comparison of numbers, never a guess from a state's name.

use crate::domain::{ActiveState, CAUSE, Digest, Error, Plugin, Reason, Result, State};

/// What will be waited for, in view of the record that was committed.
pub(super) type Want = fn(&Plugin) -> Wanted;

/// What a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    active: ActiveState,
    active_generation: u64,
    generation: u64,
    serial: u64,
    package: Option<Digest>,
}

impl Wanted {
    /// What is desired of this plugin now.
    pub(super) fn of(plugin: &Plugin) -> Self {
        let desired = &plugin.desired;
        Self {
            active: desired.active,
            active_generation: desired.active_generation,
            generation: desired.generation,
            serial: plugin.reported.serial,
            package: None,
        }
    }

    /// The same, with this plugin's package and no other.
    pub(super) fn with_package_of(plugin: &Plugin) -> Self {
        Self { package: plugin.desired.package, ..Self::of(plugin) }
    }

    /// What came of it, if that is settled.
    pub(super) fn outcome(&self, plugin: &Plugin) -> Option<Result<()>> {
        if plugin.desired.active_generation != self.active_generation {
            return Some(Err(superseded(plugin)));
        }
        if self.package.is_some() && plugin.desired.package != self.package {
            return Some(Err(replaced(plugin)));
        }
        let reported = &plugin.reported;
        if reported.observed_generation < self.generation || reported.serial < self.serial {
            return None;
        }
        match (self.active, plugin.reported.state) {
            (ActiveState::Active, State::Active) | (ActiveState::Inactive, State::Inactive) => Some(Ok(())),
            (_, State::Error) => Some(Err(failed(plugin))),
            _ => None,
        }
    }
}

fn superseded(plugin: &Plugin) -> Error {
    let now = if plugin.desired.active.is_active() { "active" } else { "inactive" };
    Error::new(Reason::Superseded, format!("a later call made {now} the desired state"))
        .with("plugin_id", plugin.id)
        .with("generation", plugin.desired.generation)
}

/// Another package is there than the one that was waited for.
pub(super) fn replaced(plugin: &Plugin) -> Error {
    let message = "another package took the place of this one before it was settled: look at what is installed now";
    Error::new(Reason::Superseded, message).with("plugin_id", plugin.id)
}

fn failed(plugin: &Plugin) -> Error {
    let reported = &plugin.reported;
    let error = Error::new(reason(plugin), format!("the plugin failed: {}", reported.message))
        .with("plugin_id", plugin.id)
        .with("message", &reported.message);
    reported.details.iter().fold(error, |error, (key, value)| match value {
        serde_json::Value::String(text) => error.with(key, text),
        value => error.with(key, value),
    })
}

/// A package that is not there is not the plugin's own failure (CONTRACT 3.5).
fn reason(plugin: &Plugin) -> Reason {
    let is_missing = plugin.reported.details.get(CAUSE).is_some_and(|cause| cause == Reason::PackageNotFound.name());
    if is_missing { Reason::PackageNotFound } else { Reason::PluginFailed }
}

/// Not settled in time.
pub(super) fn not_settled(plugin: &Plugin) -> Error {
    let state = format!("{:?}", plugin.reported.state).to_lowercase();
    Error::new(Reason::NotSettled, format!("not settled in time; the plugin is {state}"))
        .with("plugin_id", plugin.id)
        .with("state", state)
}
