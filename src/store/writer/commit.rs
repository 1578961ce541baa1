//! A plan as one transaction. Few statements: each has its price, however many rows it carries.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sea_query::{Expr, OnConflict},
};

use super::{compaction, plan::Plan};
use crate::store::{
    StoreError, convert,
    convert::signed,
    entity::{configuration_history, document, journal, plugin, store},
};

/// Begins a transaction that may read and then write: it waits for the write lock now, not in the middle.
///
/// # Errors
/// The database's own.
pub(super) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let mode = Some(SqliteTransactionMode::Immediate);
    db.begin_with_options(TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() }).await
}

/// Writes the plan, and forgets revisions up to `cut`, if there is one. After an error it is unknown whether the plan
/// was written.
///
/// # Errors
/// [`StoreError::Diverged`] or the database's own.
pub(super) async fn execute(db: &DatabaseConnection, plan: &Plan, cut: Option<u64>) -> Result<(), StoreError> {
    let transaction = begin(db).await?;
    move_head(&transaction, plan, cut).await?;
    write_documents(&transaction, plan).await?;
    write_plugins(&transaction, plan).await?;
    write_history(&transaction, plan).await?;
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
/// The database's own.
pub(super) async fn probe(db: &DatabaseConnection) -> Result<(u64, u64), StoreError> {
    let transaction = begin(db).await?;
    let stands = standing(&transaction).await?;
    let same = store::Entity::update_many().col_expr(store::Column::Head, Expr::col(store::Column::Head));
    same.filter(store::Column::Id.eq(store::ROW)).exec(&transaction).await?;
    transaction.commit().await?;
    Ok(stands)
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

async fn move_head(db: &DatabaseTransaction, plan: &Plan, cut: Option<u64>) -> Result<(), StoreError> {
    let mut update = store::Entity::update_many().col_expr(store::Column::Head, Expr::val(signed(plan.head())));
    if let Some(cut) = cut {
        update = update.col_expr(store::Column::Compacted, Expr::val(signed(cut)));
    }
    let update = update.filter(store::Column::Id.eq(store::ROW)).filter(store::Column::Head.eq(signed(plan.base)));
    if update.exec(db).await?.rows_affected == 1 {
        return Ok(());
    }
    Err(StoreError::Diverged { expected: plan.base, found: standing(db).await?.0 })
}

async fn write_documents(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let rows = plan.documents.iter().map(|(digest, body)| document::ActiveModel {
        digest: Set(digest.0.to_vec()),
        body: Set(body.clone()),
        retired: Set(None),
    });
    let known = OnConflict::column(document::Column::Digest).do_nothing_on([document::Column::Digest]).to_owned();
    document::Entity::insert_many(rows).on_conflict(known).exec_without_returning(db).await?;
    Ok(())
}

async fn write_plugins(db: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let rows = plan.journal.iter().cloned().map(IntoActiveModel::into_active_model);
    journal::Entity::insert_many(rows).exec_without_returning(db).await?;
    let rows = plan.plugins().map(IntoActiveModel::into_active_model);
    let newer = OnConflict::column(plugin::Column::Id)
        .update_columns([
            plugin::Column::Revision,
            plugin::Column::Manifest,
            plugin::Column::Configuration,
            plugin::Column::Record,
        ])
        .to_owned();
    plugin::Entity::insert_many(rows).on_conflict(newer).exec_without_returning(db).await?;
    Ok(())
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
