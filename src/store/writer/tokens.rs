//! Access tokens: rare changes, a transaction each.

use jiff::{SignedDuration, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use crate::{
    domain::{
        Error, Reason, Result, TokenId,
        access::{AccessToken, Role},
    },
    store::{
        StoreError, convert,
        entity::access_token,
        seat::{self, Seat},
    },
};

/// Tokens that are deleted in one transaction, so that other changes do not wait for long.
const PURGE_BATCH: u64 = 500;

/// Characters of a time down to its seconds: `2026-11-28T20:40:00`.
const SECONDS: usize = 19;

/// Stores a new token.
///
/// # Errors
/// [`StoreError::Superseded`], the database's own.
pub(super) async fn create(seat: &Seat, token: AccessToken) -> Result<(), StoreError> {
    let transaction = seat.begin().await?;
    seat::fence(&transaction, seat.owner()).await?;
    let row = to_row(&token).into_active_model();
    access_token::Entity::insert(row).exec_without_returning(&transaction).await?;
    Ok(transaction.commit().await?)
}

/// Deletes a token and gives it back. What the domain refuses is the inner error.
///
/// # Errors
/// Inside: `TOKEN_NOT_FOUND`, `LAST_ADMIN_TOKEN`. Outside: [`StoreError::Superseded`], the database's own.
pub(super) async fn revoke(seat: &Seat, id: TokenId) -> Result<Result<AccessToken>, StoreError> {
    let transaction = seat.begin().await?;
    seat::fence(&transaction, seat.owner()).await?;
    let tokens = with_admins(&transaction, id).await?;
    let token = match revocable(tokens, id, Timestamp::now()) {
        Ok(token) => token,
        Err(refusal) => {
            transaction.rollback().await?;
            return Ok(Err(refusal));
        }
    };
    access_token::Entity::delete_many().filter(access_token::Column::Id.eq(id.to_string())).exec(&transaction).await?;
    transaction.commit().await?;
    Ok(Ok(token))
}

/// Deletes tokens that have expired, the most that one transaction should; how many these were.
///
/// # Errors
/// [`StoreError::Superseded`], the database's own.
pub(super) async fn purge(seat: &Seat, now: Timestamp) -> Result<usize, StoreError> {
    let transaction = seat.begin().await?;
    seat::fence(&transaction, seat.owner()).await?;
    // Times are texts that are ordered only down to the seconds, which all have.
    let next_second = now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(now).to_string();
    let next_second: String = next_second.chars().take(SECONDS).collect();
    let rows = access_token::Entity::find()
        .filter(access_token::Column::Expires.lt(next_second))
        .order_by_asc(access_token::Column::Expires)
        .limit(PURGE_BATCH)
        .all(&transaction)
        .await?;
    let tokens = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    let expired = tokens.iter().filter(|token| !token.is_valid_at(now));
    let ids: Vec<_> = expired.map(|token| token.id.to_string()).collect();
    access_token::Entity::delete_many()
        .filter(access_token::Column::Id.is_in(ids.iter().map(String::as_str)))
        .exec(&transaction)
        .await?;
    transaction.commit().await?;
    Ok(ids.len())
}

/// Tokens after this one, in the order of their ids.
///
/// # Errors
/// The database's own, [`StoreError::Corrupt`].
pub(in crate::store) async fn page(
    db: &impl ConnectionTrait,
    after: Option<TokenId>,
    limit: u64,
) -> Result<Vec<AccessToken>, StoreError> {
    let after = after.map(|after| access_token::Column::Id.gt(after.to_string()));
    let page = access_token::Entity::find().filter(Condition::all().add_option(after));
    let rows = page.order_by_asc(access_token::Column::Id).limit(limit).all(db).await?;
    rows.into_iter().map(from_row).collect()
}

/// Every token.
///
/// # Errors
/// The database's own, [`StoreError::Corrupt`].
pub(in crate::store) async fn all(db: &impl ConnectionTrait) -> Result<Vec<AccessToken>, StoreError> {
    let rows = access_token::Entity::find().all(db).await?;
    let mut tokens = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    tokens.sort_by_key(|token| (token.created, token.id));
    Ok(tokens)
}

/// The token of this id and those of all administrators.
async fn with_admins(db: &impl ConnectionTrait, id: TokenId) -> Result<Vec<AccessToken>, StoreError> {
    let admin = convert::word(&Role::Admin).unwrap_or_default();
    let wanted = [access_token::Column::Id.eq(id.to_string()), access_token::Column::Role.eq(admin)];
    let wanted = wanted.into_iter().fold(Condition::any(), Condition::add);
    let rows = access_token::Entity::find().filter(wanted).all(db).await?;
    rows.into_iter().map(from_row).collect()
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

fn to_row(token: &AccessToken) -> access_token::Model {
    access_token::Model {
        id: token.id.to_string(),
        name: token.name.clone(),
        role: convert::word(&token.role).unwrap_or_default(),
        hash: token.hash.to_vec(),
        created: token.created.to_string(),
        expires: token.expires.map(|expires| expires.to_string()),
    }
}

fn from_row(row: access_token::Model) -> Result<AccessToken, StoreError> {
    Ok(AccessToken {
        id: convert::parse(&row.id)?,
        name: row.name,
        role: convert::from_word(row.role)?,
        hash: convert::bytes32(&row.hash)?,
        created: convert::parse(&row.created)?,
        expires: row.expires.as_deref().map(convert::parse).transpose()?,
    })
}
