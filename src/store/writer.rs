//! The writer: the one task that changes the database. It takes what has come meanwhile into one transaction, gives
//! each change its revision, and tells of it once it is committed. What has to be synced besides is in [`super::durable`].
//!
//! ```text
//! Store ──Op──► gather ─────► Batch (in memory) ──► one transaction ──► records, on_commit, answers
//!                                                         │ error
//!                                                         ▼
//!                                callers: UNAVAILABLE   reports: Backlog ──retry.at──► recover
//! ```

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use self::{
    gather::Gathered,
    recovery::{Backlog, Retry},
};
use super::{
    OnCommit, StoreError,
    audit::Trail,
    batch::{Batch, Change, Op, Records, Reply, What},
    checkpoint::Checkpoints,
    commit,
    compaction::{self, Schedule},
    durable::Syncer,
    error::contradicted,
    lease::{Durability, Lease},
    metrics::Metrics,
};
use crate::domain::{self, Error, Plugin, Reason};

mod gather;
mod records;
mod recovery;
#[cfg(test)]
mod tests;

/// A transaction that has not ended by then has failed. More than the wait for a lock, so that this is the last resort.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(4);

/// What the writer starts with.
pub(super) struct Start {
    pub(super) lease: Lease,
    pub(super) records: Records,
    pub(super) head: u64,
    pub(super) schedule: Schedule,
    pub(super) compacted: Arc<AtomicU64>,
    pub(super) audit: Trail,
    pub(super) checkpoints: Checkpoints,
    pub(super) metrics: Metrics,
}

/// The task's state.
pub(super) struct Writer {
    start: Start,
    on_commit: OnCommit,
    syncer: Syncer,
    ops: mpsc::UnboundedReceiver<Op>,
    gathered: Gathered,
    health: Health,
    /// The last transaction failed, so it is unknown whether this was written.
    unresolved: Option<Batch>,
    backlog: Backlog,
    flushes: Vec<Reply<()>>,
    closing: Vec<oneshot::Sender<()>>,
    /// When it is closed, the lease is not handed over.
    keeps_lease: bool,
    /// There is one while the database is away.
    retry: Option<Retry>,
    /// Another plugd has made itself the owner: this is the end.
    is_superseded: bool,
}

/// Tells whether the database answers. However the writer ends, it is not healthy after that.
struct Health(watch::Sender<bool>);

