//! What rows hold of a plugin: one JSON text, with manifest and configuration by digest beside it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StoreError;
use crate::domain::{ActiveState, Desired, Digest, Mode, Plugin, PluginId, Reported, manifest::Manifest};

/// A plugin as a row's text holds it.
#[derive(Serialize, Deserialize)]
struct Stored<R> {
    created: Timestamp,
    desired: StoredDesired,
    reported: R,
}

/// [`Desired`] without manifest and configuration.
#[derive(Serialize, Deserialize)]
struct StoredDesired {
    mode: Mode,
    package: Option<Digest>,
    previous_package: Option<Digest>,
    configuration_revision: u64,
    active: ActiveState,
    active_generation: u64,
    generation: u64,
    token: Option<String>,
    token_epoch: u64,
}

/// What a row holds outside of its text.
pub(super) struct Rest {
    pub(super) id: PluginId,
    pub(super) revision: u64,
    pub(super) manifest: Arc<Manifest>,
    pub(super) configuration: Arc<Map<String, Value>>,
}

/// The text for a plugin's row.
///
/// # Errors
/// None that a plugin made of JSON can cause.
pub(super) fn encode(plugin: &Plugin) -> Result<String, serde_json::Error> {
    let desired = StoredDesired::from(&plugin.desired);
    serde_json::to_string(&Stored { created: plugin.created, desired, reported: &plugin.reported })
}

/// The plugin of a row.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn decode(text: &str, rest: Rest) -> Result<Plugin, StoreError> {
    let stored: Stored<Reported> =
        serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("plugin {}: {error}", rest.id)))?;
    Ok(Plugin {
        id: rest.id,
        created: stored.created,
        desired: stored.desired.with(rest.manifest, rest.configuration),
        reported: stored.reported,
        revision: rest.revision,
    })
}

impl From<&Desired> for StoredDesired {
    fn from(desired: &Desired) -> Self {
        Self {
            mode: desired.mode,
            package: desired.package,
            previous_package: desired.previous_package,
            configuration_revision: desired.configuration_revision,
            active: desired.active,
            active_generation: desired.active_generation,
            generation: desired.generation,
            token: desired.token.clone(),
            token_epoch: desired.token_epoch,
        }
    }
}

impl StoredDesired {
    fn with(self, manifest: Arc<Manifest>, configuration: Arc<Map<String, Value>>) -> Desired {
        Desired {
            mode: self.mode,
            manifest,
            package: self.package,
            previous_package: self.previous_package,
            configuration,
            configuration_revision: self.configuration_revision,
            active: self.active,
            active_generation: self.active_generation,
            generation: self.generation,
            token: self.token,
            token_epoch: self.token_epoch,
        }
    }
}
