//! Everything of a start that comes before the process: its turn, the end of an earlier run, the package.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::thread::{CapabilitySet, capabilities};
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::{
    domain::{Failure, PluginId, Reason, Stage, policy::User},
    runtime::{
        StartSpec,
        install::{self, InstallError, Wanted},
    },
};

/// What one task may do with a plugin at a time.
pub(super) type PluginLock = Arc<OwnedMutexGuard<()>>;

/// A lock for each plugin that is in somebody's hands, and a few that are in nobody's.
#[derive(Debug, Default)]
pub(super) struct PluginLocks(Mutex<Locks>);

#[derive(Debug, Default)]
struct Locks {
    of: HashMap<PluginId, Arc<tokio::sync::Mutex<()>>>,
    /// Those in nobody's hands are looked for when there are so many: seldom enough that it costs each start the same.
    many: usize,
}

impl Locks {
    fn of(&mut self, plugin: PluginId) -> Arc<tokio::sync::Mutex<()>> {
        if self.of.len() >= self.many {
            self.of.retain(|_, lock| Arc::strong_count(lock) > 1);
            self.many = 2 * self.of.len() + 1;
        }
        Arc::clone(self.of.entry(plugin).or_default())
    }
}

impl PluginLocks {
    pub(super) async fn lock(&self, plugin: PluginId) -> OwnedMutexGuard<()> {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner).of(plugin);
        lock.lock_owned().await
    }

    /// Waits until nobody holds any of those that were held when that was asked for.
    pub(super) async fn free(&self) {
        let all: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).of.values().cloned().collect();
        for lock in all {
            drop(lock.lock_owned().await);
        }
    }
}

/// One of the few starts under way, with the plugin's directory to itself.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    folder: PluginLock,
    /// To be held until nothing of the run is left.
    pub(super) run: PluginLock,
}

/// Sees to it that the package is in place, and then does what is `next`, on the thread that has found it there: told who runs
/// the plugin and owns its files, plugd's own user when absent. The clock starts with the turn: those who only wait behind other
/// plugins have not failed.
pub(super) async fn in_place<T: Send + 'static>(
    inner: &Arc<Inner>,
    spec: &StartSpec,
    turn: &Turn,
    next: impl FnOnce(Option<User>) -> T + Send + 'static,
) -> Result<T, Failure> {
    let limit = spec.prepare_timeout;
    let seconds = limit.as_secs_f32();
    let message = format!("the package was not laid out within {seconds} s, or its program was not found in that time");
    let late = |_| Failure::new(Stage::Start, message);
    let (of_spec, digest) = (spec.clone(), spec.package);
    // Tells work on another thread that nobody waits for it any more.
    let cancel = CancellationToken::new();
    let _cancel_on_drop = cancel.clone().drop_guard();
    let of = |inner: &Arc<Inner>| (Arc::clone(inner), Arc::clone(&turn.folder), cancel.clone());
    let work = async {
        let (files, held, token) = of(inner);
        let found = blocking(move || {
            let owner = user_of(&files, &of_spec)?;
            let wanted = Wanted { plugin: of_spec.plugin, digest, owner };
            let is_current = files.installations.is_current(wanted, &|_| check(&token))?;
            drop(held);
            Ok(if is_current { Ok(next(owner)) } else { Err((wanted, next)) })
        });
        let (wanted, next) = match found.await? {
            Ok(done) => return Ok(done),
            Err(absent) => absent,
        };
        let package = (inner.fetch)(digest).await.map_err(not_fetched)?;
        let (files, held, token) = of(inner);
        blocking(move || {
            files.installations.lay(wanted, &*package, &|_| check(&token))?;
            drop(held);
            Ok(next(wanted.owner))
        })
        .await
    };
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// Who runs a plugin and owns its files; plugd's own user when absent. This is decided here and nowhere else. Blocking.
fn user_of(inner: &Inner, spec: &StartSpec) -> install::Result<Option<User>> {
    match (spec.policy.process.user, inner.options.uids) {
        (Some(_), _) if !may_change_users() => Err(InstallError::PolicyUser(spec.plugin)),
        (Some(user), Some(range)) if range.contains(user.uid) => {
            inner.installations.hold_user(spec.plugin, user).map(|()| Some(user))
        }
        (Some(user), _) => Ok(Some(user)),
        (None, Some(range)) => inner.installations.claim_user(spec.plugin, range).map(Some),
        (None, None) => Ok(inner.options.user),
    }
}

/// Whether this process may give files to other users, and start processes as them.
fn may_change_users() -> bool {
    let needed = CapabilitySet::CHOWN | CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Waits for a turn, and for the end of an earlier run.
///
/// The directory may be in the hands of an earlier start that was given up: a thread that a disk has stopped goes on
/// until the disk does. And a run may have been given up whose processes can't be killed. The others' turns come: nobody
/// who waits here keeps one.
pub(super) async fn turn(inner: &Arc<Inner>, spec: &StartSpec) -> Result<Turn, Failure> {
    let folder = lock(spec, &inner.folders, "the disk has been busy with an earlier start of this plugin for");
    let folder = folder.await?;
    let run = lock(spec, &inner.runs, "processes of an earlier run, which can't be killed, have lived on for");
    let run = run.await?;
    let permit = Arc::clone(&inner.turns).acquire_owned().await;
    let permit = permit.map_err(|error| Failure::new(Stage::Start, error.to_string()))?;
    Ok(Turn { _permit: permit, folder, run })
}

async fn lock(spec: &StartSpec, locks: &PluginLocks, in_the_way: &str) -> Result<PluginLock, Failure> {
    let limit = spec.prepare_timeout;
    let late = |_| Failure::new(Stage::Start, format!("{in_the_way} {} s", limit.as_secs_f32()));
    tokio::time::timeout(limit, locks.lock(spec.plugin)).await.map_err(late).map(Arc::new)
}

fn check(cancel: &CancellationToken) -> install::Result<()> {
    if cancel.is_cancelled() { Err(InstallError::Cancelled) } else { Ok(()) }
}

/// Runs work that may block on a thread for that. It goes on when nobody waits any more, until its next step.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> install::Result<T> + Send + 'static) -> Result<T, Failure> {
    match spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::new(Stage::Start, format!("laying out the package broke off: {error}"))),
    }
}

fn not_fetched(error: crate::domain::Error) -> Failure {
    let failure = Failure::new(Stage::Start, error.message).caused_by(error.reason);
    match error.reason {
        Reason::PackageNotFound | Reason::InvalidPackage | Reason::InvalidManifest => failure.permanent(),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_in_nobodys_hands_do_not_pile_up_and_those_held_stay() {
        let locks = PluginLocks::default();
        let mk_id = |number: u16| {
            let [high, low] = number.to_be_bytes();
            PluginId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low])
        };
        let _held = locks.lock(mk_id(0)).await;
        for number in 1..1000 {
            drop(locks.lock(mk_id(number)).await);
        }
        let known = locks.0.lock().unwrap();
        assert!(known.of.len() < 10 && known.of.contains_key(&mk_id(0)), "{}", known.of.len());
    }
}
