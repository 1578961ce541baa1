//! The calls to the server that the steps of a plan are.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use prost_types::Struct;
use serde_json::{Map, Value};

use super::{
    desired::Archive,
    plan::{Planned, Step},
};
use crate::{
    api::{
        json::to_struct,
        v1::{
            ActiveState, DeletePluginRequest, Plugin, Policy, RegisterExternalPluginRequest, SetActiveStateRequest,
            UpdateConfigurationRequest, UpdateManifestRequest, UpdatePolicyRequest, install_plugin_request,
            update_package_request,
        },
    },
    cli::{
        Context,
        client::{self, MARGIN, QUICK, present},
        failure::{Exit, Failure},
        install, policy, show,
    },
    domain::package::digest_of,
};

/// The plugin that calls are for, as it was seen last: a change of somebody else's since then is a conflict.
pub(super) struct Target<'a> {
    context: &'a Context,
    /// Its id and the generation of what is desired of it; none before it is installed.
    seen: Option<(String, u64)>,
    deadline: Instant,
}

impl<'a> Target<'a> {
    pub(super) fn new(context: &'a Context, planned: &Planned, timeout: Duration) -> Self {
        let seen = planned.plugin.as_ref().map(|plugin| (plugin.id.clone(), plugin.generation));
        Self { context, seen, deadline: Instant::now() + timeout }
    }

    pub(super) fn plugin_id(self) -> Option<String> {
        self.seen.map(|(id, _)| id)
    }

    /// Takes a step.
    pub(super) async fn take(&mut self, id: &str, step: &Step) -> Result<(), Failure> {
        let plugin = match step {
            Step::Install(archive) => self.install(archive).await,
            Step::Update(_, archive) => self.update(archive).await,
            Step::Register(manifest) => self.register(id, manifest).await,
            Step::UpdateManifest(manifest, _) => self.update_manifest(manifest).await,
            Step::Decide(decision, _) => {
                let decided = self.decide(decision.policy.clone()).await.map_err(policy::told_if_stored);
                decided.map_err(|failure| decision.words.hide_in(failure))
            }
            Step::Configure(filled, _) => {
                self.configure(&filled.values).await.map_err(|failure| filled.hide_in(failure))
            }
            Step::Start => self.set(ActiveState::Active).await,
            Step::Stop => self.set(ActiveState::Inactive).await,
            Step::Delete => self.delete().await,
        }?;
        // What is beyond its own change is somebody else's, and a conflict for the next step.
        let generation = match &self.seen {
            Some((_, seen)) => plugin.generation.min(seen + 1),
            None => plugin.generation,
        };
        self.seen = Some((plugin.id, generation));
        Ok(())
    }

    /// Takes what is desired of it now as seen, whoever changed it, and gives it some more time.
    pub(super) async fn look_again(&mut self) -> Result<(), Failure> {
        let (plugin_id, _) = self.known()?;
        let plugin = client::plugin(&self.context.api, &plugin_id).await?;
        self.seen = Some((plugin.id, plugin.generation));
        self.deadline = self.deadline.max(Instant::now() + QUICK);
        Ok(())
    }

    fn known(&self) -> Result<(String, Option<u64>), Failure> {
        let (plugin_id, generation) = self.seen.clone().ok_or_else(|| Failure::new("it is not there"))?;
        Ok((plugin_id, Some(generation)))
    }

