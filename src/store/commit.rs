//! A batch as one transaction. Few statements: each has its price, however many rows it carries.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IdenStatic, IntoActiveModel, Iterable,
    PrimaryKeyToColumn, QueryFilter, UpdateMany,
    sea_query::{Expr, OnConflict},
};

use super::{
    StoreError,
    batch::Batch,
    entity::{self, configuration, journal, manifest, plugin, store, unlisted, unused},
    lease::Lease,
    rows::{signed, unsigned},
};
use crate::domain::Digest;

/// Rows in one statement: more parameters than these take are not allowed everywhere.
pub(super) const ROWS: usize = 256;
/// Rows in one statement where each may hold a MiB.
const BODIES: usize = 4;

/// Writes the batch. After an error it is unknown whether it was written.
pub(super) async fn execute(lease: &Lease, batch: &Batch) -> Result<(), StoreError> {
    let transaction = lease.begin(batch.durability()).await?;
    move_head(&transaction, lease, batch).await?;
    remove(&transaction, batch).await?;
    write::<manifest::Entity>(&transaction, batch.manifests.iter().map(manifest_row), BODIES).await?;
    write::<configuration::Entity>(&transaction, batch.configurations.values().cloned(), BODIES).await?;
    write::<unused::Entity>(&transaction, unused_rows(batch), ROWS).await?;
    write::<unlisted::Entity>(&transaction, unlisted_rows(batch), ROWS).await?;
    write::<journal::Entity>(&transaction, batch.journal.iter().cloned(), ROWS).await?;
    write::<plugin::Entity>(&transaction, batch.plugins.values().cloned(), ROWS).await?;
    Ok(transaction.commit().await?)
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
    let row = row.ok_or_else(|| StoreError::Corrupt("the table \"store\" is empty".to_owned()))?;
    Ok((unsigned(row.head)?, unsigned(row.compacted)?))
}

/// Comes first in its transaction: it is what keeps another writer out ([`super::lease`]).
async fn move_head(db: &DatabaseTransaction, lease: &Lease, batch: &Batch) -> Result<(), StoreError> {
    let update = set_head(signed(batch.head())).filter(store::Column::Owner.eq(lease.owner()));
    if update.filter(store::Column::Head.eq(signed(batch.base))).exec(db).await?.rows_affected == 1 {
        return Ok(());
    }
    let row = lease.owned_row(db).await?;
    Err(StoreError::Diverged { expected: batch.base, found: unsigned(row.head)? })
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
pub(super) async fn write<E>(
    db: &DatabaseTransaction,
    rows: impl Iterator<Item = E::Model>,
    in_one_statement: usize,
) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let is_key = |column: &E::Column| E::PrimaryKey::iter().any(|key| key.into_column().as_str() == column.as_str());
    let (keys, others): (Vec<_>, Vec<_>) = E::Column::iter().partition(is_key);
    let replace = OnConflict::columns(keys).update_columns(others).to_owned();
    let mut rows = rows.map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        let page = rows.by_ref().take(in_one_statement).collect::<Vec<_>>();
        E::insert_many(page).on_conflict(replace.clone()).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn remove(db: &DatabaseTransaction, batch: &Batch) -> Result<(), DbErr> {
    let ids = batch.removed();
    if !ids.is_empty() {
        plugin::Entity::delete_many().filter(plugin::Column::Id.is_in(ids)).exec(db).await?;
    }
    Ok(())
}
