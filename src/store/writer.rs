//! The writer: the one task that changes the database. It takes what has come meanwhile into one transaction, gives
//! each change its revision, and tells of it only when it is durable.
//!
//! ```text
//! Store ──Op──► recv_many ──► Plan (in memory) ──► one transaction ──► records, on_commit, answers
//!                                                        │ error
//!                                                        ▼
//!                               callers: UNAVAILABLE   reports: Backlog ──retry_at──► recover
//! ```

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{OnCommit, StoreError, reader::Reader, seat::Seat};
use crate::domain::{self, Plugin};

use self::{
    backlog::Backlog,
    op::{Change, Op, Reply, TokenOp},
    plan::{Plan, Records},
    recovery::Retry,
};

mod backlog;
pub(super) mod commit;
mod compaction;
pub(super) mod op;
pub(super) mod plan;
mod recovery;
pub(super) mod tokens;

#[cfg(test)]
mod tests;

/// Changes in one transaction. Enough to share the price of making it durable, few enough to stay short.
const MAX_BATCH: usize = 256;
/// A transaction that has not ended by then has failed. More than the wait for a lock, so that this is the last resort.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(4);

/// What the writer starts with.
pub(super) struct Start {
    pub(super) seat: Seat,
    pub(super) reader: Reader,
    pub(super) records: Records,
    pub(super) head: u64,
    pub(super) journal_keep: u64,
    pub(super) compacted: Arc<AtomicU64>,
}

/// The task's state.
pub(super) struct Writer {
    start: Start,
    on_commit: OnCommit,
    ops: mpsc::UnboundedReceiver<Op>,
    health: Health,
    /// The last transaction failed, so it is unknown whether this was written.
    unresolved: Option<(Plan, Option<u64>)>,
    backlog: Backlog,
    flushes: Vec<Reply<()>>,
    closing: Vec<oneshot::Sender<()>>,
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

/// What waits for the end of a transaction.
type Answers = Vec<(Option<Reply<Arc<Plugin>>>, domain::Result<Arc<Plugin>>)>;

impl Writer {
    /// A writer with nothing to do yet.
    pub(super) fn new(
        start: Start,
        on_commit: OnCommit,
        ops: mpsc::UnboundedReceiver<Op>,
        healthy: watch::Sender<bool>,
    ) -> Self {
        Self {
            start,
            on_commit,
            ops,
            health: Health(healthy),
            unresolved: None,
            backlog: Backlog::default(),
            flushes: Vec::new(),
            closing: Vec::new(),
            retry: None,
            is_superseded: false,
        }
    }

    /// Works until it is closed, nobody can ask it for anything any more, or another plugd has taken its place. It lets
    /// go of the lock then: the other may need it.
    pub(super) async fn run(mut self) {
        let mut ops = Vec::with_capacity(MAX_BATCH);
        let mut pulse = recovery::pulse(self.start.seat.is_remote());
        while !self.is_superseded {
            tokio::select! {
                taken = self.ops.recv_many(&mut ops, MAX_BATCH) => {
                    if taken == 0 || self.handle(ops.drain(..)).await.is_break() {
                        break;
                    }
                }
                () = recovery::at(self.retry) => self.recover().await,
                _ = pulse.tick(), if self.retry.is_none() => self.feel_pulse().await,
            }
        }
        self.end().await;
    }

