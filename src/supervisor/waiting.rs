//! Callers who wait until what they asked for is settled.
//!
//! Each is shown every record of its plugin, in order, from the commit of its own change on. Whoever looked at the newest
//! record only would miss what passes quickly: an update that failed and was taken back at once would look like one that
//! somebody replaced.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::settle::Wanted;
use crate::domain::{Error, Plugin, Reason, Result};

type Answer = Result<Arc<Plugin>>;

/// All who wait for one plugin.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<Waiter>>);

struct Waiter {
    wanted: Wanted,
    settled: oneshot::Sender<Answer>,
}

/// A change that was committed, and what is to come of it.
#[derive(Debug)]
pub struct Committed {
    /// The plugin right after the commit.
    pub plugin: Arc<Plugin>,
    /// Answered when the change is settled. Whoever drops it does not care.
    pub(super) settled: oneshot::Receiver<Answer>,
}

impl Waiters {
    /// Somebody waits for this from now on. `newest` is looked at first, while no other record can pass.
    pub(super) fn add(
        &self,
        wanted: Wanted,
        newest: impl FnOnce() -> Option<Arc<Plugin>>,
    ) -> oneshot::Receiver<Answer> {
        let (settled, answer) = oneshot::channel();
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.extend(Waiter { wanted, settled }.look_at(newest().as_ref()));
        answer
    }

    /// Shows the next record; none when the plugin is deleted.
    pub(super) fn show(&self, record: Option<&Arc<Plugin>>) {
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *waiters);
        waiters.extend(waiting.into_iter().filter_map(|waiter| waiter.look_at(record)));
    }
}

impl Waiter {
    /// Goes on waiting, unless this record is the answer or nobody waits any longer.
    fn look_at(self, record: Option<&Arc<Plugin>>) -> Option<Self> {
        let answer = match record {
            None => Err(Error::new(Reason::BeingDeleted, "the plugin was deleted")),
            Some(plugin) => match self.wanted.outcome(plugin) {
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
