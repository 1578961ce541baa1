use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::Router;
use tonic::Code;
use tonic_types::StatusExt;

use tonic::Status;

use super::*;
use crate::{
    api::v1::{
        Role as ProtoRole, access_service_client::AccessServiceClient, access_service_server::AccessServiceServer,
    },
    domain::access::Role,
    grpc::guarded,
};

#[derive(Default)]
struct Memory {
    tokens: Mutex<Vec<AccessToken>>,
    /// The next deletion is made, and yet answered as if the store were away.
    loses_its_answer: AtomicBool,
}

impl TokenStore for Arc<Memory> {
    async fn create_token(&self, token: AccessToken) -> Result<()> {
        Memory::create_token(self, token).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<AccessToken> {
        Memory::revoke_token(self, id).await
    }

    async fn purge_tokens(&self, now: Timestamp) -> Result<usize> {
        Memory::purge_tokens(self, now).await
    }

    async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<AccessToken>> {
        Memory::tokens(self, after, limit).await
    }
}

impl TokenStore for Memory {
    async fn create_token(&self, token: AccessToken) -> Result<()> {
        self.tokens.lock().unwrap().push(token);
        Ok(())
    }

    async fn revoke_token(&self, id: TokenId) -> Result<AccessToken> {
        let mut tokens = self.tokens.lock().unwrap();
        let index = tokens.iter().position(|token| token.id == id);
        let index = index.ok_or_else(|| Error::new(Reason::TokenNotFound, "there is no such token"))?;
        let token = tokens.remove(index);
        if self.loses_its_answer.swap(false, Ordering::SeqCst) {
            return Err(Error::new(Reason::StoreUnavailable, "the store does not answer"));
        }
        Ok(token)
    }

    async fn purge_tokens(&self, now: Timestamp) -> Result<usize> {
        let mut tokens = self.tokens.lock().unwrap();
        let before = tokens.len();
        // One at a time.
        if let Some(index) = tokens.iter().position(|token| !token.is_valid_at(now)) {
            tokens.remove(index);
        }
        Ok(before - tokens.len())
    }

    async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<AccessToken>> {
        let mut tokens = self.tokens.lock().unwrap().clone();
        tokens.sort_by_key(|token| token.id);
        let after = tokens.into_iter().filter(|token| after.is_none_or(|after| token.id > after));
        Ok(after.take(usize::try_from(limit).unwrap()).collect())
    }
}

/// The service with its guard, and a client that sends this secret.
struct Fixture {
    access: Arc<Access>,
    store: Arc<Memory>,
    service: Router,
    secret: String,
}

impl Fixture {
    fn new() -> Self {
        let (secret, hash) = tokens::mint();
        let (id, created) = (TokenId::from(xid::new()), Timestamp::now());
        let admin = AccessToken { id, name: "admin".into(), role: Role::Admin, hash, created, expires: None };
        let access = Arc::new(Access::new([admin.clone()]));
        let store = Arc::new(Memory { tokens: Mutex::new(vec![admin]), ..Memory::default() });
        let service = AccessService::new(Arc::clone(&store), Arc::clone(&access));
        let guard = axum::middleware::from_fn_with_state(Arc::clone(&access), guarded);
        let service = tonic::service::Routes::new(AccessServiceServer::new(service)).into_axum_router().layer(guard);
        Self { access, store, service, secret }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.secret).parse().unwrap());
        request
    }

    fn client(&self) -> AccessServiceClient<Router> {
        AccessServiceClient::new(self.service.clone())
    }

    async fn create(&self, request: CreateTokenRequest) -> Result<CreateTokenResponse, Status> {
        self.client().create_token(self.request(request)).await.map(Response::into_inner)
    }

    async fn names(&self) -> Vec<String> {
        let tokens =
            self.client().list_tokens(self.request(ListTokensRequest::default())).await.unwrap().into_inner().tokens;
        tokens.into_iter().map(|token| token.name).collect()
    }
}

