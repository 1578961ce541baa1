//! Values as people read them.

use indicatif::BinaryBytes;
use maud::{Markup, html};

pub(super) use crate::api::words::{state_of, word};
use crate::{
    api::{
        self,
        v1::{ActiveState, Plugin, PluginMode, ReportedState},
        words,
    },
    domain::text::sanitize,
};

/// A point in time: to the second for everybody, "3 minutes ago" where scripts run.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Markup {
    let Some(time) = time.copied().and_then(api::time) else { return html! { span.soft { "–" } } };
    let exact = time.to_string();
    let words = time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(exact) title=(words) { (words) } }
}

/// A point in time that something waits for: it counts down where scripts run.
pub(super) fn due(time: Option<&prost_types::Timestamp>) -> Markup {
    let Some(time) = time.copied().and_then(api::time) else { return html! {} };
    html! { time datetime=(time) data-due { "at " (time.strftime("%H:%M:%S UTC").to_string()) } }
}

/// A state as a coloured word.
pub(super) fn state(state: ReportedState) -> Markup {
    let word = word(state.as_str_name());
    html! { span.pill.(word) { (word) } }
}

/// What a plugin does, and what it is to do where that is something else. What is on its way there needs no word.
pub(super) fn states(plugin: &Plugin) -> Markup {
    let (reported, desired) = (state_of(plugin), plugin.active_state());
    let is_off = matches!(reported, ReportedState::Inactive | ReportedState::Error);
    let differs = match desired {
        ActiveState::Active => is_off,
        ActiveState::Inactive => reported == ReportedState::Active,
        ActiveState::Unspecified => false,
    };
    html! {
        (state(reported))
        @if differs { small.desired { "should be " (word(desired.as_str_name())) } }
    }
}

/// A plugin without letters in what its author wrote that change how others are read. Its name is left: see [`name`].
pub(super) fn cleaned(mut plugin: Plugin) -> Plugin {
    plugin.version = sanitize(&plugin.version);
    plugin.description = sanitize(&plugin.description);
    if let Some(status) = &mut plugin.status {
        status.last_protocol_fault = status.last_protocol_fault.as_deref().map(sanitize);
        if let Some(failure) = &mut status.failure {
            failure.message = sanitize(&failure.message);
        }
    }
    plugin
}

pub(super) fn is_external(plugin: &Plugin) -> bool {
    plugin.mode() == PluginMode::External
}

/// A plugin's name as a page shows it: letters that change how others are read are left out.
pub(super) fn name(plugin: &Plugin) -> String {
    let name = sanitize(&plugin.name);
    if name.trim().is_empty() { plugin.id.clone() } else { name }
}

/// A plugin's own id, as a page shows it.
pub(super) fn manifest_id(plugin: &Plugin) -> String {
    words::manifest_id(plugin).map(|id| sanitize(&id)).unwrap_or_default()
}

/// A count of bytes.
pub(super) fn bytes(count: u64) -> String {
    BinaryBytes(count).to_string()
}
