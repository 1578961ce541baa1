use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::domain::{ActiveState, PluginId, manifest::Manifest, policy::MaxRestarts};

mod counted;
mod deaths;
mod model;
mod placement;
mod properties;
mod table;

/// A plugin that nothing was reported of yet.
pub(crate) fn mk_plugin(mode: Mode, active: ActiveState) -> Plugin {
    let text = str::to_owned;
    let manifest = Manifest { id: text("greeter"), author: text("a"), name: text("Greeter"), ..Manifest::default() };
    let manifest = Arc::new(manifest);
    Plugin {
        id: PluginId::from_bytes([9; 12]),
        created: Timestamp::UNIX_EPOCH,
        installed: 1,
        desired: Desired::new(mode, manifest, active),
        reported: Reported::inactive(Timestamp::UNIX_EPOCH, 1),
        revision: 1,
        request: None,
    }
}
