//! The lease among several plugd on one database, the nodes of a cluster: one of them leads, for a *term*.
//!
//! The row of `store` says who leads, where it is reached, and until when nobody else may lead. The database alone reckons that
//! time, so that no two clocks have to agree. A leader prolongs it every second and with each commit ([`Lease::renew`]); once it is
//! over the next that tries is the leader ([`Lease::take`]). The clock of the database may be set, though: so a lease that was not
//! handed over is only taken by a node that has seen it unchanged for as long as it lasts, by a clock of its own ([`Watch`]). What
//! keeps an earlier leader from writing is its name in the row, as everywhere.
//!
//! A leader must have stopped its plugins before anybody else may lead. It counts for itself, from *before* the last renewal was sent
//! and by a clock that counts while its host is suspended: [`Leadership::good_until`] is never later than what the row says.
//!
//! A lock, shared by the nodes, keeps a plugd away that is no node. It lasts as long as a session does, which may outlive its
//! leader by far, and decides nothing among the nodes.

use std::time::Duration;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
    Statement, UpdateMany,
    entity::prelude::DateTimeUtc,
    sea_query::{Expr, ExprTrait},
};
use tokio::sync::watch;

use super::Lease;
use crate::{
    boot_time::since_boot,
    store::{
        StoreError,
        address::Kind,
        entity::{self, store},
        migration,
    },
};

/// How long a leader leads without having renewed its lease.
pub const LEASE: Duration = Duration::from_secs(5);
/// How often it renews it.
pub(in crate::store) const RENEWAL: Duration = Duration::from_secs(1);

/// The part of what is left of its lease in which the database must have answered a leader, until another connection is tried.
/// After a renewal that got no answer there is time for another try until plugins have to be ended.
const PATIENCE: f64 = 0.4;
/// The least of that: a database, or a host, that is busy answers late, and is not asked sooner by being asked again.
const LEAST_PATIENCE: Duration = Duration::from_millis(1200);

/// Where the nodes are told that there is something to read.
pub(in crate::store) const CHANNEL: &str = "plugd";
/// The end of the lease, from now on. The database takes the time at which the transaction began.
const END: &str = "now() + interval '5 seconds'";
/// How long the lease lasts.
const LEFT: &str = "CAST(EXTRACT(EPOCH FROM until - now()) AS double precision)";
/// Has one node at a time make the tables and take the lease: there may be no row yet that could be locked.
const TURN: &str = "SET lock_timeout = '30s'; \
    SELECT pg_advisory_lock(hashtextextended('plugd takes over ' || current_schema(), 0)); SET lock_timeout = '2s'";
/// Gives the turn to the next.
const TURN_OVER: &str = "SELECT pg_advisory_unlock(hashtextextended('plugd takes over ' || current_schema(), 0))";

/// What a node of a cluster has besides.
pub(in crate::store) struct Node {
    /// Where the other nodes reach it.
    pub(super) address: String,
    /// The lease that is known to be over, if one is.
    run_out: Option<RunOut>,
    good_until: watch::Sender<Duration>,
}

impl Node {
    /// The node that is reached there, and has seen this lease run out.
    pub(in crate::store) fn at(address: String, run_out: Option<RunOut>) -> Self {
        Self { address, run_out, good_until: watch::Sender::default() }
    }
}

/// What the leader of a cluster knows of its lease.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Counts the leaders of this database.
    pub term: u64,
    /// Until when nobody else can lead, on the clock of [`since_boot`]. What it has started must have ended by then.
    pub good_until: watch::Receiver<Duration>,
}

/// The row of `store`, and how long the lease in it lasts.
#[derive(Debug, FromQueryResult)]
pub(in crate::store) struct Standing {
    pub(in crate::store) epoch: String,
    pub(in crate::store) head: i64,
    pub(in crate::store) compacted: i64,
    pub(in crate::store) address: Option<String>,
    pub(in crate::store) term: i64,
    pub(in crate::store) token_changes: i64,
    closed: bool,
    until: Option<DateTimeUtc>,
    /// None where no node of a cluster was the last owner.
    left: Option<f64>,
}

