//! The task of one webhook: reads the journal after its cursor, and posts what is wanted, one message after the other. A message that
//! is not taken holds up those behind it, and nobody else.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Parts,
    delivery::{MAX_RETRY_AFTER, Outcome},
    event::Message,
    shared::Shared,
};
use crate::{
    domain::{Error, Reason, backoff::doubled, hook::Progress},
    supervisor::{Change, Filter, Frame, Start, Watch, WatchQuery, jittered},
};

/// The first wait after a failure, which doubles with each.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after a failure, unless the receiver asks for more.
const MAX_BACKOFF: Duration = Duration::from_secs(10 * 60);

/// How often the cursor is stored while messages are delivered. What was delivered since is delivered again if plugd is killed.
const STORE_DELIVERED: Duration = Duration::from_secs(1);
/// How often it is stored while nothing is wanted of what happens.
const STORE_IDLE: Duration = Duration::from_secs(10);

/// How long after a journal that can't be read it is read again.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// How often a watch says that nothing happened, which nobody needs here.
const HEARTBEAT: Duration = Duration::from_secs(300);

pub(super) struct Follower {
    parts: Arc<Parts>,
    shared: Arc<Shared>,
    watch: Option<Watch>,
    /// What is wanted of what was read, with the revision of each.
    pending: VecDeque<(u64, Message)>,
    /// What is stored, as far as is known, and when that was tried last.
    stored: Option<Progress>,
    tried_to_store: Instant,
    /// Until when an attempt that failed is not repeated, unless an operator asks for it. The clock on the wall may be set meanwhile.
    wait_until: Instant,
    /// The journal could not be read the last time.
    has_read_failed: bool,
}

impl Follower {
    pub(super) fn new(parts: Arc<Parts>, shared: Arc<Shared>) -> Self {
        let (now, left) = (Instant::now(), shared.progress().next_attempt.and_then(until).unwrap_or_default());
        Self {
            parts,
            shared,
            watch: None,
            pending: VecDeque::new(),
            stored: None,
            tried_to_store: now,
            wait_until: now + left,
            has_read_failed: false,
        }
    }

    /// Follows the journal until the webhook is deleted or plugd stops.
    pub(super) async fn run(mut self) {
        let end = self.shared.end.clone();
        // Of another history it is only known now where it goes on: later, more would have happened.
        self.store().await;
        while end.run_until_cancelled(self.step()).await.is_some() {}
        self.store().await;
    }

    /// Does what comes next. May be given up anywhere: at worst a message is delivered twice.
    async fn step(&mut self) {
        if self.store_at() <= Instant::now() {
            self.store().await;
        }
        let progress = self.shared.progress();
        if !progress.is_enabled {
            (self.watch, self.pending) = (None, VecDeque::new());
            return self.pause(STORE_IDLE).await;
        }
        if progress.failures > 0 {
            self.give_up_forgotten();
        }
        let left = self.wait_until.saturating_duration_since(Instant::now());
        match self.pending.front().cloned() {
            Some(_) if progress.next_attempt.is_some() && !left.is_zero() => self.pause(left).await,
            Some((_, message)) => self.attempt(&message).await,
            None => self.read().await,
        }
    }

    /// What is refused is tried again as long as the journal has it. What it has not is then found to be missed as it is read anew.
    fn give_up_forgotten(&mut self) {
        if self.pending.front().is_some_and(|(revision, _)| *revision <= self.parts.store.compacted()) {
            (self.watch, self.pending) = (None, VecDeque::new());
        }
    }

