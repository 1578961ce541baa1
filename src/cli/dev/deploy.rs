//! From a folder to a running plugin: build, package, install or update, activate.

use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::{
    Session,
    build::build,
    there::{delete, installed},
    trail,
};
use crate::{
    api::v1::{ActiveState, Plugin, PluginMode},
    cli::{
        active::{self, Waiting},
        aftermath,
        failure::Failure,
        package::Package,
        transfer,
        update::versions,
    },
};

/// Sends without waiting for what comes of it.
const AT_ONCE: Waiting = Waiting { no_wait: true, timeout: None };

/// The deployment of one folder.
#[derive(Debug)]
pub(super) struct Deployment<'a> {
    session: &'a Session,
    build: Option<&'a str>,
    /// Digest of the folder as it was last packaged, whatever came of that.
    packaged: Option<String>,
    /// Did that run?
    is_good: bool,
    /// Could the folder not be packaged since?
    is_broken: bool,
    /// The plugin that this session last deployed to.
    plugin: Option<Plugin>,
    was_running: bool,
    /// What was said of the package.
    remarks: Vec<String>,
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
    /// It is the plugin's package now. Somebody stopped the plugin, and it stays so.
    Stopped(Box<Plugin>),
    /// It failed, and the package before it is back, of which the trail tells.
    TakenBack,
}

impl<'a> Deployment<'a> {
    pub(super) fn new(session: &'a Session, build: Option<&'a str>) -> Self {
        let (packaged, plugin, log) = (None, None, None);
        let remarks = Vec::new();
        Self { session, build, packaged, is_good: false, is_broken: false, plugin, was_running: false, remarks, log }
    }

    /// Builds and packages the folder; none if no file that counts has changed.
    ///
    /// # Errors
    /// It can't be built or packaged.
    pub(super) async fn prepare(&mut self) -> Result<Option<Package>, Failure> {
        // What the build itself wrote is no change: it is part of what was packaged after it.
        if self.packaged.as_ref().is_some_and(|digest| self.session.is_still(digest)) {
            if std::mem::take(&mut self.is_broken) {
                self.session.say("the folder is again as it was: there is nothing to do");
            }
            return Ok(None);
        }
        let built = self.build().await;
        let package = self.session.package().inspect_err(|_| self.break_off())?;
        (self.packaged, self.is_good, self.is_broken) = (Some(package.digest.clone()), false, false);
        built?;
        self.remark(&package);
        Ok(Some(package))
    }

    /// Says what there is to say of a package, if it was not said of the one before.
    fn remark(&mut self, package: &Package) {
        let remarks = package.remarks.iter().map(|remark| format!("warning: {remark}"));
        let remarks: Vec<String> = remarks.chain(package.left_out_note.clone()).collect();
        let is_new = |remark: &&String| !self.remarks.contains(remark);
        remarks.iter().filter(is_new).for_each(|remark| match remark.starts_with("warning: ") {
            true => self.session.shout(remark),
            false => self.session.say(remark),
        });
        self.remarks = remarks;
    }

    /// The folder can't be packaged. If it is as before again, that is tried again unless it runs.
    fn break_off(&mut self) {
        self.is_broken = true;
        self.packaged.take_if(|_| !self.is_good);
    }

    async fn build(&self) -> Result<(), Failure> {
        let Some(command) = self.build else { return Ok(()) };
        self.session.say(&format!("building: {command}"));
        build(command, &self.session.dir).await
    }

