//! What runs use of the host, sampled.
//!
//! One task looks at all runs in turn while there are any: at each of them every [`INTERVAL`], and at no more of the kernel's
//! files a second than [`LOOKS`]. So a thousand plugins cost no more than a hundred; each is looked at less often.

mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};

use self::source::Looks;
pub(super) use self::source::Source;
use crate::domain::{RunId, Usage, usage::Sample};

/// How often a run is sampled, where that is not too much for all together.
const INTERVAL: Duration = Duration::from_secs(5);

/// How often the task looks which run it is time for.
const TICK: Duration = Duration::from_secs(1);

/// How many files are looked at in a tick, on average: enough for a hundred plugins of one process each at every interval. A run with more is looked at as a whole, and others wait for it.
const LOOKS: i64 = 150;

/// What all runs use. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Usages(Arc<Mutex<Runs>>);

#[derive(Default)]
struct Runs {
    by_id: HashMap<RunId, Known>,
    /// Those that were not sampled yet.
    new: VecDeque<RunId>,
    /// The others, and when it is time for them: the soonest first. Some may have ended.
    waiting: VecDeque<(Instant, RunId)>,
    /// Whether there is a task that samples.
    is_sampling: bool,
}

struct Known {
    source: Arc<Source>,
    usage: Option<Usage>,
    sampled: Option<Instant>,
}

/// Has a run sampled until it is dropped.
pub(super) struct Sampled {
    usages: Usages,
    run: RunId,
}

impl Usages {
    /// Samples what a run uses. Must be called within a tokio runtime.
    pub(super) fn sample(&self, run: RunId, source: Source) -> Sampled {
        let mut runs = self.runs();
        runs.by_id.insert(run, Known { source: Arc::new(source), usage: None, sampled: None });
        runs.new.push_back(run);
        if !std::mem::replace(&mut runs.is_sampling, true) {
            tokio::spawn(keep_sampling(self.clone()));
        }
        Sampled { usages: self.clone(), run }
    }

    /// What a run uses; none before it was sampled, and once it has ended.
    pub(super) fn of(&self, run: RunId) -> Option<Usage> {
        self.runs().by_id.get(&run)?.usage.clone()
    }

    /// Samples those runs for which it is time, for as many looks as there are left, and takes those away. More may be taken than
    /// there are. False when there are no runs any more.
    fn sample_some(&self, looks_left: &mut i64) -> bool {
        while *looks_left > 0
            && let Some((run, source)) = self.next(Instant::now())
        {
            let mut looks = Looks::default();
            let sample = source.read(&mut looks);
            *looks_left -= i64::from(looks.taken().max(1));
            self.runs().take(run, sample, Instant::now());
        }
        self.runs().goes_on()
    }

    /// The next run. The lock is not held any more when this returns.
    fn next(&self, now: Instant) -> Option<(RunId, Arc<Source>)> {
        self.runs().next(now)
    }

    // A poisoned lock would mean a panic between two assignments that can't panic; what it guards is whole.
    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        self.usages.runs().by_id.remove(&self.run);
    }
}

impl Runs {
    /// The run to be sampled next, if it is time for one: one that never was comes first.
    fn next(&mut self, now: Instant) -> Option<(RunId, Arc<Source>)> {
        loop {
            let run = match self.new.pop_front() {
                Some(run) => run,
                None => self.waiting.pop_front_if(|(at, _)| *at <= now)?.1,
            };
            if let Some(known) = self.by_id.get(&run) {
                return Some((run, Arc::clone(&known.source)));
            }
        }
    }

    /// Takes what was found of a run, unless it has ended meanwhile.
    fn take(&mut self, run: RunId, sample: Option<Sample>, now: Instant) {
        let Some(known) = self.by_id.get_mut(&run) else { return };
        self.waiting.push_back((now + INTERVAL, run));
        let Some(sample) = sample else { return };
        match (&mut known.usage, known.sampled.replace(now)) {
            (Some(usage), Some(before)) => usage.add(sample, now.duration_since(before)),
            (usage, _) => *usage = Some(Usage::first(sample)),
        }
    }

    /// Whether there are runs to be sampled; else the task is to end.
    fn goes_on(&mut self) -> bool {
        self.is_sampling = !self.by_id.is_empty();
        if !self.is_sampling {
            *self = Self::default();
        }
        self.is_sampling
    }
}

/// Samples until there are no runs.
async fn keep_sampling(usages: Usages) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = 0;
    loop {
        ticks.tick().await;
        // What was taken too much is missing now; what was left over then is not there any more.
        left = (left + LOOKS).min(LOOKS);
        let usages = usages.clone();
        // The kernel may make a thread wait which reads its files.
        let sampled = spawn_blocking(move || {
            let goes_on = usages.sample_some(&mut left);
            (goes_on, left)
        });
        match sampled.await {
            Ok((true, rest)) => left = rest,
            Ok((false, _)) => return,
            // Of that run nothing is known then; the others are sampled all the same.
            Err(error) => tracing::error!(%error, "what a plugin uses could not be sampled"),
        }
    }
}