impl Health {
    fn set(&self, is_healthy: bool) {
        self.0.send_replace(is_healthy);
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// What each change is answered with once the transaction has ended well.
type Answers = Vec<domain::Result<Arc<Plugin>>>;

impl Writer {
    /// A writer with nothing to do yet.
    pub(super) fn new(
        start: Start,
        on_commit: OnCommit,
        syncer: Syncer,
        ops: mpsc::UnboundedReceiver<Op>,
        healthy: watch::Sender<bool>,
    ) -> Self {
        Self {
            start,
            on_commit,
            syncer,
            ops,
            gathered: Gathered::default(),
            health: Health(healthy),
            unresolved: None,
            backlog: Backlog::default(),
            flushes: Vec::new(),
            closing: Vec::new(),
            keeps_lease: false,
            retry: None,
            is_superseded: false,
        }
    }

    /// Works until it is closed, nobody can ask it for anything any more, or another plugd has taken its place. It lets
    /// go of the lock then: the other may need it.
    pub(super) async fn run(mut self) {
        let mut checks = recovery::checks(&self.start.lease);
        while !self.is_superseded {
            tokio::select! {
                has_more = self.gathered.gather(&mut self.ops) => {
                    let ops = self.gathered.take();
                    if self.handle(ops).await.is_break() || !has_more {
                        break;
                    }
                }
                () = self.start.audit.ready(), if self.retry.is_none() => self.audit().await,
                error = self.syncer.failed() => self.fail_over(&error),
                () = recovery::at(self.retry) => self.recover().await,
                _ = checks.tick(), if self.retry.is_none() => self.check_health().await,
            }
        }
        self.end().await;
    }

    async fn handle(&mut self, ops: Vec<Op>) -> ControlFlow<()> {
        let mut changes = Vec::new();
        let (mut tokens, mut hooks, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Change(change) => changes.push(change),
                Op::Token(op) => tokens.push(op),
                Op::Hook(op) => hooks.push(op),
                Op::Note { hook, reply } => notes.push((*hook, reply)),
                Op::Flush(reply) => self.flushes.push(reply),
                Op::Close(reply) => self.closing.push(reply),
                Op::CloseKeepingLease(reply) => {
                    self.keeps_lease = true;
                    self.closing.push(reply);
                }
            }
        }
        self.change(changes).await;
        for op in tokens {
            self.change_token(op).await;
        }
        for op in hooks {
            self.change_hook(op).await;
        }
        self.note(notes).await;
        if !self.flushes.is_empty() {
            self.audit_all().await;
        }
        self.forget_audited().await;
        self.answer_flushes();
        if !self.closing.is_empty() {
            return ControlFlow::Break(());
        }
        if self.start.schedule.is_steady() {
            self.compact().await;
        }
        ControlFlow::Continue(())
    }

    async fn change(&mut self, changes: Vec<Change>) {
        if self.retry.is_some() {
            return self.change_while_away(changes).await;
        }
        let (batch, answers) = self.batch(&changes);
        match self.commit(batch, false).await {
            Err(error) if error.is_conflict() => self.refuse_one(changes, &error).await,
            // What makes room takes the reserve, also if it is the first to find that the disk is full.
            Err(error @ StoreError::Full(_)) => {
                self.fail_over(&error);
                self.change_while_away(changes).await;
            }
            committed => self.answer(committed, changes, answers),
        }
    }

    /// One of these changes contradicts what is stored, and took the others down with it: those are made without it.
    async fn refuse_one(&mut self, changes: Vec<Change>, error: &StoreError) {
        match <[Change; 1]>::try_from(changes) {
            Ok([change]) => {
                tracing::error!(%error, "a change contradicts what is stored, and is refused");
                send(change.reply, Err(contradiction(&change.what)));
            }
            Err(changes) => {
                for change in changes {
                    Box::pin(self.change(vec![change])).await;
                }
            }
        }
    }

    fn answer(&mut self, committed: Result<(), StoreError>, changes: Vec<Change>, answers: Answers) {
        let replies = changes.into_iter().map(|change| change.reply);
        match committed {
            Ok(()) => replies.zip(answers).for_each(|(reply, answer)| send(reply, answer)),
            Err(error) => {
                self.fail_over(&error);
                self.keep_reports();
                let refusal = self.start.lease.location().refusal();
                replies.for_each(|reply| send(reply, Err(refusal.clone())));
            }
        }
    }

    fn batch(&self, changes: &[Change]) -> (Batch, Answers) {
        let mut batch = Batch::new(self.start.head, Timestamp::now());
        let answers = changes.iter().map(|change| {
            let answer = batch.apply(&self.start.records, change.what.clone());
            if change.reply.is_none()
                && let Err(error) = &answer
            {
                tracing::debug!(%error, "a report was dropped");
            }
            answer
        });
        let answers = answers.collect();
        (batch, answers)
    }

    /// Writes a batch, with what waits for the audit trail, and tells of it. After an error the batch is in
    /// `unresolved`, unless it contradicted what is stored. One that is urgent makes room, and is stored out of the reserve.
    async fn commit(&mut self, batch: Batch, is_urgent: bool) -> Result<(), StoreError> {
        let events = if is_urgent { Vec::new() } else { self.start.audit.take() };
        if batch.commits.is_empty() && events.is_empty() {
            return Ok(());
        }
        let durability = match batch.durability() {
            // A server syncs what it commits; and out of the reserve nothing is stored that may fail to be synced.
            Durability::Syncing if is_urgent || self.start.lease.is_remote() => Durability::Synced,
            durability => durability,
        };
        let work = async {
            let location = self.start.lease.location();
            if is_urgent {
                location.check().await?
            } else {
                location.prepare(durability).await?
            }
            commit::execute(&self.start.lease, &batch, &events, durability).await
        };
        let begun = Instant::now();
        match in_turn(&self.start.lease, work).await {
            Ok(()) => {
                self.start.metrics.committed(batch.commits.len(), begun.elapsed());
                self.start.checkpoints.note(&batch, events.len());
                // Before anybody hears of it.
                self.syncer.note(&batch, durability);
                self.publish(batch);
                Ok(())
            }
            Err(error) => {
                self.start.metrics.failed();
                self.start.audit.put_back(events);
                self.unresolved = Some(batch).filter(|_| !error.is_conflict());
                Err(error)
            }
        }
    }

    fn publish(&mut self, mut batch: Batch) {
        let commits = std::mem::take(&mut batch.commits);
        self.start.head += commits.len() as u64;
        batch.take_effect(&mut self.start.records);
        if !commits.is_empty() {
            (self.on_commit)(&commits);
        }
    }

    /// Forgets some old revisions, if it is time to. What fails is tried again later, in smaller steps.
    async fn compact(&mut self) {
        let Start { lease, head, compacted, .. } = &self.start;
        let due = self.start.schedule.due(*head, compacted.load(Ordering::Relaxed)).filter(|_| self.retry.is_none());
        let Some(upto) = due else { return };
        let work = async {
            lease.location().check_with_reserve().await?;
            compaction::compact(lease, upto, self.start.schedule.bodies()).await
        };
        let done = in_turn(lease, work).await;
        self.start.schedule.learn(done.as_ref().ok().copied());
        match done {
            Ok(_) => self.start.compacted.store(upto, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "old revisions could not be forgotten yet");
                self.renew_connection().await;
            }
        }
    }

