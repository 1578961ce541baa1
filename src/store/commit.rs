//! A batch as one transaction. Few statements: each has its price, however many rows it carries.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn,
    QueryFilter, QueryTrait, Statement, UpdateMany,
    sea_query::{CaseStatement, Cond, Expr, OnConflict, Query},
};

use super::{
    StoreError,
    batch::Batch,
    entity::{self, audit_event, configuration, journal, manifest, plugin, store, unlisted, unused},
    error::is_null_refused,
    lease::Lease,
    rows::{signed, unsigned},
};
use crate::domain::Digest;

/// Rows in one statement: more parameters than these take are not allowed everywhere.
pub(super) const ROWS: usize = 256;
/// Rows in one statement where each may hold a MiB.
const BODIES: usize = 4;

/// Writes the batch, and these events of the audit trail, which are there already or not. After an error it is unknown
/// whether that was written.
pub(super) async fn execute(lease: &Lease, batch: &Batch, events: &[audit_event::Model]) -> Result<(), StoreError> {
    let backend = lease.db().get_database_backend();
    let statements = [vec![move_head(backend, lease, batch)], statements(backend, batch, events)].concat();
    match lease.transact(statements, batch.durability()).await {
        Ok(moved) if moved.is_empty() => Err(StoreError::no_row()),
        Ok(_) => Ok(()),
        Err(error) if is_null_refused(&error) => Err(why_not_moved(lease, batch).await),
        Err(error) => Err(error),
    }
}

/// All statements but the first.
fn statements(backend: DbBackend, batch: &Batch, events: &[audit_event::Model]) -> Vec<Statement> {
    let mut all = remove(backend, batch).into_iter().collect::<Vec<_>>();
    all.extend(write::<manifest::Entity>(backend, batch.manifests.iter().map(manifest_row), BODIES));
    all.extend(write::<configuration::Entity>(backend, batch.configurations.values().cloned(), BODIES));
    all.extend(write::<unused::Entity>(backend, unused_rows(batch), ROWS));
    all.extend(write::<unlisted::Entity>(backend, unlisted_rows(batch), ROWS));
    all.extend(write::<journal::Entity>(backend, batch.journal.iter().cloned(), ROWS));
    all.extend(write::<plugin::Entity>(backend, batch.plugins.values().cloned(), ROWS));
    all.extend(write::<audit_event::Entity>(backend, events.iter().cloned(), ROWS));
    all
}

/// The head in the database, found in a transaction that could write.
pub(super) async fn probe(lease: &Lease) -> Result<u64, StoreError> {
    let (transaction, row) = lease.begin_as_owner().await?;
    set_head(row.head).exec(&transaction).await?;
    transaction.commit().await?;
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
fn move_head(backend: DbBackend, lease: &Lease, batch: &Batch) -> Statement {
    let is_ours =
        Cond::all().add(store::Column::Owner.eq(lease.owner())).add(store::Column::Head.eq(signed(batch.base)));
    let head = CaseStatement::new().case(is_ours, signed(batch.head()));
    let update = Query::update()
        .table(store::Entity)
        .value(store::Column::Head, head)
        .and_where(store::Column::Id.eq(entity::ROW))
        .returning_col(store::Column::Head)
        .to_owned();
    backend.build(&update)
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

/// Writes rows, in place of those with the same keys.
fn write<E>(backend: DbBackend, rows: impl Iterator<Item = E::Model>, in_one_statement: usize) -> Vec<Statement>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let is_key = |column: &E::Column| E::PrimaryKey::iter().any(|key| key.into_column().as_str() == column.as_str());
    let (keys, others): (Vec<_>, Vec<_>) = E::Column::iter().partition(is_key);
    let replace = OnConflict::columns(keys).update_columns(others).to_owned();
    let rows = rows.map(IntoActiveModel::into_active_model).collect::<Vec<E::ActiveModel>>();
    let insert = |page: &[E::ActiveModel]| E::insert_many(page.to_vec()).on_conflict(replace.clone()).build(backend);
    rows.chunks(in_one_statement).map(insert).collect()
}

fn remove(backend: DbBackend, batch: &Batch) -> Option<Statement> {
    let ids = batch.removed();
    let delete = plugin::Entity::delete_many().filter(plugin::Column::Id.is_in(ids.iter().copied()));
    (!ids.is_empty()).then(|| delete.build(backend))
}