    /// How long a call may still take.
    fn limit(&self) -> Result<Duration, Failure> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Failure::new("the time for this plugin is up").exit(Exit::Timeout)),
            left => Ok(left + MARGIN),
        }
    }

    /// How long the server is told to wait.
    fn wait(&self) -> Option<prost_types::Duration> {
        self.deadline.saturating_duration_since(Instant::now()).try_into().ok()
    }

    async fn install(&self, archive: &Archive) -> Result<Plugin, Failure> {
        let header = install_plugin_request::Header {
            expected_digest: Some(archive.digest.clone()),
            url: None,
            request_id: Some(request_id(&archive.digest)),
        };
        let bytes = archive.bytes.clone();
        install::install(&self.context.api, header, bytes, self.limit()?, ProgressBar::hidden()).await
    }

    async fn update(&self, archive: &Archive) -> Result<Plugin, Failure> {
        let (plugin_id, if_generation) = self.known()?;
        let expected_digest = Some(archive.digest.clone());
        let header = update_package_request::Header { plugin_id, expected_digest, wait: self.wait(), if_generation };
        let bytes = archive.bytes.clone();
        let plugin = install::update(&self.context.api, header, bytes, self.limit()?, ProgressBar::hidden()).await?;
        if plugin.package_digest() != archive.digest {
            let what = "the new package was not stable; the one before it is put back";
            return Err(Failure::new(what).exit(Exit::PluginFailed));
        }
        Ok(plugin)
    }

    async fn register(&self, id: &str, manifest: &Map<String, Value>) -> Result<Plugin, Failure> {
        let digest = digest_of(Value::Object(manifest.clone()).to_string().as_bytes());
        let request_id = Some(request_id(&digest.to_string()));
        let request = RegisterExternalPluginRequest { manifest: Some(carried(manifest)?), request_id };
        let plugin = present(self.context.api.call(self.limit()?, request).await?.plugin)?;
        if show::manifest_id(&plugin).as_deref() != Some(id) {
            let what = format!("{} was registered with this manifest, and has another one now", plugin.id);
            return Err(Failure::new(what).hint("`plugd register MANIFEST` registers one more").exit(Exit::Conflict));
        }
        self.context.ui.note(&format!("{id}: `plugd rotate-token {}` prints the URL that it dials", plugin.id));
        Ok(plugin)
    }

    async fn update_manifest(&self, manifest: &Map<String, Value>) -> Result<Plugin, Failure> {
        let (plugin_id, if_generation) = self.known()?;
        let request = UpdateManifestRequest { plugin_id, manifest: Some(carried(manifest)?), if_generation };
        Ok(present(self.context.api.call(self.limit()?, request).await?.plugin)?)
    }

    async fn decide(&self, policy: Policy) -> Result<Plugin, Failure> {
        let (plugin_id, if_generation) = self.known()?;
        let request = UpdatePolicyRequest { plugin_id, policy: Some(policy), wait: self.wait(), if_generation };
        Ok(present(self.context.api.call(self.limit()?, request).await?.plugin)?)
    }

    async fn configure(&self, values: &Map<String, Value>) -> Result<Plugin, Failure> {
        let (plugin_id, if_generation) = self.known()?;
        let request = UpdateConfigurationRequest { plugin_id, configuration: Some(carried(values)?), if_generation };
        Ok(present(self.context.api.call(self.limit()?, request).await?.plugin)?)
    }

    async fn set(&self, desired: ActiveState) -> Result<Plugin, Failure> {
        let (plugin_id, if_generation) = self.known()?;
        let active_state = desired.into();
        let request = SetActiveStateRequest { plugin_id, active_state, wait: self.wait(), if_generation };
        Ok(present(self.context.api.call(self.limit()?, request).await?.plugin)?)
    }

    async fn delete(&self) -> Result<Plugin, Failure> {
        let (plugin_id, if_generation) = self.known()?;
        Ok(present(
            self.context.api.call(self.limit()?, DeletePluginRequest { plugin_id, if_generation }).await?.plugin,
        )?)
    }
}

/// The name of the request that installs what has this digest. A second try, or another `apply` at the same time, has the
/// same, so that one plugin comes of both; the server forgets it with the plugin.
fn request_id(digest: &str) -> String {
    format!("apply {digest}")
}

fn carried(values: &Map<String, Value>) -> Result<Struct, Failure> {
    to_struct(values).map_err(|error| Failure::new(error.to_string()).exit(Exit::Refused))
}
