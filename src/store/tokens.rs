//! Access tokens: rare changes, a transaction each.

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    StoreError,
    entity::access_token::{Column, Entity, Model},
    lease::{Durability, Lease},
    rows::{from_column, plain, to_column},
};
use crate::domain::{
    Error, Reason, Result, TokenId,
    access::{AccessToken, Role},
};

/// Stores a new token. Those that have expired go: who makes one for each of its jobs would have them pile up.
pub(super) async fn create(lease: &Lease, token: AccessToken) -> Result<(), StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    Entity::delete_many().filter(Column::Expires.lte(to_column(token.created))).exec(&transaction).await?;
    Entity::insert(to_row(token).into_active_model()).exec_without_returning(&transaction).await?;
    lease.tell_of_tokens(&transaction).await?;
    lease.commit(transaction, Durability::Synced).await
}

/// Deletes a token and gives it back. What the domain refuses is the inner error.
///
/// # Errors
/// Inside: `TOKEN_NOT_FOUND`, `LAST_ADMIN_TOKEN`. Outside: [`StoreError::Superseded`], the database's own.
pub(super) async fn revoke(lease: &Lease, id: TokenId) -> Result<Result<AccessToken>, StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    let with_admins = Condition::any().add(Column::Id.eq(id)).add(Column::Role.eq(Role::Admin));
    let tokens = from_rows(Entity::find().filter(with_admins).all(&transaction).await?)?;
    let token = match revocable(tokens, id, Timestamp::now()) {
        Ok(token) => token,
        Err(refusal) => {
            transaction.rollback().await?;
            return Ok(Err(refusal));
        }
    };
    Entity::delete_by_id(id).exec(&transaction).await?;
    lease.tell_of_tokens(&transaction).await?;
    lease.commit(transaction, Durability::Synced).await?;
    Ok(Ok(token))
}

/// Tokens after this one that work at that time, in the order of their ids.
pub(super) async fn page(
    db: &impl ConnectionTrait,
    after: Option<TokenId>,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<AccessToken>, StoreError> {
    let after = Condition::all().add_option(after.map(|after| Column::Id.gt(after)));
    let working = Condition::any().add(Column::Expires.is_null()).add(Column::Expires.gt(to_column(now)));
    from_rows(Entity::find().filter(after).filter(working).order_by_asc(Column::Id).limit(limit).all(db).await?)
}

/// Every token.
pub(super) async fn all(db: &impl ConnectionTrait) -> Result<Vec<AccessToken>, StoreError> {
    from_rows(Entity::find().order_by_asc(Column::Created).order_by_asc(Column::Id).all(db).await?)
}

/// The token of this id, if somebody could still administer plugd without it.
fn revocable(tokens: Vec<AccessToken>, id: TokenId, now: Timestamp) -> Result<AccessToken> {
    let is_admin = |token: &AccessToken| token.role == Role::Admin && token.is_valid_at(now);
    let has_other_admin = tokens.iter().any(|token| token.id != id && is_admin(token));
    let not_found = || Error::new(Reason::TokenNotFound, format!("there is no access token {id}"));
    let token = tokens.into_iter().find(|token| token.id == id).ok_or_else(not_found)?;
    if is_admin(&token) && !has_other_admin {
        return Err(Error::new(Reason::LastAdminToken, "this is the last administrator's token"));
    }
    Ok(token)
}

fn to_row(token: AccessToken) -> Model {
    Model {
        id: token.id,
        name: plain(&token.name),
        role: token.role,
        hash: token.hash.to_vec(),
        created: to_column(token.created),
        expires: token.expires.map(to_column),
    }
}

fn from_rows(rows: Vec<Model>) -> Result<Vec<AccessToken>, StoreError> {
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: Model) -> Result<AccessToken, StoreError> {
    let length = row.hash.len();
    Ok(AccessToken {
        id: row.id,
        name: row.name,
        role: row.role,
        hash: row.hash.try_into().map_err(|_| StoreError::Corrupt(format!("a token's hash of {length} bytes")))?,
        created: from_column(row.created)?,
        expires: row.expires.map(from_column).transpose()?,
    })
}
