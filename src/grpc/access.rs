//! `plugd.v1.AccessService`: creates, lists and revokes access tokens; tells the audit trail.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tonic::{Request, Response};
use tracing::Instrument;

use super::{
    Answer, audit, auth, convert,
    page::{self, Page, Scope},
    tokens::{self, Access},
};
use crate::{
    api::{
        LINK_SESSION,
        v1::{
            CreateTokenRequest, CreateTokenResponse, ListAuditEventsRequest, ListAuditEventsResponse,
            ListTokensRequest, ListTokensResponse, RevokeTokenRequest, RevokeTokenResponse, SignInRequest,
            SignInResponse, WhoAmIRequest, WhoAmIResponse, access_service_server,
        },
    },
    domain::{
        Error, PluginId, Reason, Result, TokenId,
        access::{AccessToken, Role},
        audit::AuditFilter,
        id::NotAnXid,
        text::shorten,
    },
    store::Store,
};

/// How long the token works that a link's is exchanged for.
const SESSION: SignedDuration = SignedDuration::from_hours(24);

/// How long the token of a link may work.
const MAX_LINK: SignedDuration = SignedDuration::from_hours(24);

/// Longest name of a token, in characters.
const MAX_NAME: usize = 100;

/// Tokens that may work at the same time: all are in memory. Where more are needed, they should expire.
const MAX_TOKENS: usize = 10_000;

/// The service. Only administrators get to the methods that change or list tokens: see `auth`.
pub struct AccessService {
    store: Store,
    access: Arc<Access>,
    /// Held while a token is made, so that they are counted one after the other.
    making: Arc<Mutex<()>>,
}

impl AccessService {
    /// Keeps tokens in that store and has the table follow it.
    pub fn new(store: Store, access: Arc<Access>) -> Self {
        Self { store, access, making: Arc::default() }
    }
}

#[tonic::async_trait]
impl access_service_server::AccessService for AccessService {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Answer<WhoAmIResponse> {
        let caller = super::caller(&request)?;
        Ok(Response::new(WhoAmIResponse { token: Some(convert::token(caller.token())) }))
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Answer<SignInResponse> {
        let (link, now) = (super::caller(&request)?.token().id, Timestamp::now());
        let (secret, token) = tokens::mint_token(LINK_SESSION, Role::Admin, now, Some(now + SESSION));
        audit::about_token(token.id);
        let shown = convert::token(&token);
        let (store, table) = (self.store.clone(), Arc::clone(&self.access));
        whole(async move {
            // The link's ends first: so only one can have the new one.
            end(&store, &table, link).await?;
            store.create_token(token.clone()).await?;
            table.insert(token);
            Ok(())
        })
        .await?;
        Ok(Response::new(SignInResponse { token: Some(shown), secret }))
    }

    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Answer<CreateTokenResponse> {
        let (secret, token) = new_token(request.into_inner(), Timestamp::now())?;
        // Also of one that is not made in the end: its caller may have gone away in the middle.
        audit::about_token(token.id);
        let shown = convert::token(&token);
        let (store, table, making) = (self.store.clone(), Arc::clone(&self.access), Arc::clone(&self.making));
        whole(async move {
            let _turn = making.lock().await;
            make_room(&table, Timestamp::now())?;
            store.create_token(token.clone()).await?;
            table.insert(token);
            Ok(())
        })
        .await?;
        Ok(Response::new(CreateTokenResponse { token: Some(shown), secret }))
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Answer<ListTokensResponse> {
        let asked = request.into_inner();
        let mut page = Page::begin(Scope::new("ListTokens", &()), (asked.page_size, page::TOKENS), &asked.page_token)?;
        let tokens = self.store.tokens(page.after(), page.wanted() as u64).await?;
        page.fill(tokens.iter().map(|token| (convert::token(token), token.id)));
        let (tokens, next_page_token) = page.end();
        Ok(Response::new(ListTokensResponse { tokens, next_page_token }))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Answer<RevokeTokenResponse> {
        let id = token_id(&request.get_ref().token_id)?;
        audit::about_token(id);
        let (store, table) = (self.store.clone(), Arc::clone(&self.access));
        let token = whole(async move { end(&store, &table, id).await }).await?;
        Ok(Response::new(RevokeTokenResponse { token: Some(convert::token(&token)) }))
    }

    async fn list_audit_events(&self, request: Request<ListAuditEventsRequest>) -> Answer<ListAuditEventsResponse> {
        let asked = request.into_inner();
        let filters = ListAuditEventsRequest { page_size: 0, page_token: String::new(), ..asked.clone() };
        let list = Scope::new("ListAuditEvents", &filters);
        let mut page = Page::begin(list, (asked.page_size, page::AUDIT_EVENTS), &asked.page_token)?;
        let filter = audit_filter(asked)?;
        self.store.check()?;
        // What was answered before this call is to be there.
        self.store.flush().await?;
        let events = self.store.audit_events(filter, page.after(), page.wanted() as u64).await?;
        page.fill(events.into_iter().map(convert::audit_event).map(|event| {
            let id = event.id;
            (event, id)
        }));
        let (events, next_page_token) = page.end();
        Ok(Response::new(ListAuditEventsResponse { events, next_page_token }))
    }
}

/// # Errors
/// `TOO_MANY_TOKENS`.
fn make_room(table: &Access, now: Timestamp) -> Result<()> {
    table.forget_expired(now);
    if table.count(now) < MAX_TOKENS {
        return Ok(());
    }
    let message = format!("{MAX_TOKENS} tokens work already, which is as many as there may be");
    Err(Error::new(Reason::TooManyTokens, message).with("limit", MAX_TOKENS))
}

/// Store and table must not part ways when the client goes away half way, so the work does not depend on it.
async fn whole<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "changing the tokens failed");
        Err(Error::new(Reason::Internal, "the tokens could not be changed"))
    })
}

