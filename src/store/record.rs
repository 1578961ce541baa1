//! What rows hold of a plugin: one JSON text, with manifest and configuration by digest beside it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StoreError;
use crate::domain::{
    ActiveState, Desired, Digest, Mode, Plugin, PluginId, PreviousPackage, Reported, manifest::Manifest,
};

/// A plugin as a row's text holds it.
#[derive(Serialize, Deserialize)]
struct Stored<R> {
    created: Timestamp,
    installed: u64,
    request_id: Option<String>,
    desired: StoredDesired,
    reported: R,
}

/// [`Desired`] without manifest and configuration.
#[derive(Serialize, Deserialize)]
struct StoredDesired {
    mode: Mode,
    package: Option<Digest>,
    previous_package: Option<PreviousPackage>,
    #[serde(default)]
    is_restored: bool,
    configuration_revision: u64,
    active: ActiveState,
    active_generation: u64,
    restart_generation: u64,
    generation: u64,
    token: Option<String>,
    token_epoch: u64,
}

/// [`Reported`] as rows hold it.
#[derive(Deserialize)]
struct StoredReported {
    #[serde(flatten)]
    reported: Reported,
    /// What rows held before they named the package: that the one that was reported of had been stable.
    #[serde(default)]
    is_proven: bool,
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
    serde_json::to_string(&Stored {
        created: plugin.created,
        installed: plugin.installed,
        request_id: plugin.request_id.clone(),
        desired,
        reported: &plugin.reported,
    })
}

/// The plugin of a row.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn decode(text: &str, rest: Rest) -> Result<Plugin, StoreError> {
    let stored: Stored<StoredReported> =
        serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("plugin {}: {error}", rest.id)))?;
    Ok(Plugin {
        id: rest.id,
        created: stored.created,
        installed: stored.installed,
        reported: stored.reported.of(&stored.desired),
        desired: stored.desired.with(rest.manifest, rest.configuration),
        revision: rest.revision,
        request_id: stored.request_id,
    })
}

impl StoredReported {
    /// With the name of the package that an older row only says to have been stable.
    fn of(self, desired: &StoredDesired) -> Reported {
        let mut reported = self.reported;
        let is_of_this = self.is_proven && reported.observed_generation == desired.generation;
        if is_of_this {
            reported.proven_package = desired.package;
        }
        reported
    }
}

impl From<&Desired> for StoredDesired {
    fn from(desired: &Desired) -> Self {
        Self {
            mode: desired.mode,
            package: desired.package,
            previous_package: desired.previous_package.clone(),
            is_restored: desired.is_restored,
            configuration_revision: desired.configuration_revision,
            active: desired.active,
            active_generation: desired.active_generation,
            restart_generation: desired.restart_generation,
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
            is_restored: self.is_restored,
            configuration,
            configuration_revision: self.configuration_revision,
            active: self.active,
            active_generation: self.active_generation,
            restart_generation: self.restart_generation,
            generation: self.generation,
            token: self.token,
            token_epoch: self.token_epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::tests::mk_plugin;

    /// A plugin's text as it was written before rows named the package that was stable, read now.
    fn read_old(is_proven: bool, observed_generation: u64) -> Plugin {
        let plugin = mk_plugin(1);
        let mut text: Value = serde_json::from_str(&encode(&plugin).unwrap()).unwrap();
        text["desired"].as_object_mut().unwrap().remove("is_restored");
        text["reported"].as_object_mut().unwrap().remove("proven_package");
        text["reported"]["is_proven"] = json!(is_proven);
        text["reported"]["observed_generation"] = json!(observed_generation);
        let (manifest, configuration) = (plugin.desired.manifest, plugin.desired.configuration);
        decode(&text.to_string(), Rest { id: plugin.id, revision: 1, manifest, configuration }).unwrap()
    }

    #[test]
    fn an_older_row_says_of_which_package_it_was_known_to_be_stable() {
        let present = mk_plugin(1).desired;
        let read = read_old(true, present.generation);
        assert_eq!((read.reported.proven_package, read.is_proven()), (present.package, true));
        assert!(!read_old(false, present.generation).is_proven());
        assert!(!read_old(true, present.generation - 1).is_proven(), "of the package before");
    }
}
