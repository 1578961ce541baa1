//! The audit trail: the calls that changed something, or were to. A call hands its event to a queue and waits for nothing; the
//! writer stores what has come meanwhile together with the next change, or by itself a moment later. Nobody waits for an event,
//! so the newest are lost with plugd, and none is synced but along with a change.
//!
//! The queue is bounded, and is where events wait while the database is away. What finds no room is lost, and plugd's log says
//! how much: to refuse the call instead would keep an operator from stopping a plugin that fills the disk.

use std::{
    future::pending,
    mem,
    net::{AddrParseError, IpAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    StoreError, commit,
    compaction::Schedule,
    entity::audit_event::{Column, Entity, Model},
    lease::{Durability, Lease},
    rows::{from_column, plain, signed, stored, to_column, unsigned},
};
use crate::domain::audit::{AuditEvent, AuditFilter, Principal};

/// Events that may wait for the writer.
pub(super) const QUEUE: usize = 4096;
/// Events in one transaction.
pub(super) const BATCH: usize = commit::ROWS;

/// How long an event waits for a change that it can be stored with.
pub(super) const LINGER: Duration = Duration::from_millis(100);

/// Where events are handed in.
#[derive(Clone)]
pub(super) struct Sink {
    queue: mpsc::Sender<AuditEvent>,
    /// Events that found no room since the last that did.
    lost: Arc<AtomicU64>,
}

impl Sink {
    /// How many events found no room since the last that did.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes an event in, if there is room. What was refused may only fill half of it, so that nobody who may do nothing can
    /// hide what others do.
    pub(super) fn add(&self, event: AuditEvent) {
        let has_room = event.is_done() || self.queue.capacity() > QUEUE / 2;
        if has_room && self.queue.try_send(event).is_ok() {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(lost, "the audit trail lacks events, for which there was no room");
            }
        } else if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!("an event is lost to the audit trail: too many wait for the database already");
        }
    }
}

/// What the writer has of the trail.
pub(super) struct Trail {
    queue: mpsc::Receiver<AuditEvent>,
    /// Out of the queue, and not known to be stored. Their ids are theirs for good, so that they can be written twice.
    taken: Vec<Model>,
    /// When the first of those was seen by who waits for them.
    waits_since: Option<Instant>,
    newest: u64,
    /// Events up to this one are no longer kept.
    forgotten: u64,
    schedule: Schedule,
}

impl Trail {
    /// A trail that keeps so many events, and where they are handed in; with the ends of what is stored already.
    pub(super) fn keeping(keep: u64, (forgotten, newest): (u64, u64)) -> (Self, Sink) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let schedule = Schedule::keeping(keep, false);
        let trail = Self { queue, taken: Vec::new(), waits_since: None, newest, forgotten, schedule };
        (trail, Sink { queue: sender, lost: Arc::default() })
    }

    /// Waits until there is something to store that no change has taken along, or enough for a transaction. What this takes out
    /// of the queue is kept if the wait is given up.
    pub(super) async fn ready(&mut self) {
        self.fill(1).await;
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let _ = timeout_at(since + LINGER, self.fill(BATCH)).await;
    }

    /// Waits until so many are taken.
    async fn fill(&mut self, count: usize) {
        while self.taken.len() < count {
            match self.queue.recv().await {
                Some(event) => self.number(event),
                None => pending().await,
            }
        }
    }

    /// Events that are not stored.
    pub(super) fn len(&self) -> usize {
        self.taken.len() + self.queue.len()
    }

    /// The rows to be stored next.
    pub(super) fn take(&mut self) -> Vec<Model> {
        while self.taken.len() < BATCH
            && let Ok(event) = self.queue.try_recv()
        {
            self.number(event);
        }
        self.waits_since = None;
        mem::take(&mut self.taken)
    }

    /// Takes rows back that may not be stored.
    pub(super) fn put_back(&mut self, rows: Vec<Model>) {
        self.taken.splice(0..0, rows);
    }

    /// The event up to which to forget, if it is time to.
    pub(super) fn due(&self) -> Option<u64> {
        self.schedule.due(self.newest, self.forgotten)
    }

    /// Whether the events up to this one could be forgotten.
    pub(super) fn learn(&mut self, upto: u64, is_done: bool) {
        self.schedule.learn(is_done.then_some(false));
        if is_done {
            self.forgotten = upto;
        }
    }

    /// Adds an event to those that are taken, with an id that is its own for good.
    fn number(&mut self, event: AuditEvent) {
        self.newest += 1;
        self.taken.push(to_row(AuditEvent { id: self.newest, ..event }));
    }
}

/// The event before the oldest that is stored, and the newest.
pub(super) async fn ends(db: &impl ConnectionTrait) -> Result<(u64, u64), StoreError> {
    let ends = Entity::find().select_only().expr(Column::Id.min()).expr(Column::Id.max());
    let found: Option<(Option<i64>, Option<i64>)> = ends.into_tuple().one(db).await?;
    match found {
        Some((Some(oldest), Some(newest))) => Ok((unsigned(oldest - 1)?, unsigned(newest)?)),
        _ => Ok((0, 0)),
    }
}

/// Forgets the events up to this one.
pub(super) async fn forget(lease: &Lease, upto: u64) -> Result<(), StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    Entity::delete_many().filter(Column::Id.lte(signed(upto))).exec(&transaction).await?;
    lease.commit(transaction, Durability::Written).await
}

/// See [`super::Store::audit_events`].
pub(super) async fn page(
    db: DatabaseConnection,
    filter: AuditFilter,
    before: Option<u64>,
    limit: u64,
) -> Result<Vec<AuditEvent>, StoreError> {
    let wanted = Condition::all()
        .add_option(filter.plugin.map(|id| Column::PluginId.eq(id)))
        .add_option(filter.principal.map(|id| Column::TokenId.eq(id)))
        .add_option(filter.method.map(|method| Column::Method.eq(method)))
        .add_option(before.map(|before| Column::Id.lt(signed(before))));
    let rows = Entity::find().filter(wanted).order_by_desc(Column::Id).limit(limit).all(&db).await?;
    rows.into_iter().map(from_row).collect()
}

pub(super) fn to_row(event: AuditEvent) -> Model {
    Model {
        id: signed(event.id),
        time: to_column(stored(event.time)),
        token_id: event.principal.token,
        token_name: plain(&event.principal.name),
        role: event.principal.role,
        address: event.address.map(|address| address.to_string()),
        method: event.method,
        plugin_id: event.plugin,
        about_token_id: event.token,
        hook_id: event.hook,
        code: event.code,
        reason: event.reason,
        trace_id: event.trace_id,
    }
}

fn from_row(row: Model) -> Result<AuditEvent, StoreError> {
    let no_address = |error: AddrParseError| StoreError::Corrupt(format!("audit event {}: {error}", row.id));
    Ok(AuditEvent {
        id: unsigned(row.id)?,
        time: from_column(row.time)?,
        principal: Principal { token: row.token_id, name: row.token_name, role: row.role },
        address: row.address.as_deref().map(str::parse::<IpAddr>).transpose().map_err(no_address)?,
        method: row.method,
        plugin: row.plugin_id,
        token: row.about_token_id,
        hook: row.hook_id,
        code: row.code,
        reason: row.reason,
        trace_id: row.trace_id,
    })
}
