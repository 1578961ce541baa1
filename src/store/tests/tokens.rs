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
        mk_token(3, Role::Host, Some(Timestamp::MAX)),
    ];
    for token in &tokens {
        fixture.store.create_token(token.clone()).await.unwrap();
    }
    assert_eq!(fixture.store.tokens().await.unwrap(), tokens);
    let fixture = fixture.reopened(10).await;
    assert_eq!(fixture.loaded.tokens, tokens);
    assert_eq!(fixture.store.revoke_token(tokens[1].id).await.unwrap(), tokens[1]);
    assert_eq!(fixture.store.tokens().await.unwrap(), [tokens[0].clone(), tokens[2].clone()]);
    assert_eq!(fixture.store.revoke_token(tokens[1].id).await.unwrap_err().reason, Reason::TokenNotFound);
    assert!(*fixture.store.healthy().borrow(), "a refusal is no outage");
}

#[tokio::test]
async fn the_last_token_that_administers_stays() {
    let fixture = Fixture::new().await;
    let tokens = [
        mk_token(1, Role::Admin, None),
        mk_token(2, Role::Admin, None),
        mk_token(3, Role::Admin, Some(Timestamp::UNIX_EPOCH)),
        mk_token(4, Role::Viewer, None),
    ];
    for token in &tokens {
        fixture.store.create_token(token.clone()).await.unwrap();
    }
    let (one, two) = tokio::join!(fixture.store.revoke_token(tokens[0].id), fixture.store.revoke_token(tokens[1].id));
    assert_eq!(one.unwrap(), tokens[0]);
    assert_eq!(two.unwrap_err().reason, Reason::LastAdminToken);
    assert_eq!(fixture.store.revoke_token(tokens[2].id).await.unwrap(), tokens[2], "it works no more");
}