    /// Makes this the package of the folder's plugin.
    ///
    /// # Errors
    /// It is refused; the next change is another chance.
    pub(super) async fn place(&mut self, package: &Package) -> Result<Placed, Failure> {
        let api = &self.session.api;
        let there = installed(self.session, package.manifest_id(), PluginMode::Supervised).await?;
        self.leave(there.as_ref()).await?;
        let is_stopped =
            self.plugin.is_some() && there.as_ref().is_some_and(|it| it.desired_state() == ActiveState::Inactive);
        let plugin = match there {
            None => transfer::install(api, package).await?,
            Some(plugin) => self.place_on(plugin, package).await?,
        };
        self.follow_log(&plugin.id, false).await;
        if !is_stopped && plugin.desired_state() == ActiveState::Inactive {
            // Not left to the wait for it, which may be given up: it would look as if somebody had stopped it.
            active::set(api, &plugin.id, ActiveState::Active, AT_ONCE).await?;
        }
        self.plugin = Some(plugin.clone());
        Ok(Placed { plugin, digest: package.digest.clone(), is_stopped })
    }

    /// Makes this the package of a plugin that is there already.
    async fn place_on(&mut self, plugin: Plugin, package: &Package) -> Result<Plugin, Failure> {
        self.follow_log(&plugin.id, true).await;
        if plugin.package_digest != package.digest {
            return self.update(&plugin, package).await;
        }
        if self.plugin.is_none() && plugin.desired_state() == ActiveState::Active {
            // The server started it before this session looked: anew, so that its log is seen from the beginning. If
            // that is refused, starting it says why.
            let _ = active::restart(&self.session.api, &plugin.id, AT_ONCE).await;
        }
        Ok(plugin)
    }

    /// Stops the plugin that this session deployed to before, if the manifest has another id by now.
    async fn leave(&mut self, there: Option<&Plugin>) -> Result<(), Failure> {
        let is_other = |before: &&Plugin| there.is_none_or(|plugin| plugin.id != before.id);
        let Some(before) = self.plugin.as_ref().filter(is_other) else { return Ok(()) };
        self.session.say(&format!("the manifest has another id: {} is stopped, and stays installed", before.id));
        active::set(&self.session.api, &before.id, ActiveState::Inactive, Waiting::default()).await?;
        self.plugin = None;
        Ok(())
    }

    async fn update(&self, plugin: &Plugin, package: &Package) -> Result<Plugin, Failure> {
        let version = package.version().unwrap_or_default();
        self.session.say(&format!("updating: {}", versions(&plugin.version, version)));
        match Box::pin(transfer::update(&self.session.api, &plugin.id, package, AT_ONCE)).await {
            Err(status) if status.code() == Code::Unimplemented => self.replace(plugin.id.clone(), package).await,
            done => Ok(done?),
        }
    }

    /// An update for a server that can't: a new plugin in place of the old one.
    async fn replace(&self, plugin_id: String, package: &Package) -> Result<Plugin, Failure> {
        let api = &self.session.api;
        delete(api, plugin_id).await?;
        transfer::install(api, package).await
    }

    /// Runs what was placed. This may take as long as it fails; nothing is lost if it is not waited for.
    ///
    /// # Errors
    /// It fails, and nothing took its place.
    pub(super) async fn start(&mut self, placed: Placed) -> Result<Outcome, Failure> {
        let Placed { plugin, digest, is_stopped } = placed;
        if is_stopped {
            self.is_good = true;
            return Ok(Outcome::Stopped(Box::new(plugin)));
        }
        let api = &self.session.api;
        let plugin = match active::set(api, &plugin.id, ActiveState::Active, Waiting::default()).await {
            Ok(plugin) => plugin,
            Err(status) if aftermath::is_taken_back(api, &plugin, &digest, &status).await => {
                return Ok(Outcome::TakenBack);
            }
            Err(status) => return Err(status.into()),
        };
        if plugin.package_digest != digest {
            return Ok(Outcome::TakenBack);
        }
        self.is_good = true;
        let was_running = std::mem::replace(&mut self.was_running, true);
        Ok(if was_running { Outcome::Again(Box::new(plugin)) } else { Outcome::First(Box::new(plugin)) })
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

/// A plugin that has the folder's package, and is to run.
#[derive(Debug)]
pub(super) struct Placed {
    plugin: Plugin,
    digest: String,
    /// Somebody stopped it while this session ran.
    is_stopped: bool,
}