    /// Waits for so long, until there is news, or until the cursor is to be stored.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.shared.news.notified() => {}
            () = sleep_until(self.store_at()) => {}
        }
    }

    /// Reads on, until there is something to look at or it is time to store the cursor.
    async fn read(&mut self) {
        let store_at = self.store_at();
        let watch = match self.watch.take().map_or_else(|| self.open(), Ok) {
            Ok(watch) => self.watch.insert(watch),
            Err(error) => return self.cannot_read(&error).await,
        };
        tokio::select! {
            frame = watch.next() => match frame {
                Ok(frame) => self.take_in(&frame),
                Err(error) => self.cannot_read(&error).await,
            },
            () = sleep_until(store_at) => {}
        }
    }

    fn open(&self) -> Result<Watch, Error> {
        let Progress { epoch, revision, .. } = self.shared.progress();
        let start = Start::After { epoch, revision };
        self.parts.handle.watch(WatchQuery { filter: Filter::default(), start, heartbeat: HEARTBEAT, max_age: None })
    }

    fn take_in(&mut self, frame: &Frame) {
        if std::mem::take(&mut self.has_read_failed) {
            self.shared.change(|hook| (hook.progress.failures, hook.progress.last_error) = (0, None));
        }
        if let Frame::Events(changes) = frame {
            self.queue(changes);
        }
    }

    fn queue(&mut self, changes: &[Change]) {
        let hook = self.shared.hook();
        let wanted = changes.iter().map(|change| &change.commit).filter(|commit| hook.wants(commit));
        self.pending.extend(wanted.map(|commit| (commit.revision, self.parts.origin.of_commit(commit))));
        self.move_on();
    }

    /// Moves the cursor over what is not wanted: to what waits, or to what was read last.
    fn move_on(&self) {
        let waiting = self.pending.front().map(|(revision, _)| revision.saturating_sub(1));
        if let Some(revision) = waiting.or_else(|| self.watch.as_ref().map(Watch::cursor)) {
            self.shared.change(|hook| hook.progress.revision = revision);
        }
    }

    /// What the journal has forgotten is missed; anything else is tried again.
    async fn cannot_read(&mut self, error: &Error) {
        self.watch = None;
        let (hook, oldest) = (self.shared.hook(), self.parts.store.compacted());
        let missed = oldest.saturating_sub(hook.progress.revision);
        if error.reason != Reason::RevisionCompacted || missed == 0 {
            tracing::debug!(hook = %hook.id, %error, "a webhook can't read the journal");
            self.has_read_failed = true;
            self.shared.change(|hook| hook.progress.fail(format!("the journal can't be read: {error}")));
            return self.pause(READ_AGAIN).await;
        }
        tracing::warn!(hook = %hook.id, missed, "a webhook has missed revisions, which the journal no longer has");
        self.parts.metrics.missed(missed);
        self.shared.change(|hook| {
            hook.progress.missed += missed;
            hook.progress.revision = oldest;
        });
        self.store().await;
    }

    async fn attempt(&mut self, message: &Message) {
        let outcome = self.shared.send(&self.parts.client, message).await;
        self.parts.metrics.attempted(&outcome);
        self.note(outcome).await;
    }

    async fn note(&mut self, outcome: Outcome) {
        let now = Timestamp::now();
        self.shared.change(|hook| hook.progress.last_attempt = Some(now));
        match &outcome {
            Outcome::Delivered => self.delivered().await,
            Outcome::Gone => self.failed(&outcome, None).await,
            Outcome::Failed { retry_after, .. } => {
                let wait = jittered(doubled(BACKOFF, self.shared.progress().failures, MAX_BACKOFF));
                let wait = wait.max(retry_after.unwrap_or_default());
                self.wait_until = Instant::now() + wait;
                self.failed(&outcome, Some(now + wait)).await;
            }
        }
    }

    async fn delivered(&mut self) {
        let has_failed = self.shared.progress().failures > 0;
        let delivered = self.pending.pop_front();
        self.shared.change(|hook| {
            let progress = &mut hook.progress;
            progress.revision = delivered.map_or(progress.revision, |(revision, _)| revision);
            (progress.failures, progress.last_error, progress.next_attempt) = (0, None, None);
        });
        self.move_on();
        if has_failed {
            self.store().await;
        }
    }

    /// Without a next attempt there is none before an operator enables it again.
    async fn failed(&mut self, outcome: &Outcome, next_attempt: Option<Timestamp>) {
        // It may be long before more is needed of the journal than what waits already.
        self.watch = None;
        let why = outcome.error().unwrap_or_default();
        self.shared.change(|hook| {
            let progress = &mut hook.progress;
            progress.fail(why.to_owned());
            progress.next_attempt = next_attempt;
            progress.is_enabled = next_attempt.is_some();
        });
        let (hook, failures) = (self.shared.hook().id, self.shared.progress().failures);
        if next_attempt.is_none() {
            tracing::warn!(%hook, "a webhook is disabled: {why}");
        } else if failures == 1 {
            tracing::warn!(%hook, "a webhook could not be delivered, and is tried again: {why}");
        }
        self.store().await;
    }

    /// When the cursor is to be stored.
    fn store_at(&self) -> Instant {
        let last_attempt = self.shared.progress().last_attempt;
        let has_delivered = self.stored.as_ref().is_none_or(|stored| stored.last_attempt != last_attempt);
        self.tried_to_store + if has_delivered { STORE_DELIVERED } else { STORE_IDLE }
    }

    /// Stores how far it has come, if that is news.
    async fn store(&mut self) {
        self.tried_to_store = Instant::now();
        if self.stored.as_ref() == Some(&self.shared.progress()) {
            return;
        }
        match self.shared.store_progress(&self.parts.store).await {
            Ok(stored) => self.stored = Some(stored),
            Err(error) if error.reason == Reason::HookNotFound => {
                tracing::warn!(hook = %self.shared.hook().id, "a webhook is no longer stored, and is left alone");
                self.parts.forget(self.shared.hook().id);
            }
            Err(error) => tracing::debug!(%error, "how far a webhook has come could not be stored yet"),
        }
    }
}

/// How long it is until then; none if that is over, or further away than any wait is: then the clock was set back.
fn until(time: Timestamp) -> Option<Duration> {
    let left = Duration::try_from(time.duration_since(Timestamp::now())).ok()?;
    (!left.is_zero() && left <= MAX_RETRY_AFTER).then_some(left)
}