fn mk_create(name: &str, role: ProtoRole) -> CreateTokenRequest {
    CreateTokenRequest { name: name.to_owned(), role: role.into(), ttl: None }
}

#[tokio::test]
async fn a_created_token_works_at_once_and_is_listed_without_its_secret() {
    let fixture = Fixture::new();
    let ttl = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let created = fixture.create(CreateTokenRequest { ttl, ..mk_create("ci", ProtoRole::Viewer) }).await.unwrap();
    let caller = fixture.access.authenticate(&created.secret, Timestamp::now()).unwrap();
    assert_eq!((caller.token().role, caller.token().name.as_str()), (Role::Viewer, "ci"));
    let token = created.token.unwrap();
    assert_eq!(token.expire_time.unwrap().seconds, token.create_time.unwrap().seconds + 60);
    assert_eq!(fixture.names().await, ["admin", "ci"]);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let mut fixture = Fixture::new();
    let created = fixture.create(mk_create("second", ProtoRole::Admin)).await.unwrap();
    let token_id = created.token.unwrap().id;
    let revoke = RevokeTokenRequest { token_id: token_id.clone() };
    let revoked = fixture.client().revoke_token(fixture.request(revoke)).await.unwrap().into_inner();
    assert_eq!(revoked.token.unwrap().id, token_id);
    assert_eq!(fixture.names().await, ["admin"]);
    fixture.secret = created.secret;
    let refusal = fixture.client().list_tokens(fixture.request(ListTokensRequest::default())).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unauthenticated);
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_token_whose_deletion_was_made_and_not_confirmed_is_refused_once_its_revocation_is_tried_again() {
    let fixture = Fixture::new();
    let created = fixture.create(mk_create("second", ProtoRole::Admin)).await.unwrap();
    let revoke = RevokeTokenRequest { token_id: created.token.unwrap().id };
    fixture.store.loses_its_answer.store(true, Ordering::SeqCst);
    for reason in ["STORE_UNAVAILABLE", "TOKEN_NOT_FOUND"] {
        let refusal = fixture.client().revoke_token(fixture.request(revoke.clone())).await.unwrap_err();
        assert_eq!(refusal.get_details_error_info().unwrap().reason, reason);
    }
    assert!(fixture.access.authenticate(&created.secret, Timestamp::now()).is_none());
}

