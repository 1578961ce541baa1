use std::collections::HashSet;

use futures_util::future::join_all;
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;
use crate::{
    api::v1::{
        Role as ProtoRole, access_service_client::AccessServiceClient, access_service_server::AccessServiceServer,
    },
    domain::access::Role,
    grpc::{Builder, Guard, InMemory, Server},
    store::{self, Address},
};

/// The real services, over a real store.
struct Fixture {
    access: Arc<Access>,
    store: Store,
    _folder: TempDir,
    service: Server,
    secret: String,
}

impl Fixture {
    async fn new() -> Self {
        let (secret, hash) = tokens::mint();
        let (id, created) = (TokenId::from(xid::new()), Timestamp::now());
        let admin = AccessToken { id, name: "admin".into(), role: Role::Admin, hash, created, expires: None };
        let access = Arc::new(Access::new([admin.clone()]));
        let folder = tempfile::tempdir().unwrap();
        let address = Address::file(&folder.path().join("plugd.db")).unwrap();
        let (opened, _) = store::open(store::Options { address, journal_keep: 10, audit_keep: 10 }).await.unwrap();
        let store = opened.start(Box::new(|_| {}));
        store.create_token(admin).await.unwrap();
        let service = AccessService::new(store.clone(), Arc::clone(&access));
        let trail = store.clone();
        let guard = Guard::new(Arc::clone(&access), move |event| trail.audit(event));
        let service = Builder::default().with(AccessServiceServer::new(service)).behind(guard);
        Self { access, store, _folder: folder, service, secret }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.secret).parse().unwrap());
        request
    }

    fn client(&self) -> AccessServiceClient<InMemory> {
        let service = self.service.clone();
        AccessServiceClient::new(InMemory::new(move |request| {
            let service = service.clone();
            async move { service.answer(request).await }
        }))
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
    let fixture = Fixture::new().await;
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
    let mut fixture = Fixture::new().await;
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
    let fixture = Fixture::new().await;
    let created = fixture.create(mk_create("second", ProtoRole::Admin)).await.unwrap();
    let token_id = created.token.unwrap().id;
    fixture.store.revoke_token(token_id.parse().unwrap()).await.unwrap();
    let revoke = RevokeTokenRequest { token_id };
    let refusal = fixture.client().revoke_token(fixture.request(revoke)).await.unwrap_err();
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "TOKEN_NOT_FOUND");
    assert!(fixture.access.authenticate(&created.secret, Timestamp::now()).is_none());
}

#[tokio::test]
async fn only_administrators_manage_tokens() {
    let mut fixture = Fixture::new().await;
    fixture.secret = fixture.create(mk_create("viewer", ProtoRole::Viewer)).await.unwrap().secret;
    let refusal = fixture.create(mk_create("more", ProtoRole::Admin)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn whoever_has_a_good_token_hears_which_it_is() {
    let mut fixture = Fixture::new().await;
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
    let fixture = Fixture::new().await;
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
    let fixture = Fixture::new().await;
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
    let fixture = Fixture::new().await;
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
    let fixture = Fixture::new().await;
    let expired = mk_expired(1);
    fixture.access.insert(expired.clone());
    fixture.store.create_token(expired.clone()).await.unwrap();
    fixture.create(mk_create("new", ProtoRole::Viewer)).await.unwrap();
    assert_eq!(fixture.names().await, ["admin", "new"]);
    let gone = fixture.store.revoke_token(expired.id).await.unwrap_err();
    assert_eq!(gone.reason, Reason::TokenNotFound);
}

#[tokio::test]
async fn so_many_tokens_work_and_not_one_more() {
    let fixture = Fixture::new().await;
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

/// The token of a link that works for so many seconds.
fn mk_link(seconds: i64) -> CreateTokenRequest {
    CreateTokenRequest { ttl: Some(prost_types::Duration { seconds, nanos: 0 }), ..mk_create("link", ProtoRole::Link) }
}

#[tokio::test]
async fn the_token_of_a_link_is_exchanged_once_for_an_administrators_that_lasts_a_day() {
    let mut fixture = Fixture::new().await;
    fixture.secret = fixture.create(mk_link(60)).await.unwrap().secret;
    let calls = (0..8).map(|_| {
        let (mut client, request) = (fixture.client(), fixture.request(SignInRequest {}));
        async move { client.sign_in(request).await }
    });
    let (taken, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 1, "{refused:?}");
    let codes: HashSet<Code> = refused.into_iter().map(|refusal| refusal.unwrap_err().code()).collect();
    assert!(codes.is_subset(&HashSet::from([Code::Unauthenticated, Code::NotFound])), "{codes:?}");
    let session = taken.into_iter().next().unwrap().unwrap().into_inner();
    let token = session.token.unwrap();
    assert_eq!((token.role(), token.name.as_str()), (ProtoRole::Admin, LINK_SESSION));
    assert_eq!(token.expire_time.unwrap().seconds, token.create_time.unwrap().seconds + 24 * 3600);
    fixture.secret = session.secret;
    assert_eq!(fixture.names().await, ["admin", LINK_SESSION], "the link's own is gone");
}

#[tokio::test]
async fn the_token_of_a_link_is_good_for_nothing_else_and_no_other_signs_in() {
    let mut fixture = Fixture::new().await;
    for role in [ProtoRole::Admin, ProtoRole::Viewer, ProtoRole::Host] {
        let secret = fixture.create(mk_create("other", role)).await.unwrap().secret;
        let other = Fixture { secret, ..Fixture::new().await };
        let refusal = fixture.client().sign_in(other.request(SignInRequest {})).await.unwrap_err();
        assert_eq!(refusal.code(), Code::PermissionDenied, "{role:?}");
    }
    fixture.secret = fixture.create(mk_link(60)).await.unwrap().secret;
    let refusal = fixture.client().list_tokens(fixture.request(ListTokensRequest::default())).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn the_token_of_a_link_works_for_a_day_at_the_most() {
    let fixture = Fixture::new().await;
    assert!(fixture.create(mk_link(24 * 3600)).await.is_ok());
    for request in [mk_link(24 * 3600 + 2), mk_create("link", ProtoRole::Link)] {
        let refusal = fixture.create(request).await.unwrap_err();
        assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, "ttl");
    }
}
