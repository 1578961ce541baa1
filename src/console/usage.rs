//! What a run uses of the host.

use maud::{Markup, html};

use crate::api::v1::PluginStatus;

pub(super) fn cpu(_: &PluginStatus) -> Option<u64> {
    None
}

pub(super) fn memory(_: &PluginStatus) -> Option<u64> {
    None
}

/// The cells of a list.
pub(super) fn cells(_: &PluginStatus) -> Markup {
    html! {
        td.cpu data-label="CPU" { span.soft { "–" } }
        td.memory data-label="Memory" { span.soft { "–" } }
    }
}

/// What is shown of one plugin.
pub(super) fn facts(_: &PluginStatus) -> Markup {
    html! { p.soft { "Nothing of it runs." } }
}
