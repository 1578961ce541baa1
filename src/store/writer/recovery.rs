//! What the writer does while the database is away, and how it comes back.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{
    MAX_BATCH, Writer, commit,
    op::{Change, What},
    send, within,
};
use crate::store::StoreError;

/// The first wait before trying the database again; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait before trying the database again.
const LAST_RETRY: Duration = Duration::from_secs(5);

/// How often to look, while nothing is written, whether the database's file is still there.
const FILE_PULSE: Duration = Duration::from_secs(1);
/// How often a server is asked whether it is still there, and still ours. Less than a third of what it takes it to end a
/// silent session.
const SERVER_PULSE: Duration = Duration::from_secs(4);

/// When to try the database again, and how long the wait for that is.
#[derive(Clone, Copy)]
pub(super) struct Retry {
    at: Instant,
    wait: Duration,
}

impl Retry {
    fn after(wait: Duration) -> Self {
        Self { at: Instant::now() + wait, wait }
    }

    fn next(self) -> Self {
        Self::after((self.wait * 2).min(LAST_RETRY))
    }
}

/// When to ask.
pub(super) fn pulse(is_remote: bool) -> Interval {
    let mut pulse = tokio::time::interval(if is_remote { SERVER_PULSE } else { FILE_PULSE });
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

/// Pends until it is time to try again; for ever when there is nothing to try.
pub(super) async fn at(retry: Option<Retry>) {
    match retry {
        Some(retry) => tokio::time::sleep_until(retry.at).await,
        None => std::future::pending().await,
    }
}

impl Writer {
    /// What to do with a change while the database is away.
    pub(super) fn put_off(&mut self, change: Change) {
        match change.what {
            What::Report { id, reported } => self.backlog.push(id, *reported),
            _ => send(change.reply, Err(self.start.seat.location().refusal())),
        }
    }

    /// Keeps the reports of a failed transaction. If it was written after all they are no change, and harmless.
    pub(super) fn keep_reports(&mut self) {
        if let Some((plan, _)) = &self.unresolved {
            plan.reports().for_each(|(id, reported)| self.backlog.push(id, reported));
        }
    }

    pub(super) fn go_away(&mut self, error: &StoreError) {
        tracing::error!(%error, "the database is away; reports are kept in memory until it is back");
        self.is_superseded |= matches!(error, StoreError::Superseded);
        self.retry = Some(Retry::after(FIRST_RETRY));
        self.health.set(false);
    }

    /// Notices that the database is away, or another plugd's, when nobody wants to write.
    pub(super) async fn feel_pulse(&mut self) {
        let seat = &self.start.seat;
        let felt = if seat.is_remote() { within(commit::glance(seat)).await } else { seat.location().check() };
        if let Err(error) = felt {
            self.go_away(&error);
        }
    }

    pub(super) async fn recover(&mut self) {
        match self.try_to_recover().await {
            Ok(()) => {
                tracing::info!(head = self.start.head, "the database is back");
                self.retry = None;
                self.health.set(true);
                self.answer_flushes();
            }
            Err(error) => {
                let next = self.retry.map_or_else(|| Retry::after(FIRST_RETRY), Retry::next);
                tracing::warn!(%error, waiting = self.backlog.len(), retry_in = ?next.wait, "the database is still away");
                self.is_superseded |= matches!(error, StoreError::Superseded);
                self.retry = Some(next);
            }
        }
    }

    async fn try_to_recover(&mut self) -> Result<(), StoreError> {
        self.resolve().await?;
        loop {
            let reports = self.backlog.first(MAX_BATCH);
            if reports.is_empty() {
                return Ok(());
            }
            let count = reports.len();
            let changes = reports
                .into_iter()
                .map(|(id, reported)| Change { what: What::Report { id, reported: Box::new(reported) }, reply: None });
            let (plan, _) = self.plan(changes.collect());
            self.commit(plan).await?;
            self.backlog.drop_first(count);
        }
    }

    /// Finds out whether the last transaction was written, by the head that it would have left: the one that a new
    /// connection sees.
    pub(super) async fn resolve(&mut self) -> Result<(), StoreError> {
        let found = within(self.reconnect_and_probe()).await?;
        match self.unresolved.take() {
            Some((plan, cut)) if found == plan.head() => self.publish(plan, cut),
            _ if found == self.start.head => {}
            unresolved => {
                self.unresolved = unresolved;
                return Err(StoreError::Diverged { expected: self.start.head, found });
            }
        }
        Ok(())
    }

    async fn reconnect_and_probe(&mut self) -> Result<u64, StoreError> {
        self.start.seat.retake().await?;
        commit::probe(&self.start.seat).await
    }
}
