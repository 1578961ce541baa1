//! From a folder to a running plugin: build, package, install or update, activate.

use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::{Session, build::build, manifest, trail};
use crate::{
    api::{
        json::from_value,
        v1::{ActiveState, DeletePluginRequest, ListPluginsRequest, Plugin, PluginMode},
    },
    cli::{
        active::{self, Waiting},
        client::{MARGIN, SETTLE, within},
        external::read_manifest,
        failure::Failure,
        package::Package,
        resolve::all_plugins,
        shape, transfer,
    },
};

/// The deployment of one folder.
#[derive(Debug)]
pub(super) struct Deployment<'a> {
    session: &'a Session,
    build: Option<&'a str>,
    /// Digest of the folder as it was last packaged, whatever came of that.
    packaged: Option<String>,
    is_running: bool,
    /// The log that is followed, and whose it is.
    log: Option<(String, AbortOnDropHandle<()>)>,
}

/// What a deployment came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It runs for the first time in this session.
    First(Box<Plugin>),
    /// It runs again.
    Again(Box<Plugin>),
    /// No file that counts has changed.
    Unchanged,
}

impl<'a> Deployment<'a> {
    pub(super) fn new(session: &'a Session, build: Option<&'a str>) -> Self {
        Self { session, build, packaged: None, is_running: false, log: None }
    }

    /// Brings the folder's plugin to life as it is now.
    ///
    /// # Errors
    /// Whatever goes wrong on the way; the next change is another chance.
    pub(super) async fn deploy(&mut self) -> Result<Outcome, Failure> {
        // What the build itself wrote is no change: it is part of what was packaged after it.
        if self.packaged.is_some() && self.package().is_ok_and(|package| Some(package.digest) == self.packaged) {
            return Ok(Outcome::Unchanged);
        }
        let built = self.build().await;
        let package = self.package()?;
        self.packaged = Some(package.digest.clone());
        built?;
        let plugin = self.upload(&package).await?;
        self.follow_log(&plugin);
        let plugin = Box::new(self.activate(&plugin.id).await?);
        let is_first = !std::mem::replace(&mut self.is_running, true);
        Ok(if is_first { Outcome::First(plugin) } else { Outcome::Again(plugin) })
    }

    fn package(&self) -> Result<Package, Failure> {
        Package::of_folder(&self.session.dir, &self.session.except())
    }

    async fn build(&self) -> Result<(), Failure> {
        let Some(command) = self.build else { return Ok(()) };
        self.session.say(&format!("building: {command}"));
        build(command, &self.session.dir).await
    }

    /// Installs the package, or makes it the package of the plugin that has its manifest id.
    async fn upload(&self, package: &Package) -> Result<Plugin, Failure> {
        let api = &self.session.api;
        let Some(plugin) = installed(self.session, PluginMode::Supervised).await? else {
            return transfer::install(api, package).await;
        };
        if plugin.package_digest == package.digest {
            return Ok(plugin);
        }
        self.session.say("updating");
        match Box::pin(transfer::update(api, &plugin.id, package, Waiting::default())).await {
            Err(status) if status.code() == Code::Unimplemented => self.replace(plugin.id, package).await,
            done => Ok(done?),
        }
    }

    /// An update for a server that can't: a new plugin in place of the old one.
    async fn replace(&self, plugin_id: String, package: &Package) -> Result<Plugin, Failure> {
        let api = &self.session.api;
        let send = async |request| api.plugins().delete_plugin(request).await;
        within(SETTLE + MARGIN, DeletePluginRequest { plugin_id }, send).await?;
        transfer::install(api, package).await
    }

    async fn activate(&self, id: &str) -> Result<Plugin, Failure> {
        Ok(active::set(&self.session.api, id, ActiveState::Active, Waiting::default()).await?)
    }

    fn follow_log(&mut self, plugin: &Plugin) {
        let is_followed = self.log.as_ref().is_some_and(|(id, task)| *id == plugin.id && !task.is_finished());
        if !is_followed {
            self.log = Some((plugin.id.clone(), trail::log(self.session, &plugin.id)));
        }
    }
}

/// The plugin that has the manifest id of the session's folder.
///
/// # Errors
/// The manifest can't be read, the server can't be asked, or the plugin is of the other mode.
pub(super) async fn installed(session: &Session, mode: PluginMode) -> Result<Option<Plugin>, Failure> {
    let manifest = read_manifest(&manifest(&session.dir))?;
    let id = manifest.fields.get("id").map(from_value);
    let id = id.as_ref().and_then(|id| id.as_str()).ok_or_else(|| {
        Failure::new("the manifest has no id").hint("give it one of letters, digits and hyphens, like \"my-plugin\"")
    })?;
    let plugins = all_plugins(&session.api, &ListPluginsRequest::default()).await?;
    match plugins.into_iter().find(|plugin| shape::manifest_id(plugin) == Some(id)) {
        Some(plugin) if plugin.mode() != mode => Err(Failure::new(format!(
            "{} has the manifest id {id:?} already, and is {}",
            plugin.id,
            shape::mode(plugin.mode())
        ))
        .hint(format!("delete it with `plugd delete {}`, or give this one another id", plugin.id))),
        found => Ok(found),
    }
}