    /// Nobody knows what a connection is good for on which something failed. Whether that was done after all need not be
    /// known of what can be done twice.
    async fn renew_connection(&mut self) {
        if let Err(error) = self.resolve().await {
            self.fail_over(&error);
        }
    }

    fn answer_flushes(&mut self) {
        if self.retry.is_none() {
            self.flushes.drain(..).for_each(|reply| send(Some(reply), Ok(())));
        }
    }

    /// Notes in the database that it has all that was told of.
    async fn mark_closed(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        let lease = &self.start.lease;
        let work = async {
            lease.location().check().await?;
            lease.mark_closed().await
        };
        within(work).await?;
        self.syncer.note_synced(self.start.head);
        Ok(())
    }

    /// The last try, and the end of the database.
    async fn end(mut self) {
        if self.is_superseded {
            self.start.lease.lost();
        }
        if self.retry.is_some() && !self.is_superseded {
            Box::pin(self.recover()).await;
        }
        self.audit_all().await;
        if self.retry.is_some() {
            let (plugins, events) = (self.backlog.len(), self.start.audit.len());
            tracing::error!(plugins, events, "closed without the database: last reports and audit events are lost");
        }
        self.health.set(false);
        if !(self.is_superseded || self.keeps_lease)
            && let Err(error) = self.mark_closed().await
        {
            tracing::warn!(%error, "watchers will have to begin anew: that the database was closed could not be noted");
        }
        drop(self.start.checkpoints);
        if let Err(error) = self.start.lease.release().await {
            tracing::warn!(%error, "the database could not be closed");
        }
        self.closing.into_iter().for_each(|reply| reply.send(()).unwrap_or_default());
    }
}

/// What the caller is told whose change contradicts what is stored. Only a record that can't be read is not known.
fn contradiction(what: &What) -> Error {
    match what {
        What::Install(plugin) if plugin.request.is_some() => Error::new(
            Reason::RequestIdReused,
            "a plugin was installed with this request_id of which the record can't be read; plugd's log says which",
        ),
        _ => contradicted(),
    }
}

/// What the database did, or that it took too long.
pub(super) async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    in_time(TRANSACTION_TIMEOUT, work).await
}

/// The same of what the writer does, which keeps a leader from renewing its lease meanwhile.
async fn in_turn<T>(lease: &Lease, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    in_time(lease.patience(TRANSACTION_TIMEOUT), work).await
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(limit, work).await.unwrap_or(Err(StoreError::TimedOut))
}

fn send<T>(reply: Option<Reply<T>>, answer: domain::Result<T>) {
    drop(reply.map(|reply| reply.send(answer)));
}