    async fn handle(&mut self, ops: impl Iterator<Item = Op>) -> ControlFlow<()> {
        let mut changes = Vec::new();
        let mut tokens = Vec::new();
        for op in ops {
            match op {
                Op::Change(change) => changes.push(change),
                Op::Token(op) => tokens.push(op),
                Op::Flush(reply) => self.flushes.push(reply),
                Op::Close(reply) => self.closing.push(reply),
            }
        }
        self.change(changes).await;
        for op in tokens {
            self.change_token(op).await;
        }
        self.answer_flushes();
        if self.closing.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    async fn change(&mut self, changes: Vec<Change>) {
        if self.retry.is_some() {
            return self.change_while_away(changes).await;
        }
        let (plan, answers) = self.plan(changes);
        let committed = self.commit(plan).await;
        self.answer(committed, answers);
    }

    fn answer(&mut self, committed: Result<(), StoreError>, answers: Answers) {
        match committed {
            Ok(()) => answers.into_iter().for_each(|(reply, answer)| send(reply, answer)),
            Err(error) => {
                self.go_away(&error);
                self.keep_reports();
                let refusal = self.start.seat.location().refusal();
                answers.into_iter().for_each(|(reply, _)| send(reply, Err(refusal.clone())));
            }
        }
    }

    fn plan(&self, changes: Vec<Change>) -> (Plan, Answers) {
        let mut plan = Plan::new(self.start.head, Timestamp::now());
        let answers = changes.into_iter().map(|change| {
            let answer = plan.apply(&self.start.records, change.what);
            if change.reply.is_none()
                && let Err(error) = &answer
            {
                tracing::debug!(%error, "a report was dropped");
            }
            (change.reply, answer)
        });
        let answers = answers.collect();
        (plan, answers)
    }

    /// Stores a plan where there is room besides the reserve.
    async fn commit(&mut self, plan: Plan) -> Result<(), StoreError> {
        let compacted = self.start.compacted.load(Ordering::Relaxed);
        let cut = compaction::cut(plan.head(), compacted, self.start.journal_keep);
        self.store(plan, cut, false).await
    }

    /// Stores a plan that makes room, out of the reserve. The journal is not cut, as that takes room.
    async fn make_room(&mut self, plan: Plan) -> Result<(), StoreError> {
        self.store(plan, None, true).await
    }

    /// Writes a plan and, once it is durable, tells of it. After an error the plan is in `unresolved`.
    async fn store(&mut self, plan: Plan, cut: Option<u64>, is_urgent: bool) -> Result<(), StoreError> {
        if plan.commits.is_empty() {
            return Ok(());
        }
        match within(write(&self.start.seat, &plan, cut, is_urgent)).await {
            Ok(()) => {
                self.publish(plan, cut);
                Ok(())
            }
            Err(error) => {
                self.unresolved = Some((plan, cut));
                Err(error)
            }
        }
    }

    fn publish(&mut self, plan: Plan, cut: Option<u64>) {
        self.start.head = plan.head();
        for (id, record) in plan.staged {
            match record {
                Some(record) => self.start.records.insert(id, record),
                None => self.start.records.remove(&id),
            };
        }
        if let Some(cut) = cut {
            self.start.compacted.store(cut, Ordering::Relaxed);
        }
        (self.on_commit)(&plan.commits);
    }

    async fn change_token(&mut self, op: TokenOp) {
        match op {
            TokenOp::Create { token, reply } => {
                let created = self.guarded(async |seat| tokens::create(seat, token).await).await;
                send(Some(reply), created);
            }
            TokenOp::Revoke { id, reply } => {
                let revoked = self.guarded(async |seat| tokens::revoke(seat, id).await).await;
                send(Some(reply), revoked.and_then(|revoked| revoked));
            }
            TokenOp::Purge { now, reply } => {
                let purged = self.guarded(async |seat| tokens::purge(seat, now).await).await;
                send(Some(reply), purged);
            }
        }
    }

    /// Does some work on the database, unless it is away.
    async fn guarded<T>(&mut self, work: impl AsyncFnOnce(&Seat) -> Result<T, StoreError>) -> domain::Result<T> {
        if self.retry.is_some() {
            return Err(self.start.seat.location().refusal());
        }
        let seat = &self.start.seat;
        let work = async {
            seat.location().keep_reserve().await?;
            let done = work(seat).await;
            still_there(seat, done).await
        };
        within(work).await.map_err(|error| {
            self.go_away(&error);
            self.start.seat.location().refusal()
        })
    }

    fn answer_flushes(&mut self) {
        if self.retry.is_none() {
            self.flushes.drain(..).for_each(|reply| send(Some(reply), Ok(())));
        }
    }

    /// The last try, and the end of the database.
    async fn end(mut self) {
        if self.retry.is_some() && !self.is_superseded {
            Box::pin(self.recover()).await;
        }
        if self.retry.is_some() {
            tracing::error!(plugins = self.backlog.len(), "closed without the database: their last reports are lost");
        }
        self.health.set(false);
        if let Err(error) = self.start.seat.release().await {
            tracing::warn!(%error, "the database could not be closed");
        }
        for reply in self.closing {
            let _ = reply.send(());
        }
    }
}

async fn write(seat: &Seat, plan: &Plan, cut: Option<u64>, is_urgent: bool) -> Result<(), StoreError> {
    if !is_urgent {
        seat.location().keep_reserve().await?;
    }
    let written = commit::execute(seat, plan, cut).await;
    still_there(seat, written).await
}

/// What was written to a file that nobody can open any more is not durable; and what failed may have failed for that.
async fn still_there<T>(seat: &Seat, done: Result<T, StoreError>) -> Result<T, StoreError> {
    let there = seat.location().check().await;
    done.and_then(|done| there.map(|()| done))
}

/// What the database did, or that it took too long.
pub(super) async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(TRANSACTION_TIMEOUT, work).await.unwrap_or(Err(StoreError::TimedOut))
}

fn send<T>(reply: Option<Reply<T>>, answer: domain::Result<T>) {
    if let Some(reply) = reply {
        drop(reply.send(answer));
    }
}
