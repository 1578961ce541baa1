//! What the writer does while the database is away, and how it comes back.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{
    TRANSACTION_TIMEOUT, Writer,
    gather::{MAX_BATCH, passed},
    in_time, in_turn, send, within,
};
use crate::{
    domain::{PluginId, Reported},
    store::{
        StoreError,
        batch::{Change, What},
        commit,
        lease::{Lease, RENEWAL},
    },
};

/// The first wait before trying the database again; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait before trying the database again.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// The same for the leader of a cluster, whose plugins end with its lease.
const LAST_RETRY_OF_LEADER: Duration = Duration::from_millis(250);

/// How often to look, while nothing is written, whether the database's files are still there.
const FILE_CHECKS: Duration = Duration::from_secs(1);
/// How often a server is asked whether it is still there, and still ours. Less than a third of what it takes it to end a
/// silent session.
const SERVER_CHECKS: Duration = Duration::from_secs(4);

/// Reports that wait for the database: the newest of each plugin, with its number in the order in which they came.
#[derive(Default)]
pub(super) struct Backlog {
    newest: HashMap<PluginId, (u64, Reported)>,
    arrivals: u64,
}

impl Backlog {
    /// Takes a report in, in place of an earlier one of the same plugin.
    fn push(&mut self, id: PluginId, reported: Reported) {
        self.arrivals += 1;
        self.newest.insert(id, (self.arrivals, reported));
    }

    /// The oldest few.
    fn first(&self, count: usize) -> Vec<(PluginId, Reported)> {
        let mut waiting: Vec<_> = self.newest.iter().collect();
        waiting.sort_unstable_by_key(|(_, (arrival, _))| *arrival);
        waiting.into_iter().take(count).map(|(id, (_, reported))| (*id, reported.clone())).collect()
    }

    /// Forgets what waits of one plugin.
    fn forget(&mut self, id: PluginId) {
        self.newest.remove(&id);
    }

    /// How many plugins wait.
    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }
}

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

    fn next(self, lease: &Lease) -> Self {
        let longest = if lease.is_of_a_cluster() { LAST_RETRY_OF_LEADER } else { LAST_RETRY };
        Self::after((self.wait * 2).min(longest))
    }
}

/// When to ask.
pub(super) fn checks(lease: &Lease) -> Interval {
    let mut checks = tokio::time::interval(match lease.is_remote() {
        true if lease.is_of_a_cluster() => RENEWAL,
        true => SERVER_CHECKS,
        false => FILE_CHECKS,
    });
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}

/// Pends until it is time to try again; for ever when there is nothing to try.
pub(super) async fn at(retry: Option<Retry>) {
    passed(retry.map(|retry| retry.at)).await;
}

async fn check(lease: &Lease) -> Result<(), StoreError> {
    match lease.is_remote() {
        true if lease.is_of_a_cluster() => lease.renew().await,
        true => lease.check().await,
        false => lease.location().check_with_reserve().await,
    }
}

impl Writer {
    /// What to do with a change while the database is away.
    pub(super) fn put_off(&mut self, change: Change) {
        match change.what {
            What::Report { id, reported } => self.backlog.push(id, *reported),
            _ => send(change.reply, Err(self.start.lease.location().refusal())),
        }
    }

    /// Stores what makes room on a full disk; puts the rest off.
    pub(super) async fn change_while_away(&mut self, changes: Vec<Change>) {
        let is_full = self.start.lease.location().is_full();
        let (urgent, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| is_full && self.makes_room(&change.what));
        others.into_iter().for_each(|change| self.put_off(change));
        if urgent.is_empty() {
            return;
        }
        if let Err(error) = self.settle().await {
            tracing::warn!(%error, "what would make room can't be stored");
            self.is_superseded |= matches!(error, StoreError::Superseded);
            return urgent.into_iter().for_each(|change| self.put_off(change));
        }
        let (batch, answers) = self.batch(&urgent);
        // What waits of them is older.
        batch.reports().for_each(|(id, _)| self.backlog.forget(id));
        let written = self.commit(batch, true).await;
        self.answer(written, urgent, answers);
    }

    /// Whether it stops or deletes a plugin, or says how far that is.
    fn makes_room(&self, what: &What) -> bool {
        let is_active = |id| self.start.records.get(id).is_some_and(|record| record.plugin.desired.active.is_active());
        match what {
            What::Install(_) => false,
            What::Desire { id, desired, .. } => is_active(*id) && !desired.active.is_active(),
            What::Report { id, .. } => !is_active(*id),
            What::Remove { .. } => true,
        }
    }

