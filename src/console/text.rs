//! Values as people read them.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    api::v1::{ActiveState, Plugin, PluginMode, ReportedState},
    domain::text::sanitize,
};

/// The word for the value of an enum, of its name in the API: "active" for `REPORTED_STATE_ACTIVE`.
pub(super) fn word(name: &str) -> String {
    name.rsplit('_').next().unwrap_or_default().to_lowercase()
}

/// A count of bytes, to three digits.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = count as f64;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || size >= 99.95 { 0 } else { 1 };
    format!("{size:.digits$} {}", UNITS[unit])
}

/// A point in time: to the second for everybody, "3 minutes ago" where scripts run.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Markup {
    let Some(time) = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()) else {
        return html! { span.soft { "–" } };
    };
    let exact = time.to_string();
    let words = time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(exact) title=(words) { (words) } }
}

/// A point in time that something waits for: it counts down where scripts run.
pub(super) fn due(time: Option<&prost_types::Timestamp>) -> Markup {
    let Some(time) = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()) else { return html! {} };
    html! { time datetime=(time) data-due { "at " (time.strftime("%H:%M:%S UTC").to_string()) } }
}

pub(super) fn state_of(plugin: &Plugin) -> ReportedState {
    plugin.status.as_ref().map_or(ReportedState::Unspecified, |status| status.state())
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

pub(super) fn manifest_id(plugin: &Plugin) -> String {
    let id = plugin.manifest_struct().fields.remove("id").and_then(|id| id.kind);
    match id {
        Some(prost_types::value::Kind::StringValue(id)) => sanitize(&id),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_at_the_most() {
        let shown = [0, 999, 1000, 1536, 99 << 10, 1023 << 10, 5 << 20, 3 << 30, 2000 << 40].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 KiB", "1.5 KiB", "99.0 KiB", "1.0 MiB", "5.0 MiB", "3.0 GiB", "2000 TiB"]
        );
    }
}
