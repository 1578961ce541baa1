//! A plugin under development that plugd runs: built, packaged, installed or updated, started; and anew when a file changes.

use std::pin::pin;

use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::{Session, changes::Changes, follow_log, follow_states, print_how_to_reach};
use crate::{
    api::v1::{ActiveState, PluginMode},
    cli::{
        failure::Failure,
        install::{send_new, send_update, versions},
        lifecycle::{Waiting, set},
        package::Package,
    },
};

/// Runs the plugin of the session's folder, again after each change. A newer package takes the place of one that is still
/// being deployed.
pub(super) async fn run(session: &Session, build: Option<&str>) -> Result<(), Failure> {
    let _states = follow_states(session, Vec::new());
    let (mut packages, mut deployment) = (Packages::of(session, build)?, Deployment::new(session));
    let mut package = packages.next().await;
    loop {
        let mut next = pin!(packages.next());
        package = tokio::select! {
            newer = &mut next => newer,
            () = deployment.deploy(&package) => next.await,
        };
    }
}

/// The packages that a folder becomes as it changes.
pub(super) struct Packages<'a> {
    session: &'a Session,
    build: Option<&'a str>,
    changes: Changes,
    has_begun: bool,
    /// Digest of the folder as it was last, when it had been built.
    seen: Option<Vec<u8>>,
    /// The notes on the last package.
    notes: Vec<String>,
}

impl<'a> Packages<'a> {
    pub(super) fn of(session: &'a Session, build: Option<&'a str>) -> Result<Self, Failure> {
        let changes = Changes::of(&session.dir, &session.data_dir)?;
        Ok(Self { session, build, changes, has_begun: false, seen: None, notes: Vec::new() })
    }

    /// The folder's package as it is now, then after each change. What fails is said, and the next change is another chance.
    pub(super) async fn next(&mut self) -> Package {
        loop {
            if std::mem::replace(&mut self.has_begun, true) {
                self.changes.settled().await;
            }
            // The files that a build wrote are no change: they were seen after it.
            let folder = self.session.folder();
            if self.seen.is_some() && self.seen == folder.digest().ok() {
                continue;
            }
            let built = self.build().await;
            self.seen = folder.digest().ok();
            match built.and_then(|()| Package::of_folder(&folder)) {
                Ok(package) => {
                    self.tell_notes(&package);
                    return package;
                }
                Err(failure) => self.session.failed(failure),
            }
        }
    }

    /// Runs the command that builds the plugin. Its output goes to the terminal as it is; it ends with the session.
    async fn build(&self) -> Result<(), Failure> {
        let Some(command) = self.build else { return Ok(()) };
        self.session.say(&format!("building: {command}"));
        let mut shell = Command::new("sh");
        let status = shell.arg("-c").arg(command).current_dir(&self.session.dir).kill_on_drop(true).status().await?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("`{command}` failed: {status}"))) }
    }

    /// Prints the notes on a package that the one before did not have.
    fn tell_notes(&mut self, package: &Package) {
        let notes = package.notes();
        notes.iter().filter(|note| !self.notes.contains(note)).for_each(|note| self.session.say(note));
        self.notes = notes;
    }
}

/// The deployment of packages to the plugin that has their manifest id.
pub(super) struct Deployment<'a> {
    session: &'a Session,
    /// Id of the plugin that was deployed to last, and what prints its log until dropped.
    plugin: Option<(String, AbortOnDropHandle<()>)>,
    /// Whether any package ran in this session.
    has_run: bool,
}

impl<'a> Deployment<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session, plugin: None, has_run: false }
    }

    /// Makes this the plugin's package and runs it, and says what came of it. That takes minutes if it fails; nothing is lost
    /// if it is not waited for.
    pub(super) async fn deploy(&mut self, package: &Package) {
        if let Err(failure) = Box::pin(self.run(package)).await {
            self.session.failed(failure);
        }
    }

    async fn run(&mut self, package: &Package) -> Result<(), Failure> {
        let (session, api) = (self.session, &self.session.api);
        let installed = session.installed(package.manifest_id(), PluginMode::Supervised).await?;
        let plugin = match installed {
            None => send_new(api, package).await?,
            Some(plugin) if plugin.package_digest() == package.digest => plugin,
            Some(plugin) => {
                session.say(&format!("updating: {}", versions(&plugin.version, package.version())));
                Box::pin(send_update(api, &plugin, package, Waiting::default())).await?
            }
        };
        let is_another = self.turn_to(&plugin.id).await;
        if self.has_run && !is_another && plugin.active_state() == ActiveState::Inactive {
            session.say(&format!("{} has the new package, and stays inactive until somebody activates it", plugin.id));
            return Ok(());
        }
        let plugin = set(api, plugin.id, ActiveState::Active, Waiting::default()).await?;
        if plugin.package_digest() != package.digest {
            return Err(Failure::new("the new package was not stable; the one before it is put back"));
        }
        match std::mem::replace(&mut self.has_run, true) {
            false => print_how_to_reach(session, &plugin),
            true => session.say(&format!("{} runs the new package", plugin.id)),
        }
        Ok(())
    }

    /// Prints the log of this plugin from now on. True if it is another one than before: that one is stopped.
    async fn turn_to(&mut self, id: &str) -> bool {
        if let Some((before, _)) = &self.plugin {
            if before == id {
                return false;
            }
            match set(&self.session.api, before.clone(), ActiveState::Inactive, Waiting::default()).await {
                Ok(_) => {
                    self.session.say(&format!("the manifest has another id: {before} is stopped, and stays installed"));
                }
                // Somebody deleted it.
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => self.session.complain(&status.into()),
            }
        }
        self.plugin = Some((id.to_owned(), follow_log(self.session, id)));
        true
    }
}
