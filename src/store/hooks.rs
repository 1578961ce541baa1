//! Webhooks: rare changes, a transaction each; and how far they have come, of many at once.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    StoreError,
    entity::hook::{Column, Entity, Model},
    lease::{Durability, Lease},
    rows::{from_column, plain, signed, to_column, unsigned},
};
use crate::domain::{
    Error, HookId, Result,
    hook::{Hook, Progress},
};

/// Stores a new webhook.
pub(super) async fn create(lease: &Lease, hook: Hook) -> Result<(), StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    Entity::insert(to_row(hook)?.into_active_model()).exec_without_returning(&transaction).await?;
    lease.commit(transaction, Durability::Synced).await
}

/// Stores a webhook in place of the one with its id. What the domain refuses is the inner error.
///
/// # Errors
/// Inside: `HOOK_NOT_FOUND`. Outside: [`StoreError::Superseded`], the database's own.
pub(super) async fn update(lease: &Lease, hook: Hook) -> Result<Result<()>, StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    let updated = replace(&transaction, hook).await?;
    match updated {
        Ok(()) => lease.commit(transaction, Durability::Synced).await?,
        Err(_) => transaction.rollback().await?,
    }
    Ok(updated)
}

/// Stores how far these have come, which a power cut may take back. What became of each is inside, as of [`update`].
pub(super) async fn note(lease: &Lease, hooks: Vec<Hook>) -> Result<Vec<Result<()>>, StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    let mut noted = Vec::with_capacity(hooks.len());
    for hook in hooks {
        noted.push(replace(&transaction, hook).await?);
    }
    lease.commit(transaction, Durability::Written).await?;
    Ok(noted)
}

async fn replace(transaction: &impl ConnectionTrait, hook: Hook) -> Result<Result<()>, StoreError> {
    let (id, row) = (hook.id, to_row(hook)?.into_active_model().reset_all());
    let replaced = Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(transaction).await?;
    Ok(if replaced.rows_affected == 0 { Err(Error::hook_not_found(&id.to_string())) } else { Ok(()) })
}

/// Deletes a webhook. One that is gone already stays so.
pub(super) async fn delete(lease: &Lease, id: HookId) -> Result<(), StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    Entity::delete_by_id(id).exec(&transaction).await?;
    lease.commit(transaction, Durability::Synced).await
}

/// Every webhook, in the order of their ids.
pub(super) async fn all(db: &impl ConnectionTrait) -> Result<Vec<Hook>, StoreError> {
    Entity::find().order_by_asc(Column::Id).all(db).await?.into_iter().map(from_row).collect()
}

fn to_row(hook: Hook) -> Result<Model, StoreError> {
    let progress = hook.progress;
    Ok(Model {
        id: hook.id,
        url: plain(hook.url.expose()),
        states: to_text(&hook.states)?,
        plugins: to_text(&hook.plugins)?,
        secret: hook.secret.expose().to_owned(),
        created: to_column(hook.created),
        author: plain(&hook.author),
        epoch: progress.epoch,
        revision: signed(progress.revision),
        missed: signed(progress.missed),
        enabled: progress.is_enabled,
        failures: progress.failures.into(),
        last_error: progress.last_error.as_deref().map(plain),
        last_attempt: progress.last_attempt.map(to_column),
        next_attempt: progress.next_attempt.map(to_column),
    })
}

fn from_row(row: Model) -> Result<Hook, StoreError> {
    Ok(Hook {
        id: row.id,
        url: row.url.into(),
        states: from_text(&row.states)?,
        plugins: from_text(&row.plugins)?,
        secret: row.secret.into(),
        created: from_column(row.created)?,
        author: row.author,
        progress: Progress {
            epoch: row.epoch,
            revision: unsigned(row.revision)?,
            missed: unsigned(row.missed)?,
            is_enabled: row.enabled,
            failures: unsigned(row.failures)?,
            last_error: row.last_error,
            last_attempt: row.last_attempt.map(from_column).transpose()?,
            next_attempt: row.next_attempt.map(from_column).transpose()?,
        },
    })
}

fn to_text(list: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("a webhook: {error}")))
}
