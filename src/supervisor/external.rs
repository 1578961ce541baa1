//! External plugins: registered here, run by somebody else (CONTRACT 9).

use std::sync::Arc;

use super::{
    Handle,
    handle::{commit, mk_plugin},
    message::{ChangeOptions, Decide},
    settle::Wanted,
};
use crate::{
    domain::{
        Desired, Error, Mode, Plugin, PluginId, Reason, Reported, Result, State, lifecycle::Event, manifest::Manifest,
    },
    link::token,
};

impl Handle {
    /// Registers an external plugin; from then on it is waited for.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn register_external(&self, manifest: Manifest) -> Result<Arc<Plugin>> {
        let plugin = mk_plugin(manifest, Mode::External);
        let desired = Desired { token: Some(token::mint_external()), token_epoch: 1, ..plugin.desired };
        let reported = Reported { state: State::Connecting, ..plugin.reported };
        self.add(Plugin { desired, reported, ..plugin }).await
    }

    /// Replaces the manifest of an external plugin, which has to connect again.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `SUPERVISED_PLUGIN`, `STORE_UNAVAILABLE`.
    pub async fn update_manifest(
        &self,
        id: PluginId,
        manifest: Manifest,
        options: impl Into<ChangeOptions>,
    ) -> Result<Arc<Plugin>> {
        let manifest = Arc::new(manifest);
        self.readmit(id, options.into(), move |desired| Desired { manifest, ..desired }).await
    }

    /// Gives an external plugin a new token; the old one is good for nothing from then on.
    ///
    /// # Errors
    /// As [`Handle::update_manifest`].
    pub async fn cycle_token(&self, id: PluginId, options: impl Into<ChangeOptions>) -> Result<Arc<Plugin>> {
        let renew = |desired: Desired| {
            let token_epoch = desired.token_epoch + 1;
            Desired { token: Some(token::mint_external()), token_epoch, ..desired }
        };
        self.readmit(id, options.into(), renew).await
    }

    /// Changes what an external plugin connects with, and waits until its old connection is closed.
    async fn readmit(
        &self,
        id: PluginId,
        options: ChangeOptions,
        change: impl FnOnce(Desired) -> Desired + Send + 'static,
    ) -> Result<Arc<Plugin>> {
        let slot = self.slot(id)?;
        let decide: Decide = Box::new(move |plugin| {
            check_external(plugin)?;
            let desired = change(plugin.desired.clone());
            Ok(commit(desired, |generation, _| Event::CredentialReplaced { generation }))
        });
        let committed = self.amend(&slot, id, (decide, Wanted::of), options).await?;
        self.wait_observed(&slot, committed.plugin.desired.generation).await
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