impl Standing {
    /// None where there is no row yet.
    pub(in crate::store) async fn read(db: &impl ConnectionTrait) -> Result<Option<Self>, StoreError> {
        let row = store::Entity::find_by_id(entity::ROW).expr_as(Expr::cust(LEFT), "left");
        Ok(row.into_model().one(db).await?)
    }

    /// How long the lease lasts by the clock of the database; none once it is over, or was handed over.
    fn left(&self) -> Option<Duration> {
        let left = self.left.filter(|_| !self.closed)?;
        Duration::try_from_secs_f64(left).ok().filter(|left| !left.is_zero())
    }

    /// Which lease it is; none where it was handed over, or nobody had one.
    fn lease(&self) -> Option<RunOut> {
        let until = self.until.filter(|_| !self.closed)?;
        Some(RunOut { term: self.term, until })
    }
}

/// A lease that has run out: nobody has renewed it for as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOut {
    term: i64,
    until: DateTimeUtc,
}

/// Watches the leases of leaders by the clock of this host.
#[derive(Debug, Default)]
pub(in crate::store) struct Watch {
    /// The newest, and when it was first seen since the host's boot.
    seen: Option<(RunOut, Duration)>,
}

impl Watch {
    /// How long nobody else can lead, now that this was read; none once anybody may.
    pub(in crate::store) fn left(&mut self, row: &Standing) -> Option<Duration> {
        let now = since_boot();
        let lease = row.lease();
        if self.seen.map(|(lease, _)| lease) != lease {
            self.seen = lease.map(|lease| (lease, now));
        }
        row.left().max(self.unseen(now))
    }

    /// The lease that was seen for as long as it lasts.
    pub(in crate::store) fn run_out(&self) -> Option<RunOut> {
        self.seen.map(|(lease, _)| lease).filter(|_| self.unseen(since_boot()).is_none())
    }

    /// How long the lease is still to be seen.
    fn unseen(&self, now: Duration) -> Option<Duration> {
        let (_, since) = self.seen?;
        (since + LEASE).checked_sub(now).filter(|left| !left.is_zero())
    }
}

impl Lease {
    /// Whether this plugd is one of several.
    pub(in crate::store) fn is_of_a_cluster(&self) -> bool {
        self.node.is_some()
    }

    /// Makes the tables where there are none, then this plugd the owner; answers with the row.
    ///
    /// # Errors
    /// As [`Self::acquire`]; [`StoreError::Newer`].
    pub(in crate::store) async fn take(&self) -> Result<store::Model, StoreError> {
        if self.node.is_none() {
            migration::migrate(&self.db).await?;
            return self.acquire().await;
        }
        self.db.execute_unprepared(TURN).await?;
        let taken = self.take_in_turn().await;
        self.db.execute_unprepared(TURN_OVER).await?;
        taken
    }

    async fn take_in_turn(&self) -> Result<store::Model, StoreError> {
        // A leader goes on with the tables that it knows.
        if migration::is_begun(&self.db).await? {
            self.check_free(&self.db).await?;
        }
        migration::migrate(&self.db).await?;
        self.acquire().await
    }

    /// # Errors
    /// [`StoreError::Led`] while somebody leads.
    pub(super) async fn check_free(&self, db: &impl ConnectionTrait) -> Result<(), StoreError> {
        if let Kind::File(_) = self.address.kind() {
            return Ok(());
        }
        let Some(row) = Standing::read(db).await? else { return Ok(()) };
        let lasts = match &self.node {
            Some(node) => row.left().is_some() || (row.lease().is_some() && row.lease() != node.run_out),
            None => row.left().is_some(),
        };
        if lasts { Err(StoreError::Led { leader: row.address.unwrap_or_default() }) } else { Ok(()) }
    }

