//! A batch as one transaction. Few statements: each has its price, however many rows it carries.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryTrait, Statement, UpdateMany,
    sea_query::{CaseStatement, Cond, Expr, Query},
};

use super::{
    StoreError,
    batch::Batch,
    entity::{self, audit_event, configuration, journal, manifest, plugin, store, unlisted, unused},
    error::is_null_refused,
    lease::{Durability, Lease},
    rows::{signed, unsigned},
    statement::Statements,
};
use crate::{boot_time::since_boot, domain::Digest};

/// Rows in one statement: more parameters than these take are not allowed everywhere.
pub(super) const ROWS: usize = 256;
/// Rows in one statement where each may hold a MiB.
const BODIES: usize = 4;

/// Writes the batch, and these events of the audit trail, which are there already or not. After an error it is unknown
/// whether that was written.
pub(super) async fn execute(
    lease: &Lease,
    batch: &Batch,
    events: &[audit_event::Model],
    durability: Durability,
) -> Result<(), StoreError> {
    let sent = since_boot();
    let mut statements = vec![move_head(lease, batch)];
    statements.extend(write(lease.statements(), batch, events));
    statements.extend(lease.news());
    match lease.transact(statements, durability).await {
        Ok(moved) if moved.is_empty() => Err(StoreError::no_row()),
        Ok(_) => {
            lease.holds_since(sent);
            Ok(())
        }
        Err(error) if is_null_refused(&error) => Err(why_not_moved(lease, batch).await),
        Err(error) => Err(error),
    }
}

/// All statements but the first.
fn write(statements: &Statements, batch: &Batch, events: &[audit_event::Model]) -> Vec<Statement> {
    let mut all = remove(statements.backend(), batch).into_iter().collect::<Vec<_>>();
    all.extend(statements.replace::<manifest::Entity>(batch.manifests.iter().map(manifest_row), BODIES));
    all.extend(statements.replace::<configuration::Entity>(batch.configurations.values().cloned(), BODIES));
    all.extend(statements.replace::<unused::Entity>(unused_rows(batch), ROWS));
    all.extend(statements.replace::<unlisted::Entity>(unlisted_rows(batch), ROWS));
    all.extend(statements.replace::<journal::Entity>(batch.journal.iter().cloned(), ROWS));
    all.extend(statements.replace::<plugin::Entity>(batch.plugins.values().cloned(), ROWS));
    all.extend(statements.replace::<audit_event::Entity>(events.iter().cloned(), ROWS));
    all
}

/// The head in the database, found in a transaction that could write.
pub(super) async fn probe(lease: &Lease) -> Result<u64, StoreError> {
    let (transaction, row) = lease.begin_as_owner().await?;
    set_head(row.head).exec(&transaction).await?;
    // What is found to be written may be answered: it is to survive a power cut, and takes what came before it along.
    lease.commit(transaction, Durability::Synced).await?;
    unsigned(row.head)
}

/// Head and compacted revision.
pub(super) async fn standing(db: &impl ConnectionTrait) -> Result<(u64, u64), StoreError> {
    let row = store::Entity::find_by_id(entity::ROW).one(db).await?;
    let row = row.ok_or_else(StoreError::no_row)?;
    Ok((unsigned(row.head)?, unsigned(row.compacted)?))
}

/// Comes first in its transaction: it is what keeps another writer out ([`super::lease`]). Where the owner or the head is
/// another, it sets the head to nothing, which the table refuses. It returns the row, if there is one.
fn move_head(lease: &Lease, batch: &Batch) -> Statement {
    let (owner, base, head) = (lease.owner(), signed(batch.base), signed(batch.head()));
    let mk_statement = || {
        let is_ours = Cond::all().add(store::Column::Owner.eq(owner)).add(store::Column::Head.eq(base));
        let mut update = Query::update();
        update
            .table(store::Entity)
            .value(store::Column::Head, CaseStatement::new().case(is_ours, head))
            .values(lease.end().map(|end| (store::Column::Until, end)))
            .and_where(store::Column::Id.eq(entity::ROW))
            .returning_col(store::Column::Head);
        lease.statements().backend().build(&update)
    };
    let values = vec![owner.into(), base.into(), head.into(), entity::ROW.into()];
    lease.statements().with_values("move the head", mk_statement, values)
}

/// Finds out why the head was not moved.
async fn why_not_moved(lease: &Lease, batch: &Batch) -> StoreError {
    let look = async {
        let (transaction, row) = lease.begin_as_owner().await?;
        transaction.rollback().await?;
        Err(StoreError::Diverged { expected: batch.base, found: unsigned(row.head)? })
    };
    look.await.unwrap_or_else(|error| error)
}

fn set_head(head: i64) -> UpdateMany<store::Entity> {
    store::Entity::update_many()
        .col_expr(store::Column::Head, Expr::val(head))
        .filter(store::Column::Id.eq(entity::ROW))
}

fn manifest_row((digest, body): (&Digest, &String)) -> manifest::Model {
    manifest::Model { digest: *digest, body: body.clone() }
}

fn unused_rows(batch: &Batch) -> impl Iterator<Item = unused::Model> {
    let since = signed(batch.head());
    batch.unused_manifests.iter().map(move |digest| unused::Model { digest: *digest, since })
}

fn unlisted_rows(batch: &Batch) -> impl Iterator<Item = unlisted::Model> {
    let since = signed(batch.head());
    batch.unlisted_configurations.iter().map(move |(id, newest)| unlisted::Model {
        plugin_id: *id,
        newest: *newest,
        since,
    })
}

fn remove(backend: DbBackend, batch: &Batch) -> Option<Statement> {
    let ids = batch.removed();
    let delete = plugin::Entity::delete_many().filter(plugin::Column::Id.is_in(ids.iter().copied()));
    (!ids.is_empty()).then(|| delete.build(backend))
}