/// Ends a token. A store that went away in the middle may have deleted it and yet have said that it does not answer; a caller
/// that then tries again hears that there is no such token, and it goes from the table, too.
async fn end(store: &Store, table: &Access, id: TokenId) -> Result<AccessToken> {
    let revoked = store.revoke_token(id).await;
    if revoked.as_ref().map_or_else(|error| error.reason == Reason::TokenNotFound, |_| true) {
        table.remove(id);
    }
    revoked
}

/// A token as it is asked for, and its secret.
fn new_token(request: CreateTokenRequest, now: Timestamp) -> Result<(String, AccessToken)> {
    let role = convert::required("role", request.role)?;
    let expires = request.ttl.map(|ttl| expiry(convert::duration("ttl", ttl)?, now)).transpose()?;
    if role == Role::Link && expires.is_none_or(|expires| expires > now + MAX_LINK) {
        return Err(Error::field("ttl", "must be a day or less for the token of a link"));
    }
    Ok(tokens::mint_token(checked_name(&request.name)?, role, now, expires))
}

fn checked_name(name: &str) -> Result<&str> {
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
    let shown = shorten(text, 64);
    let not_found =
        || Error::new(Reason::TokenNotFound, format!("there is no token {shown:?}")).with("token_id", &shown);
    text.parse().map_err(|_| not_found())
}

/// # Errors
/// `INVALID_ARGUMENT` about a filter that nothing can pass.
fn audit_filter(request: ListAuditEventsRequest) -> Result<AuditFilter> {
    let no_id = |field: &'static str| move |_: NotAnXid| Error::field(field, "must be an id");
    let plugin = request.plugin_id.map(|id| PluginId::from_path(&id)).transpose();
    let principal = request.principal_token_id.map(|id| id.parse::<TokenId>()).transpose();
    let method = request.method.map(|name| {
        let no_method = || Error::field("method", "must be a method that changes something, like SetActiveState");
        auth::changing_method(&name).map(str::to_owned).ok_or_else(no_method)
    });
    Ok(AuditFilter {
        plugin: plugin.map_err(no_id("plugin_id"))?,
        principal: principal.map_err(no_id("principal_token_id"))?,
        method: method.transpose()?,
    })
}

#[cfg(test)]
mod tests;