    /// Has the lease last, in the transaction that takes it.
    pub(super) async fn prolong(&self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        if self.node.is_some() {
            set_end(END).exec(transaction).await?;
        }
        Ok(())
    }

    /// What a transaction that begins with the row of `store` sets the end of the lease to; none where this plugd is alone.
    pub(in crate::store) fn end(&self) -> Option<Expr> {
        self.node.is_some().then(|| Expr::cust(END))
    }

    /// Nobody else leads before the lease is over that began after this.
    pub(in crate::store) fn holds_since(&self, sent: Duration) {
        if let Some(node) = &self.node {
            node.good_until.send_replace(sent + LEASE);
        }
    }

    /// How long the database may take for anything that keeps the lease from being renewed: so long where this plugd is alone.
    pub(in crate::store) fn patience(&self, alone: Duration) -> Duration {
        let Some(node) = &self.node else { return alone };
        patience(node.good_until.borrow().saturating_sub(since_boot()))
    }

    /// Another node may lead, as this one has just learnt.
    pub(in crate::store) fn lost(&self) {
        if let Some(node) = &self.node {
            node.good_until.send_replace(Duration::ZERO);
        }
    }

    /// Has the lease last as long as it can from now on.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] when somebody else has taken it; the database's own.
    pub(in crate::store) async fn renew(&self) -> Result<(), StoreError> {
        let sent = since_boot();
        let renewed = set_end(END).filter(store::Column::Owner.eq(&self.owner)).exec(&self.db).await?;
        if renewed.rows_affected == 0 {
            return Err(StoreError::Superseded);
        }
        self.holds_since(sent);
        Ok(())
    }

    /// Lets any node lead from now on, in the transaction that closes the database.
    pub(super) async fn hand_over(&self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        let Some(news) = self.news() else { return Ok(()) };
        set_end("now()").exec(transaction).await?;
        transaction.execute_raw(news).await?;
        Ok(())
    }

    /// Has the other nodes read the tokens again, in the transaction that changes them.
    pub(in crate::store) async fn tell_of_tokens(&self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        let Some(news) = self.news() else { return Ok(()) };
        let changes = Expr::col(store::Column::TokenChanges).add(1);
        store::Entity::update_many().col_expr(store::Column::TokenChanges, changes).exec(transaction).await?;
        transaction.execute_raw(news).await?;
        Ok(())
    }

    /// Tells the other nodes, once its transaction is committed, that there is something to read. Nothing where there are none.
    pub(in crate::store) fn news(&self) -> Option<Statement> {
        let backend = self.statements.backend();
        self.node.is_some().then(|| Statement::from_string(backend, format!("NOTIFY {CHANNEL}")))
    }

    /// What a leader knows of its lease; none where this plugd is alone.
    pub(in crate::store) fn leadership(&self, term: u64) -> Option<Leadership> {
        let node = self.node.as_ref()?;
        Some(Leadership { term, good_until: node.good_until.subscribe() })
    }
}

/// How long one try may take while so much of the lease is left.
fn patience(left: Duration) -> Duration {
    left.mul_f64(PATIENCE).max(LEAST_PATIENCE)
}

fn set_end(end: &'static str) -> UpdateMany<store::Entity> {
    store::Entity::update_many()
        .col_expr(store::Column::Until, Expr::cust(end))
        .filter(store::Column::Id.eq(entity::ROW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_told_the_same_length_of_the_lease() {
        assert_eq!(END, format!("now() + interval '{} seconds'", LEASE.as_secs()));
    }

    #[test]
    fn a_renewal_without_an_answer_leaves_time_for_another_try() {
        let first = patience(LEASE - RENEWAL);
        assert!(first > Duration::from_millis(1500), "a commit may take as long");
        // Plugins are ended a second before the lease is over.
        let second = RENEWAL + first + Duration::from_millis(100);
        assert!(second + patience(LEASE - second) < LEASE - Duration::from_secs(1));
        assert_eq!(patience(Duration::ZERO), LEAST_PATIENCE);
    }
}
