//! A plan as one transaction. Few statements: each has its price, however many rows it carries.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use super::{compaction, plan::Plan};
use crate::store::{
    StoreError, convert,
    convert::signed,
    entity::{configuration_history, document, journal, plugin, store},
    seat::{self, Seat},
};

/// Bytes of text in one statement, unless one row has more: bounds what is held in memory beside the plan itself.
const STATEMENT: usize = 4 * 1024 * 1024;

/// Configurations that are kept of each plugin, the present one included: enough to go back behind a bad day. They may
/// have 1 MiB each.
pub(in crate::store) const HISTORY: i64 = 100;

/// Writes the plan, and forgets revisions up to `cut`, if there is one. After an error it is unknown whether the plan
/// was written.
///
/// # Errors
/// [`StoreError::Superseded`], [`StoreError::Diverged`] or the database's own.
pub(super) async fn execute(seat: &Seat, plan: &Plan, cut: Option<u64>) -> Result<(), StoreError> {
    let transaction = seat.begin().await?;
    move_head(&transaction, seat.owner(), plan, cut).await?;
    write_documents(&transaction, plan).await?;
    write_journal(&transaction, plan).await?;
    write_plugins(&transaction, plan).await?;
    write_history(&transaction, plan).await?;
    trim_history(&transaction, plan).await?;
    retire(&transaction, plan).await?;
    remove(&transaction, plan).await?;
    if let Some(cut) = cut {
        compaction::compact(&transaction, cut).await?;
    }
    Ok(transaction.commit().await?)
}

/// The head in the database, found in a transaction that could write.
///
/// # Errors
/// [`StoreError::Superseded`] or the database's own.
pub(super) async fn probe(seat: &Seat) -> Result<u64, StoreError> {
    let transaction = seat.begin().await?;
    let row = seat::fence(&transaction, seat.owner()).await?;
    let same = store::Entity::update_many().col_expr(store::Column::Head, Expr::col(store::Column::Head));
    same.filter(store::Column::Id.eq(store::ROW)).exec(&transaction).await?;
    transaction.commit().await?;
    convert::unsigned(row.head)
}

/// Whether this is still the owner; writes nothing and locks nothing for longer than it takes.
///
/// # Errors
/// [`StoreError::Superseded`], [`StoreError::Taken`] or the database's own.
pub(super) async fn glance(seat: &Seat) -> Result<(), StoreError> {
    let transaction = seat.begin().await?;
    seat::fence(&transaction, seat.owner()).await?;
    Ok(transaction.rollback().await?)
}

/// Head and compacted revision.
///
/// # Errors
/// The database's own, [`StoreError::Corrupt`].
pub(in crate::store) async fn standing(db: &impl ConnectionTrait) -> Result<(u64, u64), StoreError> {
    let row = store::Entity::find_by_id(store::ROW).one(db).await?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the table \"store\" is empty".to_owned()))?;
    Ok((convert::unsigned(row.head)?, convert::unsigned(row.compacted)?))
}

/// Comes first in its transaction: it is the fence against another writer (`store::seat`).
async fn move_head(db: &DatabaseTransaction, owner: &str, plan: &Plan, cut: Option<u64>) -> Result<(), StoreError> {
    let mut update = store::Entity::update_many().col_expr(store::Column::Head, Expr::val(signed(plan.head())));
    if let Some(cut) = cut {
        update = update.col_expr(store::Column::Compacted, Expr::val(signed(cut)));
    }
    let update = update.filter(store::Column::Id.eq(store::ROW)).filter(store::Column::Owner.eq(owner));
    if update.filter(store::Column::Head.eq(signed(plan.base))).exec(db).await?.rows_affected == 1 {
        return Ok(());
    }
    let row = seat::fence(db, owner).await?;
    Err(StoreError::Diverged { expected: plan.base, found: convert::unsigned(row.head)? })
}

async fn write_documents(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let known = OnConflict::column(document::Column::Digest).do_nothing_on([document::Column::Digest]).to_owned();
    for page in pages(plan.documents.iter(), |(_, body)| body.len()) {
        let rows = page.into_iter().map(|(digest, body)| document::ActiveModel {
            digest: Set(digest.0.to_vec()),
            body: Set(body.clone()),
            retired: Set(None),
        });
        document::Entity::insert_many(rows).on_conflict(known.clone()).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn write_journal(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    for page in pages(plan.journal.iter().cloned(), |row| row.record.len()) {
        let rows = page.into_iter().map(IntoActiveModel::into_active_model);
        journal::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn write_plugins(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let newer = OnConflict::column(plugin::Column::Id)
        .update_columns([
            plugin::Column::Revision,
            plugin::Column::Manifest,
            plugin::Column::Configuration,
            plugin::Column::Record,
        ])
        .to_owned();
    for page in pages(plan.plugins(), |row| row.record.len()) {
        let rows = page.into_iter().map(IntoActiveModel::into_active_model);
        plugin::Entity::insert_many(rows).on_conflict(newer.clone()).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The rows in pages of about [`STATEMENT`] bytes.
fn pages<Row>(rows: impl Iterator<Item = Row>, size: impl Fn(&Row) -> usize) -> Vec<Vec<Row>> {
    let mut pages: Vec<Vec<Row>> = Vec::new();
    let mut free = 0;
    for row in rows {
        let size = size(&row);
        match pages.last_mut().filter(|_| size <= free) {
            Some(page) => page.push(row),
            None => {
                pages.push(vec![row]);
                free = STATEMENT;
            }
        }
        free = free.saturating_sub(size);
    }
    pages
}

async fn write_history(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let rows = plan.history.iter().cloned().map(IntoActiveModel::into_active_model);
    let again = OnConflict::columns([configuration_history::Column::PluginId, configuration_history::Column::Revision])
        .update_columns([
            configuration_history::Column::Configuration,
            configuration_history::Column::Created,
            configuration_history::Column::Author,
        ])
        .to_owned();
    configuration_history::Entity::insert_many(rows).on_conflict(again).exec_without_returning(db).await?;
    Ok(())
}

/// Forgets the oldest configurations of the plugins that have a new one. Their documents were retired when the plugins
/// stopped using them; the compaction collects them.
async fn trim_history(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    use configuration_history::Column;
    let long = plan.history.iter().filter(|row| row.revision > HISTORY);
    let oldest = long.map(|row| {
        let of_it = Condition::all().add(Column::PluginId.eq(row.plugin_id.as_str()));
        of_it.add(Column::Revision.lte(row.revision - HISTORY))
    });
    let oldest = oldest.fold(Condition::any(), Condition::add);
    if !oldest.is_empty() {
        configuration_history::Entity::delete_many().filter(oldest).exec(db).await?;
    }
    Ok(())
}

/// Marks what plugins have stopped using with the last revision of the plan: not before the one that matters.
async fn retire(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    if plan.retired.is_empty() {
        return Ok(());
    }
    let digests = plan.retired.iter().map(|digest| digest.0.to_vec());
    document::Entity::update_many()
        .col_expr(document::Column::Retired, Expr::val(signed(plan.head())))
        .filter(document::Column::Digest.is_in(digests))
        .exec(db)
        .await?;
    Ok(())
}

async fn remove(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let ids = plan.removed();
    if ids.is_empty() {
        return Ok(());
    }
    // Its earlier configurations were retired when it stopped using them.
    let history = configuration_history::Column::PluginId.is_in(ids.clone());
    configuration_history::Entity::delete_many().filter(history).exec(db).await?;
    plugin::Entity::delete_many().filter(plugin::Column::Id.is_in(ids)).exec(db).await?;
    Ok(())
}
