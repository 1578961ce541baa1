//! A plugin under development that plugd runs: built, packaged, installed or updated, started; and anew when a file changes.

use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

use super::{
    changes::Changes,
    output::{self, follow_log, follow_states},
    server::Access,
    session::{Session, with_remedy},
};
use crate::{
    api::v1::{ActiveState, Plugin, PluginMode},
    cli::{
        failure::Failure,
        install::versions,
        lifecycle,
        logs::end_of,
        package::Package,
        transfer::{send_new, send_update},
        wait::{Waiting, going_back_to},
    },
};

/// Sends without waiting for what comes of it.
const AT_ONCE: Waiting = Waiting { no_wait: true, timeout: None };

/// Runs the plugin of the session's folder, again after each change, until the session is over. What fails is printed, and
/// the next change is another chance.
pub(super) async fn run(session: &Session, access: &Access, build: Option<&str>) -> Result<(), Failure> {
    let mut changes = Changes::of(&session.dir, vec![session.data_dir.clone()])?;
    let _states = follow_states(session, Vec::new());
    let mut deployment = Deployment::new(session, build);
    loop {
        let deploy = Box::pin(deploy(&mut deployment, access, &mut changes));
        let Some(is_overtaken) = session.stop.run_until_cancelled(deploy).await else { return Ok(()) };
        if !is_overtaken && !changes.next(session).await {
            return Ok(());
        }
    }
}

/// Deploys the folder as it is now. True if it has changed before that came to anything.
async fn deploy(deployment: &mut Deployment<'_>, access: &Access, changes: &mut Changes) -> bool {
    let session = deployment.session;
    let failure = match try_deploy(deployment, access, changes).await {
        Ok(is_overtaken) => return is_overtaken,
        Err(failure) => failure,
    };
    let is_plugins_own = failure.reason.is_some() || failure.hint.is_none();
    session.complain(&with_remedy(failure));
    if !is_plugins_own {
        session.say("waiting: it is tried again when a file is saved");
    }
    false
}

async fn try_deploy(deployment: &mut Deployment<'_>, access: &Access, changes: &mut Changes) -> Result<bool, Failure> {
    let session = deployment.session;
    let Some(package) = deployment.prepare().await? else { return Ok(false) };
    let placed = deployment.place(&package).await?;
    let outcome = tokio::select! {
        outcome = deployment.start(placed) => outcome?,
        () = overtaken(session, changes, &package.digest) => return Ok(true),
    };
    match outcome {
        Outcome::First(plugin) => output::print_how_to_reach(session, access, &plugin),
        Outcome::Again(plugin) => session.say(&format!("{} runs the new package", plugin.id)),
        Outcome::Stopped(plugin) => session.say(&format!(
            "{} has the new package, and stays inactive, as somebody wanted: it runs once it is activated",
            plugin.id
        )),
        Outcome::TakenBack => {}
    }
    Ok(false)
}

/// Waits until the folder is no longer as it was packaged.
async fn overtaken(session: &Session, changes: &mut Changes, digest: &str) {
    loop {
        changes.settled().await;
        if !session.is_still(digest) {
            return;
        }
    }
}

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
    /// It failed, and the package before it is back, of which the watch of the states tells.
    TakenBack,
}

/// A plugin that has the folder's package, and is to run.
#[derive(Debug)]
pub(super) struct Placed {
    plugin: Plugin,
    digest: String,
    /// Somebody stopped it while this session ran.
    is_stopped: bool,
}

impl<'a> Deployment<'a> {
    pub(super) fn new(session: &'a Session, build: Option<&'a str>) -> Self {
        let (packaged, plugin, log, remarks) = (None, None, None, Vec::new());
        Self { session, build, packaged, is_good: false, is_broken: false, plugin, was_running: false, remarks, log }
    }

    /// Builds and packages the folder; none if no file that counts has changed.
    pub(super) async fn prepare(&mut self) -> Result<Option<Package>, Failure> {
        // What the build itself wrote is no change: it is part of what was packaged after it.
        if self.packaged.as_ref().is_some_and(|digest| self.session.is_still(digest)) {
            if std::mem::take(&mut self.is_broken) {
                self.session.say("the folder is again as it was: there is nothing to do");
            }
            return Ok(None);
        }
        let built = self.build().await;
        let package = self.session.package().inspect_err(|_| {
            self.is_broken = true;
            // If the folder is as before again, that is tried again unless it runs.
            self.packaged.take_if(|_| !self.is_good);
        })?;
        (self.packaged, self.is_good, self.is_broken) = (Some(package.digest.clone()), false, false);
        built?;
        self.remark(&package);
        Ok(Some(package))
    }

