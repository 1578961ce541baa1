//! `plugd.v1.AccessService`: creates, lists and revokes access tokens.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tonic::{Request, Response, Status};
use tracing::Instrument;

use super::{
    access::{self, Access},
    convert,
    status::status,
};
use crate::{
    api::v1::{
        CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse, RevokeTokenRequest,
        RevokeTokenResponse, access_service_server,
    },
    domain::{Error, Reason, Result, TokenId, access::AccessToken},
};

/// Longest name of a token, in characters.
const MAX_NAME: usize = 100;

/// Where tokens are kept for good.
pub trait TokenStore: Send + Sync + 'static {
    /// Stores a token.
    fn create_token(&self, token: AccessToken) -> impl Future<Output = Result<()>> + Send;

    /// Deletes a token and returns it; the last administrator's is kept (`LAST_ADMIN_TOKEN`).
    fn revoke_token(&self, id: TokenId) -> impl Future<Output = Result<AccessToken>> + Send;

    /// All tokens, oldest first.
    fn tokens(&self) -> impl Future<Output = Result<Vec<AccessToken>>> + Send;
}

/// The service. Only administrators get here: see `permissions`.
#[derive(Debug)]
pub struct AccessService<S> {
    store: Arc<S>,
    access: Arc<Access>,
}

impl<S: TokenStore> AccessService<S> {
    /// Keeps tokens in that store and has the table follow it.
    #[must_use]
    pub fn new(store: Arc<S>, access: Arc<Access>) -> Self {
        Self { store, access }
    }

    async fn create(&self, request: CreateTokenRequest) -> Result<CreateTokenResponse> {
        let (secret, hash) = access::mint();
        let token = new_token(request, hash, Timestamp::now())?;
        let shown = convert::token(&token);
        let (store, table) = (Arc::clone(&self.store), Arc::clone(&self.access));
        whole(async move {
            store.create_token(token.clone()).await?;
            table.insert(token);
            Ok(())
        })
        .await?;
        Ok(CreateTokenResponse { token: Some(shown), secret })
    }

    async fn revoke(&self, request: RevokeTokenRequest) -> Result<RevokeTokenResponse> {
        let id = token_id(&request.token_id)?;
        let (store, table) = (Arc::clone(&self.store), Arc::clone(&self.access));
        let token = whole(async move {
            let revoked = store.revoke_token(id).await;
            if is_gone(&revoked) {
                table.remove(id);
            }
            revoked
        })
        .await?;
        Ok(RevokeTokenResponse { token: Some(convert::token(&token)) })
    }

    async fn list(&self) -> Result<ListTokensResponse> {
        let tokens = self.store.tokens().await?;
        Ok(ListTokensResponse { tokens: tokens.iter().map(convert::token).collect() })
    }
}

#[tonic::async_trait]
impl<S: TokenStore> access_service_server::AccessService for AccessService<S> {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        self.create(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn list_tokens(&self, _: Request<ListTokensRequest>) -> Result<Response<ListTokensResponse>, Status> {
        self.list().await.map(Response::new).map_err(status)
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        self.revoke(request.into_inner()).await.map(Response::new).map_err(status)
    }
}

/// Store and table must not part ways when the client goes away half way, so the work does not depend on it.
async fn whole<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "changing the tokens failed");
        Err(Error::new(Reason::Internal, "the tokens could not be changed"))
    })
}

/// Does the store no longer have the token? A store that went away in the middle may have deleted it and yet have said
/// that it does not answer; whoever then tries again hears that there is no such token.
fn is_gone(revoked: &Result<AccessToken>) -> bool {
    revoked.as_ref().map_or_else(|error| error.reason == Reason::TokenNotFound, |_| true)
}

fn new_token(request: CreateTokenRequest, hash: [u8; 32], now: Timestamp) -> Result<AccessToken> {
    let role = convert::asked_role("role", request.role)?;
    let expires = request.ttl.map(|ttl| expiry(convert::duration("ttl", ttl)?, now)).transpose()?;
    Ok(AccessToken { id: TokenId::from(xid::new()), name: name(request.name)?, role, hash, created: now, expires })
}

fn name(name: String) -> Result<String> {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
        return Err(Error::field(
            "name",
            format!("must have 1 to {MAX_NAME} characters, none of them a control character"),
        ));
    }
    Ok(name)
}

fn expiry(ttl: Duration, now: Timestamp) -> Result<Timestamp> {
    let ttl = SignedDuration::try_from(ttl).ok().filter(SignedDuration::is_positive);
    let expires = ttl.and_then(|ttl| now.checked_add(ttl).ok());
    expires.ok_or_else(|| Error::field("ttl", "must be more than nothing and end before the year 10000"))
}

fn token_id(text: &str) -> Result<TokenId> {
    let shown: String = text.chars().take(64).collect();
    let not_found =
        || Error::new(Reason::TokenNotFound, format!("there is no token {shown:?}")).with("token_id", &shown);
    text.parse().map_err(|_| not_found())
}

#[cfg(test)]
#[path = "access_service_tests.rs"]
mod tests;
