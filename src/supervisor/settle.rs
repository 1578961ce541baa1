//! When a change of what is desired has taken effect: a comparison of numbers, never a guess from a state's name. And the
//! callers who wait for that.
//!
//! Each is shown every record of its plugin, in order, from the commit of its own change on. Whoever looked at the newest
//! record only would miss what passes quickly: an update that failed and was taken back at once would look like one that
//! somebody replaced.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::actor::Goal;
use crate::domain::{ActiveState, Error, Failure, Plugin, Reason, Result, State, change::package_replaced};

/// What came of a change that was committed, if that is settled by now.
fn outcome(goal: Goal, committed: &Plugin, now: &Plugin) -> Option<Result<()>> {
    let (wanted, reported) = (&committed.desired, &now.reported);
    if now.desired.active_generation != wanted.active_generation {
        return Some(Err(superseded(now)));
    }
    if goal == Goal::SettledWithPackage && now.desired.package != wanted.package {
        return Some(Err(package_replaced(now)));
    }
    if reported.observed_generation < wanted.generation || reported.serial < committed.reported.serial {
        return None;
    }
    match (wanted.active, reported.state) {
        _ if goal == Goal::Observed => Some(Ok(())),
        (ActiveState::Active, State::Active) | (ActiveState::Inactive, State::Inactive) => Some(Ok(())),
        (_, State::Error) => Some(Err(failed(now))),
        _ => None,
    }
}

fn superseded(plugin: &Plugin) -> Error {
    let now = if plugin.desired.active.is_active() { "active" } else { "inactive" };
    Error::new(Reason::Superseded, format!("a later call made {now} the desired state"))
        .with("plugin_id", plugin.id)
        .with("generation", plugin.desired.generation)
}

fn failed(plugin: &Plugin) -> Error {
    let (message, failure) = (plugin.reported.message(), plugin.reported.failure.as_deref());
    // A package that is not there is not the plugin's own failure (CONTRACT 3.5).
    let is_missing = failure.is_some_and(|failure| failure.cause == Some(Reason::PackageNotFound));
    let reason = if is_missing { Reason::PackageNotFound } else { Reason::PluginFailed };
    let error = Error::new(reason, format!("the plugin failed: {message}"));
    let error = error.with("plugin_id", plugin.id).with("message", message);
    failure.into_iter().flat_map(facts).fold(error, |error, (key, value)| error.with(key, value))
}

/// What a program may want to know of a failure, by the names that the API has for it.
fn facts(failure: &Failure) -> impl Iterator<Item = (&'static str, String)> {
    let known = [
        ("stage", Some(failure.stage.name().to_owned())),
        ("exit_code", failure.exit_code.map(|code| code.to_string())),
        ("signal", failure.signal.map(|signal| signal.to_string())),
        ("survivors", Some(format!("{:?}", failure.survivors)).filter(|_| !failure.survivors.is_empty())),
        ("going_back_to", failure.going_back_to.map(|digest| digest.to_string())),
    ];
    known.into_iter().filter_map(|(key, value)| Some((key, value?)))
}

pub(super) fn not_settled(plugin: &Plugin) -> Error {
    let state = format!("{:?}", plugin.reported.state).to_lowercase();
    let why = Some(plugin.reported.message()).filter(|why| !why.is_empty()).map(|why| format!(": {why}"));
    Error::new(Reason::NotSettled, format!("not settled in time; the plugin is {state}{}", why.unwrap_or_default()))
        .with("plugin_id", plugin.id)
        .with("state", state)
}

type Answer = Result<Arc<Plugin>>;

/// All who wait for one plugin.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<Waiter>>);

struct Waiter {
    goal: Goal,
    committed: Arc<Plugin>,
    settled: oneshot::Sender<Answer>,
}

/// A change that was committed, and what is to come of it.
#[derive(Debug)]
pub struct Committed {
    /// The plugin right after the commit.
    pub plugin: Arc<Plugin>,
    /// The revision that has to be durable before it is answered.
    pub(super) revision: u64,
    /// Answered when the change is settled. Whoever drops it does not care.
    pub(super) settled: oneshot::Receiver<Answer>,
}

impl Waiters {
    /// Somebody waits for this from now on. `newest` is looked at first, while no other record can pass.
    pub(super) fn add(
        &self,
        (goal, committed): (Goal, Arc<Plugin>),
        newest: impl FnOnce() -> Option<Arc<Plugin>>,
    ) -> oneshot::Receiver<Answer> {
        let (settled, answer) = oneshot::channel();
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut waiters);
        waiters.extend(Waiter { goal, committed, settled }.look_at(newest().as_ref()));
        answer
    }

    /// Shows the next record; none when the plugin is deleted.
    pub(super) fn show(&self, record: Option<&Arc<Plugin>>) {
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *waiters);
        waiters.extend(waiting.into_iter().filter_map(|waiter| waiter.look_at(record)));
    }
}

/// Before the list grows, those who have gone away are taken out: no record may come for long, and calls may. It doubles
/// only where more than half of it still wait, so that each call pays for a few looks at most.
fn make_room(waiters: &mut Vec<Waiter>) {
    if waiters.len() == waiters.capacity() {
        waiters.retain(|waiter| !waiter.settled.is_closed());
        waiters.reserve(waiters.len().max(1));
    }
}

impl Waiter {
    /// Goes on waiting, unless this record is the answer or nobody waits any longer.
    fn look_at(self, record: Option<&Arc<Plugin>>) -> Option<Self> {
        let answer = match record {
            None => Err(Error::new(Reason::BeingDeleted, "the plugin was deleted")),
            Some(plugin) => match outcome(self.goal, &self.committed, plugin) {
                None if self.settled.is_closed() => return None,
                None => return Some(self),
                Some(outcome) => outcome.map(|()| plugin.clone()),
            },
        };
        // Who has gone away needs no answer.
        drop(self.settled.send(answer));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Mode, Reported, State},
        supervisor::{handle::new_plugin, tests::world::mk_manifest},
    };

    #[test]
    fn those_who_have_gone_away_do_not_pile_up() {
        let plugin = new_plugin(mk_manifest(), Mode::External);
        let reported = Reported { state: State::Connecting, ..plugin.reported.clone() };
        let connecting = Arc::new(Plugin { reported, ..plugin.clone() });
        let waiters = Waiters::default();
        let add = || waiters.add((Goal::Settled, Arc::new(plugin.clone())), || Some(connecting.clone()));
        let mut patient = [add(), add(), add()];
        for _ in 0..1000 {
            drop(add());
            let kept = waiters.0.lock().unwrap().len();
            assert!(kept <= 4 * patient.len(), "{kept} are kept");
        }
        let reported = Reported { state: State::Active, ..connecting.reported.clone() };
        waiters.show(Some(&Arc::new(Plugin { reported, ..plugin.clone() })));
        assert!(patient.iter_mut().all(|answer| answer.try_recv().is_ok_and(|answer| answer.is_ok())));
    }
}
