use super::*;
use crate::domain::{Reason, access::Role};

fn mk_token(number: u8, role: Role, expires: Option<Timestamp>) -> AccessToken {
    AccessToken { name: format!("token {number}"), role, expires, ..super::mk_token(number) }
}

#[tokio::test]
async fn tokens_survive_a_restart_and_go_when_revoked() {
    let fixture = Fixture::new().await;
    let later = Timestamp::from_second(Timestamp::now().as_second() + 3600).unwrap();
    let tokens = [
        mk_token(1, Role::Admin, None),
        mk_token(2, Role::Viewer, Some(later)),
        mk_token(3, Role::Host, Some(rows::stored(Timestamp::MAX))),
    ];
    for token in &tokens {
        fixture.store.create_token(token.clone()).await.unwrap();
    }
    assert_eq!(fixture.store.tokens(None, 100).await.unwrap(), tokens);
    let fixture = fixture.reopened(10).await;
    assert_eq!(fixture.loaded.tokens, tokens);
    assert_eq!(fixture.store.revoke_token(tokens[1].id).await.unwrap(), tokens[1]);
    assert_eq!(fixture.store.tokens(None, 100).await.unwrap(), [tokens[0].clone(), tokens[2].clone()]);
    assert_eq!(fixture.store.revoke_token(tokens[1].id).await.unwrap_err().reason, Reason::TokenNotFound);
    assert!(*fixture.store.healthy().borrow(), "a refusal is no outage");
}

#[tokio::test]
async fn the_last_token_that_administers_stays() {
    let fixture = Fixture::new().await;
    let tokens = [
        mk_token(1, Role::Admin, None),
        mk_token(2, Role::Admin, None),
        mk_token(4, Role::Viewer, None),
        mk_token(3, Role::Admin, Some(Timestamp::UNIX_EPOCH)),
    ];
    for token in &tokens {
        fixture.store.create_token(token.clone()).await.unwrap();
    }
    let (one, two) = tokio::join!(fixture.store.revoke_token(tokens[0].id), fixture.store.revoke_token(tokens[1].id));
    assert_eq!(one.unwrap(), tokens[0]);
    assert_eq!(two.unwrap_err().reason, Reason::LastAdminToken);
    assert_eq!(fixture.store.revoke_token(tokens[3].id).await.unwrap(), tokens[3], "it works no more");
}

#[tokio::test]
async fn a_token_that_is_there_already_is_refused_and_is_no_outage() {
    let fixture = Fixture::new().await;
    let token = mk_token(1, Role::Admin, None);
    fixture.store.create_token(token.clone()).await.unwrap();
    assert_eq!(fixture.store.create_token(token.clone()).await.unwrap_err().reason, Reason::Internal);
    assert!(*fixture.store.healthy().borrow());
    assert_eq!(fixture.store.tokens(None, 100).await.unwrap(), [token]);
}

#[tokio::test]
async fn tokens_come_in_pages_in_the_order_of_their_ids() {
    let fixture = Fixture::new().await;
    for number in [3_u8, 1, 2, 5, 4] {
        fixture.store.create_token(mk_token(number, Role::Admin, None)).await.unwrap();
    }
    let page = async |after: Option<u8>, limit| {
        let after = after.map(|number| TokenId::from_bytes([number; 12]));
        let tokens = fixture.store.tokens(after, limit).await.unwrap();
        tokens.into_iter().map(|token| token.name).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, ["token 1", "token 2"]);
    assert_eq!(page(Some(2), 2).await, ["token 3", "token 4"]);
    assert_eq!(page(Some(4), 2).await, ["token 5"]);
    assert_eq!(page(Some(5), 2).await, [""; 0]);
}

/// SQLite keeps times as text, with fractions of a second only where there are some.
#[tokio::test]
async fn what_has_expired_goes_when_a_token_is_made_and_nothing_else_does() {
    let fixture = Fixture::new().await;
    let created: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let expiries = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:04.9Z", "2025-12-31T23:59:59.123456Z"];
    let kept = ["2026-01-02T03:04:06Z", "2026-01-02T03:04:05.5Z", "9999-12-30T22:00:00Z"];
    let mut tokens = Vec::new();
    for (number, expires) in (1..).zip(expiries.into_iter().chain(kept).map(Some).chain([None])) {
        let token = mk_token(number, Role::Viewer, expires.map(|expires| expires.parse().unwrap()));
        let token = AccessToken { created: Timestamp::UNIX_EPOCH, ..token };
        fixture.store.create_token(token.clone()).await.unwrap();
        tokens.push(token);
    }
    tokens.push(AccessToken { created, ..mk_token(9, Role::Admin, None) });
    fixture.store.create_token(tokens[7].clone()).await.unwrap();
    let db = fixture.place.connection().await;
    let mut left = crate::store::tokens::all(&db).await.unwrap();
    left.sort_by_key(|token| token.id);
    assert_eq!(left, tokens[3..]);
    assert_eq!(fixture.store.tokens(None, 100).await.unwrap(), tokens[5..], "what has expired since is not listed");
}
