//! A plugin under development that plugd runs: built, packaged, installed or updated, started; and anew when a file changes.

use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{
    Access, REMEDY, Session,
    changes::Changes,
    output::{follow_log, follow_states, print_how_to_reach},
};
use crate::{
    api::v1::{ActiveState, Plugin, PluginMode},
    cli::{
        failure::Failure,
        install::{send_new, send_update, versions},
        lifecycle,
        lifecycle::{Waiting, going_back_to},
        package::Package,
    },
};

/// Runs the plugin of the session's folder, again after each change, until the session is over. What fails is printed, and
/// the next change is another chance.
pub(super) async fn run(session: &Session, access: &Access, build: Option<&str>) -> Result<(), Failure> {
    let mut changes = Changes::of(&session.dir, vec![session.data_dir.clone()])?;
    let _states = follow_states(session, Vec::new());
    let mut deployment = Deployment::new(session, build);
    loop {
        let attempt = Box::pin(attempt(&mut deployment, access, &mut changes));
        let Some(is_overtaken) = session.stop.run_until_cancelled(attempt).await else { return Ok(()) };
        if !is_overtaken && !changes.next(session).await {
            return Ok(());
        }
    }
}

/// Deploys the folder as it is now, and prints what came of it. True if the folder has changed before that was known.
async fn attempt(deployment: &mut Deployment<'_>, access: &Access, changes: &mut Changes) -> bool {
    let session = deployment.session;
    let package = match deployment.prepare().await {
        Ok(Some(package)) => package,
        Ok(None) => return false,
        Err(failure) => {
            session.failed(failure);
            return false;
        }
    };
    let outcome = tokio::select! {
        outcome = deployment.deploy(&package) => outcome,
        () = overtaken(session, changes, &package.digest) => return true,
    };
    match outcome {
        Ok(Outcome::First(plugin)) => print_how_to_reach(session, access, &plugin),
        Ok(Outcome::Again(plugin)) => session.say(&format!("{} runs the new package", plugin.id)),
        Ok(Outcome::Stopped(plugin)) => session.say(&format!(
            "{} has the new package, and stays inactive, as somebody wanted: it runs once it is activated",
            plugin.id
        )),
        Ok(Outcome::PutBack(why)) => {
            session.shout(&format!("the new package failed ({why}): the one before it is put back"));
            session.say(REMEDY);
        }
        Err(failure) => session.failed(failure),
    }
    false
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
pub(super) struct Deployment<'a> {
    session: &'a Session,
    build: Option<&'a str>,
    /// Digest of the folder as it was last packaged, whatever came of that.
    packaged: Option<String>,
    /// Whether that ran.
    is_good: bool,
    /// Whether the folder could not be packaged since.
    is_broken: bool,
    /// Id of the plugin that this session last deployed to.
    plugin: Option<String>,
    /// Whether any package ran in this session.
    has_run: bool,
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
    /// It failed for this reason, and the package before it takes its place.
    PutBack(String),
}

impl<'a> Deployment<'a> {
    pub(super) fn new(session: &'a Session, build: Option<&'a str>) -> Self {
        let (packaged, plugin, log, remarks) = (None, None, None, Vec::new());
        Self { session, build, packaged, is_good: false, is_broken: false, plugin, has_run: false, remarks, log }
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
        if status.success() { Ok(()) } else { Err(Failure::new(format!("`{command}` failed: {status}"))) }
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

    /// Makes this the package of the folder's plugin, and runs it unless somebody stopped it. That takes minutes if it
    /// fails; nothing is lost if it is not waited for.
    pub(super) async fn deploy(&mut self, package: &Package) -> Result<Outcome, Failure> {
        let installed = self.session.installed(package.manifest_id(), PluginMode::Supervised).await?;
        self.leave(installed.as_ref()).await?;
        let is_inactive = |plugin: &Plugin| plugin.active_state() == ActiveState::Inactive;
        let is_stopped = self.plugin.is_some() && self.has_run && installed.as_ref().is_some_and(is_inactive);
        let before = match installed {
            Some(plugin) => plugin,
            None => send_new(&self.session.api, package).await?,
        };
        self.follow_log(&before.id);
        let is_known = self.plugin.replace(before.id.clone()).is_some();
        match self.run(&before, package, is_known, is_stopped).await {
            Ok(plugin) if plugin.package_digest() != package.digest => {
                Ok(Outcome::PutBack("it was not stable".to_owned()))
            }
            Ok(plugin) if is_stopped => {
                self.is_good = true;
                Ok(Outcome::Stopped(Box::new(plugin)))
            }
            Ok(plugin) => {
                self.is_good = true;
                let is_first = !std::mem::replace(&mut self.has_run, true);
                Ok(if is_first { Outcome::First(Box::new(plugin)) } else { Outcome::Again(Box::new(plugin)) })
            }
            Err(status) if going_back_to(&status).is_some() => {
                let why = status.message().trim_start_matches("the plugin failed: ").to_owned();
                Ok(Outcome::PutBack(why))
            }
            Err(status) => Err(status.into()),
        }
    }

    /// Stops the plugin that this session deployed to before, if the manifest has another id by now.
    async fn leave(&mut self, installed: Option<&Plugin>) -> Result<(), Failure> {
        let is_other = |before: &&String| installed.is_none_or(|plugin| plugin.id != **before);
        let Some(before) = self.plugin.as_ref().filter(is_other) else { return Ok(()) };
        self.session.say(&format!("the manifest has another id: {before} is stopped, and stays installed"));
        lifecycle::set(&self.session.api, before, ActiveState::Inactive, Waiting::default()).await?;
        self.plugin = None;
        Ok(())
    }

    async fn run(
        &self,
        before: &Plugin,
        package: &Package,
        is_known: bool,
        is_stopped: bool,
    ) -> Result<Plugin, Status> {
        let (api, id, waiting) = (&self.session.api, &before.id, Waiting::default());
        if before.package_digest() != package.digest {
            let versions = versions(&before.version, package.version());
            self.session.say(&format!("updating: {versions}"));
            let updated = Box::pin(send_update(api, id, package, waiting)).await?;
            if is_stopped {
                return Ok(updated);
            }
        } else if is_stopped {
            return Ok(before.clone());
        } else if !is_known && before.active_state() == ActiveState::Active {
            // The server started it before this session looked: anew, so that its log is seen from the beginning. If
            // that is refused, starting it says why.
            let _ = lifecycle::restart(api, id, Waiting { no_wait: true, timeout: None }).await;
        }
        lifecycle::set(api, id, ActiveState::Active, waiting).await
    }

    /// Follows the log of a plugin from now on, unless it is followed already.
    fn follow_log(&mut self, id: &str) {
        if !self.log.as_ref().is_some_and(|(followed, task)| followed == id && !task.is_finished()) {
            self.log = Some((id.to_owned(), follow_log(self.session, id)));
        }
    }
}