    /// Runs the command that builds the plugin. Its output goes to the terminal as it is; it ends with the session.
    async fn build(&self) -> Result<(), Failure> {
        let Some(command) = self.build else { return Ok(()) };
        self.session.say(&format!("building: {command}"));
        let mut shell = Command::new("sh");
        let status = shell.arg("-c").arg(command).current_dir(&self.session.dir).kill_on_drop(true).status().await?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("`{command}` failed: {status}"))
            .hint("mend it and save a file; it is tried again then"))
    }

    /// Says what there is to say of a package, if it was not said of the one before.
    fn remark(&mut self, package: &Package) {
        let remarks = package.remarks.iter().map(|remark| format!("warning: {remark}"));
        let remarks: Vec<String> = remarks.chain(package.left_out_note()).collect();
        for remark in remarks.iter().filter(|remark| !self.remarks.contains(remark)) {
            if remark.starts_with("warning: ") { self.session.shout(remark) } else { self.session.say(remark) }
        }
        self.remarks = remarks;
    }

    /// Makes this the package of the folder's plugin.
    pub(super) async fn place(&mut self, package: &Package) -> Result<Placed, Failure> {
        let api = &self.session.api;
        let installed = self.session.installed(package.manifest_id(), PluginMode::Supervised).await?;
        self.leave(installed.as_ref()).await?;
        let is_stopped =
            self.plugin.is_some() && installed.as_ref().is_some_and(|it| it.active_state() == ActiveState::Inactive);
        let plugin = match installed {
            None => send_new(api, package).await?,
            Some(plugin) => self.place_on(plugin, package).await?,
        };
        self.follow_log(&plugin.id, false).await;
        if !is_stopped && plugin.active_state() == ActiveState::Inactive {
            // Not left to the wait for it, which may be given up: it would look as if somebody had stopped it.
            lifecycle::set(api, &plugin.id, ActiveState::Active, AT_ONCE).await?;
        }
        self.plugin = Some(plugin.clone());
        Ok(Placed { plugin, digest: package.digest.clone(), is_stopped })
    }

    /// Makes this the package of a plugin that is installed already.
    async fn place_on(&mut self, plugin: Plugin, package: &Package) -> Result<Plugin, Failure> {
        self.follow_log(&plugin.id, true).await;
        if plugin.package_digest() != package.digest {
            return self.update(&plugin, package).await;
        }
        if self.plugin.is_none() && plugin.active_state() == ActiveState::Active {
            // The server started it before this session looked: anew, so that its log is seen from the beginning. If
            // that is refused, starting it says why.
            let _ = lifecycle::restart(&self.session.api, &plugin.id, AT_ONCE).await;
        }
        Ok(plugin)
    }

    /// Stops the plugin that this session deployed to before, if the manifest has another id by now.
    async fn leave(&mut self, installed: Option<&Plugin>) -> Result<(), Failure> {
        let is_other = |before: &&Plugin| installed.is_none_or(|plugin| plugin.id != before.id);
        let Some(before) = self.plugin.as_ref().filter(is_other) else { return Ok(()) };
        self.session.say(&format!("the manifest has another id: {} is stopped, and stays installed", before.id));
        lifecycle::set(&self.session.api, &before.id, ActiveState::Inactive, Waiting::default()).await?;
        self.plugin = None;
        Ok(())
    }

    async fn update(&self, plugin: &Plugin, package: &Package) -> Result<Plugin, Failure> {
        let version = package.version().unwrap_or_default();
        self.session.say(&format!("updating: {}", versions(&plugin.version, version)));
        Ok(Box::pin(send_update(&self.session.api, &plugin.id, package, AT_ONCE)).await?)
    }

    /// Runs what was placed. This may take as long as it fails; nothing is lost if it is not waited for. An error means that
    /// it fails, and nothing took its place.
    pub(super) async fn start(&mut self, placed: Placed) -> Result<Outcome, Failure> {
        let Placed { plugin, digest, is_stopped } = placed;
        if is_stopped {
            self.is_good = true;
            return Ok(Outcome::Stopped(Box::new(plugin)));
        }
        let api = &self.session.api;
        let plugin = match lifecycle::set(api, &plugin.id, ActiveState::Active, Waiting::default()).await {
            Ok(plugin) => plugin,
            Err(status) if going_back_to(&status).is_some() => return Ok(Outcome::TakenBack),
            Err(status) => return Err(status.into()),
        };
        if plugin.package_digest() != digest {
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
        let after = match is_old {
            true => end_of(&self.session.api, id).await.unwrap_or_default(),
            false => None,
        };
        self.log = Some((id.to_owned(), follow_log(self.session, id, after)));
    }
}