#[tokio::test]
async fn only_administrators_manage_tokens() {
    let mut fixture = Fixture::new();
    fixture.secret = fixture.create(mk_create("viewer", ProtoRole::Viewer)).await.unwrap().secret;
    let refusal = fixture.create(mk_create("more", ProtoRole::Admin)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn whoever_has_a_good_token_hears_which_it_is() {
    let mut fixture = Fixture::new();
    for role in [ProtoRole::Viewer, ProtoRole::Host, ProtoRole::Admin] {
        let created = fixture.create(mk_create("somebody", role)).await.unwrap();
        let mut request = Request::new(WhoAmIRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {}", created.secret).parse().unwrap());
        let answer = fixture.client().who_am_i(request).await.unwrap().into_inner();
        assert_eq!(answer.token, created.token);
    }
    fixture.secret = "plugd_nobody's".to_owned();
    let refusal = fixture.client().who_am_i(fixture.request(WhoAmIRequest {})).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let fixture = Fixture::new();
    let nothing = Some(prost_types::Duration::default());
    let endless = Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 });
    let good = || mk_create("name", ProtoRole::Host);
    let requests = [
        ("name", mk_create(" ", ProtoRole::Host)),
        ("name", mk_create(&"é".repeat(101), ProtoRole::Host)),
        ("name", mk_create("a\nb", ProtoRole::Host)),
        ("role", mk_create("name", ProtoRole::Unspecified)),
        ("ttl", CreateTokenRequest { ttl: nothing, ..good() }),
        ("ttl", CreateTokenRequest { ttl: endless, ..good() }),
    ];
    for (field, request) in requests {
        let refusal = fixture.create(request).await.unwrap_err();
        let violations = refusal.get_details_bad_request().unwrap().field_violations;
        assert_eq!((refusal.code(), violations[0].field.as_str()), (Code::InvalidArgument, field));
    }
    assert_eq!(fixture.names().await, ["admin"]);
    assert!(fixture.create(mk_create(&"é".repeat(100), ProtoRole::Host)).await.is_ok());
}

#[tokio::test]
async fn what_is_not_an_id_is_a_token_that_does_not_exist() {
    let fixture = Fixture::new();
    for token_id in ["nope".to_owned(), xid::new().to_string()] {
        let revoke = RevokeTokenRequest { token_id };
        let refusal = fixture.client().revoke_token(fixture.request(revoke)).await.unwrap_err();
        assert_eq!(refusal.get_details_error_info().unwrap().reason, "TOKEN_NOT_FOUND");
    }
}

fn mk_expired(number: u16) -> AccessToken {
    let (created, expires) = (Timestamp::UNIX_EPOCH, Some(Timestamp::UNIX_EPOCH));
    AccessToken { created, expires, ..mk_other(number) }
}

/// A viewer's token that nobody has the secret of.
fn mk_other(number: u16) -> AccessToken {
    let mut hash = [0; 32];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    let id = TokenId::from(xid::new());
    AccessToken { id, name: "other".into(), role: Role::Viewer, hash, created: Timestamp::now(), expires: None }
}

#[tokio::test]
async fn tokens_are_listed_in_pages_which_are_all_there_is() {
    let fixture = Fixture::new();
    for name in ["b", "c", "d", "e"] {
        fixture.create(mk_create(name, ProtoRole::Viewer)).await.unwrap();
    }
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = fixture.request(ListTokensRequest { page_size: 2, page_token });
        let page = fixture.client().list_tokens(request).await.unwrap().into_inner();
        pages.push(page.tokens.iter().map(|token| token.name.clone()).collect::<String>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, ["adminb", "cd", "e"]);
    let refused = fixture.request(ListTokensRequest { page_size: -1, page_token: String::new() });
    assert_eq!(fixture.client().list_tokens(refused).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_has_expired_is_removed_when_a_token_is_made() {
    let fixture = Fixture::new();
    for number in 1..=3 {
        fixture.access.insert(mk_expired(number));
        fixture.store.tokens.lock().unwrap().push(mk_expired(number));
    }
    fixture.create(mk_create("new", ProtoRole::Viewer)).await.unwrap();
    assert_eq!(fixture.names().await, ["admin", "new"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_removed_now_and_then() {
    let (store, access) = (Memory::default(), Arc::new(Access::default()));
    let kept = mk_other(1);
    store.tokens.lock().unwrap().extend([mk_expired(2), kept.clone(), mk_expired(3)]);
    let store = Arc::new(store);
    tokio::time::timeout(PURGE_INTERVAL / 2, keep_purged(store.clone(), access.clone())).await.unwrap_err();
    assert_eq!(*store.tokens.lock().unwrap(), std::slice::from_ref(&kept), "at once");
    store.tokens.lock().unwrap().push(mk_expired(4));
    tokio::time::timeout(PURGE_INTERVAL * 2, keep_purged(store.clone(), access)).await.unwrap_err();
    assert_eq!(*store.tokens.lock().unwrap(), [kept]);
}

#[tokio::test]
async fn so_many_tokens_work_and_not_one_more() {
    let fixture = Fixture::new();
    // The administrator has one.
    for number in 1..u16::try_from(MAX_TOKENS).unwrap() {
        fixture.access.insert(mk_other(number));
    }
    let refused = fixture.create(mk_create("one more", ProtoRole::Viewer)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "TOO_MANY_TOKENS");
    assert!(refused.message().contains("10000 tokens work already"), "{}", refused.message());
    assert_eq!(fixture.names().await, ["admin"], "it was not stored");
}
