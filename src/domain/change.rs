//! Changes of what is desired of a plugin: what each makes of it, and when it is refused.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    ActiveState, Desired, Digest, Error, Mode, Plugin, PreviousPackage, Reason, Result, Secret, State,
    manifest::Manifest, policy::Policy,
};

/// One change of what is desired. Not to be printed: a configuration may hold secrets.
#[derive(Clone, PartialEq)]
pub enum DesiredChange {
    /// It should run, or nothing of it should.
    SetActive(ActiveState),
    /// It should be stopped and started anew.
    Restart,
    /// It should run from this package.
    ReplacePackage { digest: Digest, manifest: Arc<Manifest> },
    /// It should run from the package before the present one, unless either is another by now.
    GoBack {
        /// The present package.
        from: Digest,
        /// The one before it.
        to: Digest,
    },
    /// The manifest of an external plugin, which has to connect again.
    ReplaceManifest(Arc<Manifest>),
    /// The token of an external plugin, which has to connect again.
    RotateToken(Secret),
    /// What the operator decides about this plugin alone.
    SetPolicy(Arc<Policy>),
    /// The configuration. The plugin has accepted it.
    Configure(Arc<Map<String, Value>>),
}

impl DesiredChange {
    /// What is desired after the change; nothing if that is desired already.
    ///
    /// # Errors
    /// `EXTERNAL_PLUGIN`, `SUPERVISED_PLUGIN`, `PLUGIN_NOT_CONNECTED` for the restart of a plugin that should not run,
    /// `MANIFEST_ID_MISMATCH`, `SUPERSEDED` when there is no way back any more.
    pub fn apply(self, plugin: &Plugin) -> Result<Option<Desired>> {
        let old = &plugin.desired;
        let generation = old.generation + 1;
        let desired = match self {
            Self::SetActive(active) => set_active(plugin, active)?,
            Self::Restart => Some(restart(plugin)?),
            Self::ReplacePackage { digest, manifest } => Some(replace_package(plugin, digest, manifest)?),
            Self::GoBack { from, to } => go_back(plugin, from, to)?,
            Self::ReplaceManifest(manifest) => {
                check_external(plugin)?;
                Some(Desired { manifest, restart_generation: generation, ..old.clone() })
            }
            Self::RotateToken(token) => {
                check_external(plugin)?;
                Some(Desired { token: Some(token), token_epoch: old.token_epoch + 1, ..old.clone() })
            }
            Self::SetPolicy(policy) => set_policy(plugin, policy)?,
            Self::Configure(configuration) => {
                let configuration_revision = old.configuration_revision + 1;
                Some(Desired { configuration, configuration_revision, ..old.clone() })
            }
        };
        Ok(desired.map(|desired| Desired { generation, ..desired }))
    }
}

fn set_active(plugin: &Plugin, active: ActiveState) -> Result<Option<Desired>> {
    check_supervised(plugin)?;
    let old = &plugin.desired;
    let generation = old.generation + 1;
    Ok(if old.active != active {
        Some(Desired { active, active_generation: generation, ..old.clone() })
    } else if needs_another_try(plugin) {
        Some(Desired { restart_generation: generation, ..old.clone() })
    } else {
        None
    })
}

/// It should run but nothing is under way: it failed, or a deletion did that had stopped it.
fn needs_another_try(plugin: &Plugin) -> bool {
    plugin.desired.active.is_active() && matches!(plugin.reported.state, State::Error | State::Inactive)
}

fn restart(plugin: &Plugin) -> Result<Desired> {
    check_supervised(plugin)?;
    let old = &plugin.desired;
    if !old.active.is_active() {
        let message = "the plugin is not active, so there is nothing to restart: activate it";
        return Err(Error::new(Reason::PluginNotConnected, message).with("plugin_id", plugin.id));
    }
    Ok(Desired { restart_generation: old.generation + 1, ..old.clone() })
}

/// What a process has from its start on needs another run; what is only how it is supervised does not.
fn set_policy(plugin: &Plugin, policy: Arc<Policy>) -> Result<Option<Desired>> {
    check_supervised(plugin)?;
    let old = &plugin.desired;
    if old.policy == policy {
        return Ok(None);
    }
    let needs_another_run = old.policy.needs_another_run(&policy);
    let restart_generation = if needs_another_run { old.generation + 1 } else { old.restart_generation };
    Ok(Some(Desired { policy, restart_generation, ..old.clone() }))
}

/// The same package once more is a restart.
fn replace_package(plugin: &Plugin, digest: Digest, manifest: Arc<Manifest>) -> Result<Desired> {
    check_supervised(plugin)?;
    check_same_id(plugin, &manifest)?;
    let old = &plugin.desired;
    let is_same = old.package == Some(digest);
    Ok(Desired {
        manifest,
        package: Some(digest),
        previous_package: way_back(plugin, digest),
        is_restored: old.is_restored && is_same,
        restart_generation: if is_same { old.generation + 1 } else { old.restart_generation },
        ..old.clone()
    })
}

