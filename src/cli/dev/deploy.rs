//! From a folder to a running plugin: build, package, install or update, activate.

use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::{Session, build::build, trail};
use crate::{
    api::v1::{ActiveState, DeletePluginRequest, Plugin, PluginMode},
    cli::{
        active::{self, Waiting},
        client::{MARGIN, SETTLE, within},
        failure::{Exit, Failure},
        package::Package,
        resolve::with_manifest_id,
        shape, transfer,
        ui::tame,
        update::versions,
    },
};

/// The deployment of one folder.
#[derive(Debug)]
pub(super) struct Deployment<'a> {
    session: &'a Session,
    build: Option<&'a str>,
    /// Digest of the folder as it was last packaged, whatever came of that.
    packaged: Option<String>,
    /// The plugin that this session last deployed to.
    plugin: Option<Plugin>,
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
        Self { session, build, packaged: None, plugin: None, is_running: false, log: None }
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
        self.session.warn(&package.remarks());
        let plugin = Box::new(self.run(&package).await?);
        let is_first = !std::mem::replace(&mut self.is_running, true);
        Ok(if is_first { Outcome::First(plugin) } else { Outcome::Again(plugin) })
    }

    fn package(&self) -> Result<Package, Failure> {
        Package::of_folder(&self.session.folder(&self.session.except()))
    }

    async fn build(&self) -> Result<(), Failure> {
        let Some(command) = self.build else { return Ok(()) };
        self.session.say(&format!("building: {command}"));
        build(command, &self.session.dir).await
    }

    /// Installs the package, or makes it the package of the plugin that has its manifest id, and runs it.
    async fn run(&mut self, package: &Package) -> Result<Plugin, Failure> {
        let api = &self.session.api;
        let there = installed(self.session, package.manifest_id(), PluginMode::Supervised).await?;
        self.leave(there.as_ref()).await?;
        let plugin = match there {
            None => transfer::install(api, package).await?,
            Some(plugin) => {
                self.follow_log(&plugin.id, true).await;
                if plugin.package_digest == package.digest {
                    return self.start_anew(plugin).await;
                }
                self.update(&plugin, package).await?
            }
        };
        self.follow_log(&plugin.id, false).await;
        self.start(plugin).await
    }

    /// Stops the plugin that this session deployed to before, if the manifest has another id by now.
    async fn leave(&mut self, there: Option<&Plugin>) -> Result<(), Failure> {
        let is_other = |before: &Plugin| there.is_none_or(|plugin| plugin.id != before.id);
        let Some(before) = self.plugin.take_if(|before| is_other(before)) else { return Ok(()) };
        self.session.say(&format!("the manifest has another id: {} is stopped, and stays installed", before.id));
        active::set(&self.session.api, &before.id, ActiveState::Inactive, Waiting::default()).await?;
        Ok(())
    }

    async fn update(&self, plugin: &Plugin, package: &Package) -> Result<Plugin, Failure> {
        let version = package.manifest.as_ref().and_then(|manifest| manifest.get("version")?.as_str());
        self.session.say(&format!("updating: {}", versions(&plugin.version, version.unwrap_or_default())));
        match Box::pin(transfer::update(&self.session.api, &plugin.id, package, Waiting::default())).await {
            Err(status) if status.code() == Code::Unimplemented => self.replace(plugin.id.clone(), package).await,
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

    /// Runs a plugin that has the package already. One that the server started before this session looked is started anew,
    /// so that its log is seen from the beginning.
    async fn start_anew(&mut self, plugin: Plugin) -> Result<Plugin, Failure> {
        let is_left_running = self.plugin.is_none() && plugin.desired_state() == ActiveState::Active;
        if is_left_running && active::restart(&self.session.api, &plugin.id, Waiting::default()).await.is_ok() {
            self.plugin = Some(plugin.clone());
            return Ok(plugin);
        }
        self.start(plugin).await
    }

    async fn start(&mut self, plugin: Plugin) -> Result<Plugin, Failure> {
        let plugin = self.plugin.insert(plugin);
        Ok(active::set(&self.session.api, &plugin.id, ActiveState::Active, Waiting::default()).await?)
    }

    /// Follows the log of a plugin, unless it is followed already: of an old plugin what is printed from now on.
    async fn follow_log(&mut self, id: &str, is_old: bool) {
        if self.log.as_ref().is_some_and(|(followed, task)| followed == id && !task.is_finished()) {
            return;
        }
        let after = if is_old { trail::end_of_log(self.session, id).await.unwrap_or_default() } else { String::new() };
        self.log = Some((id.to_owned(), trail::log(self.session, id, after)));
    }
}

/// The plugin that has this manifest id.
///
/// # Errors
/// There is no id, the server can't be asked, or the plugin is of the other mode.
pub(super) async fn installed(
    session: &Session,
    id: Option<&str>,
    mode: PluginMode,
) -> Result<Option<Plugin>, Failure> {
    let id = id.ok_or_else(|| {
        Failure::new("the manifest has no id")
            .hint("give it one of letters, digits and hyphens, like \"my-plugin\"")
            .exit(Exit::Refused)
    })?;
    match with_manifest_id(&session.api, id).await?.into_iter().next() {
        Some(plugin) if plugin.mode() != mode => Err(Failure::new(format!(
            "{} has the manifest id {:?} already, and is {}",
            plugin.id,
            tame(id),
            shape::mode(plugin.mode())
        ))
        .hint(format!("delete it with `plugd delete {}`, or give this one another id", plugin.id))
        .exit(Exit::Conflict)),
        found => Ok(found),
    }
}

/// What the author can do about a deployment that failed: the server's own advice is for people without the folder.
pub(super) fn with_remedy(failure: Failure) -> Failure {
    if failure.reason.is_none() && failure.hint.is_some() {
        return failure;
    }
    failure.hint("mend it and save a file: it is tried again then")
}
