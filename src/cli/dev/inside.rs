//! A plugin under development that plugd runs: deployed, and deployed anew when a file changes.

use super::{
    Session, banner,
    changes::Changes,
    deploy::{Deployment, Outcome},
    server::Access,
    trail, with_remedy,
};
use crate::cli::failure::Failure;

/// Runs the plugin of the session's folder, again after each change, until the session is over.
///
/// # Errors
/// The folder can't be watched. Everything else is printed, and the next change is another chance.
pub(super) async fn run(session: &Session, access: &Access, build: Option<&str>) -> Result<(), Failure> {
    let mut changes = Changes::of(&session.dir, session.except())?;
    let _trail = trail::states(session, Vec::new());
    let mut inside = Inside { session, access, deployment: Deployment::new(session, build) };
    loop {
        let Some(is_overtaken) = session.stop.run_until_cancelled(Box::pin(inside.deploy(&mut changes))).await else {
            return Ok(());
        };
        if !is_overtaken && !changes.next(session).await {
            return Ok(());
        }
    }
}

struct Inside<'a> {
    session: &'a Session,
    access: &'a Access,
    deployment: Deployment<'a>,
}

impl Inside<'_> {
    /// Deploys the folder as it is now. True if it has changed before that came to anything.
    async fn deploy(&mut self, changes: &mut Changes) -> bool {
        self.try_deploy(changes).await.unwrap_or_else(|failure| {
            self.complain(failure);
            false
        })
    }

    async fn try_deploy(&mut self, changes: &mut Changes) -> Result<bool, Failure> {
        let Some(package) = self.deployment.prepare().await? else { return Ok(false) };
        let placed = self.deployment.place(&package).await?;
        let outcome = tokio::select! {
            outcome = self.deployment.start(placed) => outcome?,
            () = overtaken(self.session, changes, &package.digest) => return Ok(true),
        };
        self.tell(&outcome);
        Ok(false)
    }

    fn tell(&self, outcome: &Outcome) {
        match outcome {
            Outcome::First(plugin) => banner::print(self.session, self.access, plugin),
            Outcome::Again(plugin) => self.session.say(&format!("{} runs the new package", plugin.id)),
            Outcome::Stopped(plugin) => self.session.say(&format!(
                "{} has the new package, and stays inactive, as somebody wanted: it runs once it is activated",
                plugin.id
            )),
            Outcome::TakenBack => {}
        }
    }

    fn complain(&self, failure: Failure) {
        let is_plugins_own = failure.reason.is_some() || failure.hint.is_none();
        self.session.complain(&with_remedy(failure));
        if !is_plugins_own {
            self.session.say("waiting: it is tried again when a file is saved");
        }
    }
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