/// What an update to this package goes back to: of the two that are kept the newest that was ever stable, and never the
/// package itself, nor one that failed.
fn way_back(plugin: &Plugin, to: Digest) -> Option<PreviousPackage> {
    let present = present(&plugin.desired).filter(|present| present.digest != to && !plugin.has_failed());
    let previous = plugin.desired.previous_package.clone().filter(|previous| previous.digest != to);
    if plugin.is_proven() { present.or(previous) } else { previous.or(present) }
}

fn present(desired: &Desired) -> Option<PreviousPackage> {
    let manifest = desired.manifest.clone();
    desired.package.map(|digest| PreviousPackage { digest, manifest })
}

fn go_back(plugin: &Plugin, from: Digest, to: Digest) -> Result<Option<Desired>> {
    check_supervised(plugin)?;
    let old = &plugin.desired;
    if old.package == Some(to) {
        return Ok(None);
    }
    let previous = old.previous_package.as_ref().filter(|previous| previous.digest == to);
    match previous.filter(|_| old.package == Some(from)) {
        Some(previous) => Ok(Some(Desired {
            manifest: previous.manifest.clone(),
            package: Some(to),
            previous_package: present(old).filter(|_| !plugin.has_failed()),
            is_restored: true,
            ..old.clone()
        })),
        None => Err(package_replaced(plugin)),
    }
}

/// Another package is there than the one that was meant.
pub fn package_replaced(plugin: &Plugin) -> Error {
    let message = "another package took the place of this one before it was settled: look at what is installed now";
    Error::new(Reason::Superseded, message).with("plugin_id", plugin.id)
}

/// # Errors
/// `EXTERNAL_PLUGIN`.
pub fn check_supervised(plugin: &Plugin) -> Result<()> {
    match plugin.desired.mode {
        Mode::Supervised => Ok(()),
        Mode::External => {
            let message = "this is an external plugin: somebody else starts, stops and updates it";
            Err(Error::new(Reason::ExternalPlugin, message).with("plugin_id", plugin.id))
        }
    }
}

fn check_external(plugin: &Plugin) -> Result<()> {
    match plugin.desired.mode {
        Mode::External => Ok(()),
        Mode::Supervised => {
            let message = "a supervised plugin has its manifest and its token from its package and its run";
            Err(Error::new(Reason::SupervisedPlugin, message).with("plugin_id", plugin.id))
        }
    }
}

/// A package is of this plugin.
///
/// # Errors
/// `MANIFEST_ID_MISMATCH`.
pub fn check_same_id(plugin: &Plugin, manifest: &Manifest) -> Result<()> {
    let installed = &plugin.desired.manifest.id;
    if *installed == manifest.id {
        return Ok(());
    }
    let message = "The uploaded package must have the same manifest ID as the installed plugin.";
    Err(Error::new(Reason::ManifestIdMismatch, message).with("installed", installed).with("uploaded", &manifest.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lifecycle::tests::mk_plugin;

    const FIRST: Digest = Digest([1; 32]);
    const SECOND: Digest = Digest([2; 32]);
    const THIRD: Digest = Digest([3; 32]);

    /// A plugin that was installed with the first package and updated to the second.
    fn mk_updated() -> Plugin {
        let mut plugin = mk_plugin(Mode::Supervised, ActiveState::Active);
        plugin.desired.package = Some(FIRST);
        let manifest = plugin.desired.manifest.clone();
        plugin.desired = DesiredChange::ReplacePackage { digest: SECOND, manifest }.apply(&plugin).unwrap().unwrap();
        plugin
    }

    #[test]
    fn going_back_needs_both_packages_to_be_where_they_were_seen() {
        let mut plugin = mk_updated();
        let go_back = |plugin: &Plugin| DesiredChange::GoBack { from: SECOND, to: FIRST }.apply(plugin);
        let back = go_back(&plugin).unwrap().unwrap();
        assert_eq!((back.package, back.previous_digest(), back.is_restored), (Some(FIRST), Some(SECOND), true));
        let manifest = plugin.desired.manifest.clone();
        plugin.desired = DesiredChange::ReplacePackage { digest: THIRD, manifest }.apply(&plugin).unwrap().unwrap();
        assert_eq!(go_back(&plugin).unwrap_err().reason, Reason::Superseded, "an update came in between");
        plugin.desired = back;
        assert_eq!(go_back(&plugin), Ok(None), "somebody else went back");
    }

    #[test]
    fn an_activation_of_a_plugin_that_failed_asks_for_a_new_run_and_any_other_joins() {
        let mut plugin = mk_updated();
        let activate = |plugin: &Plugin| DesiredChange::SetActive(ActiveState::Active).apply(plugin).unwrap();
        plugin.reported.state = State::Restarting;
        assert_eq!(activate(&plugin), None);
        plugin.reported.state = State::Error;
        let again = activate(&plugin).unwrap();
        assert_eq!((again.generation, again.restart_generation, again.active_generation), (3, 3, 1));
    }
}