    /// Keeps the reports of a failed transaction. If it was written after all they are no change, and harmless.
    pub(super) fn keep_reports(&mut self) {
        if let Some(batch) = &self.unresolved {
            batch.reports().for_each(|(id, reported)| self.backlog.push(id, reported));
        }
    }

    pub(super) fn fail_over(&mut self, error: &StoreError) {
        tracing::error!(%error, "the database is away; reports are kept in memory until it is back");
        self.is_superseded |= matches!(error, StoreError::Superseded);
        self.retry = Some(Retry::after(FIRST_RETRY));
        self.health.set(false);
    }

    /// Notices that the database is away, or another plugd's, when nobody wants to write; forgets what is due then.
    pub(super) async fn check_health(&mut self) {
        let lease = &self.start.lease;
        match in_turn(lease, check(lease)).await {
            Ok(()) => self.compact().await,
            Err(error) => self.fail_over(&error),
        }
    }

    pub(super) async fn recover(&mut self) {
        match Box::pin(self.try_to_recover()).await {
            Ok(()) => {
                tracing::info!(head = self.start.head, "the database is back");
                self.retry = None;
                self.health.set(true);
                self.answer_flushes();
            }
            Err(error) => {
                let next = self.retry.map_or_else(|| Retry::after(FIRST_RETRY), |retry| retry.next(&self.start.lease));
                tracing::warn!(%error, waiting = self.backlog.len(), retry_in = ?next.wait, "the database is still away");
                self.is_superseded |= matches!(error, StoreError::Superseded);
                self.retry = Some(next);
            }
        }
    }

    async fn try_to_recover(&mut self) -> Result<(), StoreError> {
        self.resolve().await?;
        within(self.start.lease.location().keep_reserve()).await?;
        loop {
            let reports = self.backlog.first(MAX_BATCH);
            if reports.is_empty() {
                return Ok(());
            }
            let ids: Vec<_> = reports.iter().map(|(id, _)| *id).collect();
            let report =
                |(id, reported)| Change { what: What::Report { id, reported: Box::new(reported) }, reply: None };
            let (batch, _) = self.batch(&reports.into_iter().map(report).collect::<Vec<_>>());
            self.commit(batch, false).await?;
            ids.into_iter().for_each(|id| self.backlog.forget(id));
        }
    }

    /// Finds out what there is to find out, for a change that can't wait for the reserve: it may use that.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        if self.unresolved.is_some() { self.find_out().await } else { Ok(()) }
    }

    /// Finds out whether the last transaction was written, as often as is needed: not while the disk is full, since each try
    /// takes a page of the reserve.
    pub(super) async fn resolve(&mut self) -> Result<(), StoreError> {
        within(self.start.lease.location().keep_reserve()).await?;
        self.find_out().await
    }

    /// By the head that the last transaction would have left: the one that a new connection sees.
    async fn find_out(&mut self) -> Result<(), StoreError> {
        self.syncer.forget_failures();
        let lease = &mut self.start.lease;
        let limit = lease.patience(TRANSACTION_TIMEOUT);
        let look = async {
            lease.reconnect().await?;
            commit::probe(lease).await
        };
        let found = in_time(limit, Box::pin(look)).await?;
        match self.unresolved.take() {
            Some(batch) if found == batch.head() => {
                self.syncer.note_synced(found);
                self.publish(batch);
            }
            _ if found == self.start.head => self.syncer.note_synced(found),
            unresolved => {
                self.unresolved = unresolved;
                return Err(StoreError::Diverged { expected: self.start.head, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn mk_report(generation: u64) -> Reported {
        Reported::inactive(Timestamp::UNIX_EPOCH, generation)
    }

    #[test]
    fn only_the_newest_of_a_plugin_waits_at_the_place_where_it_came() {
        let [one, two, three] = [1, 2, 3].map(|byte| PluginId::from_bytes([byte; 12]));
        let mut backlog = Backlog::default();
        for (id, generation) in [(one, 1), (two, 1), (one, 2), (three, 1)] {
            backlog.push(id, mk_report(generation));
        }
        assert_eq!(backlog.first(2), [(two, mk_report(1)), (one, mk_report(2))]);
        [two, one].into_iter().for_each(|id| backlog.forget(id));
        assert_eq!(backlog.first(9), [(three, mk_report(1))]);
        assert_eq!(backlog.len(), 1);
    }
}
