use super::{super::tests::Console, *};

fn tokens() -> Vec<AccessToken> {
    let one = |id: &str, name: &str, role: Role| AccessToken {
        id: id.to_owned(),
        name: name.to_owned(),
        role: role.into(),
        ..AccessToken::default()
    };
    let expired = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    vec![
        one("admin", "me", Role::Admin),
        AccessToken { expire_time: expired, ..one("old", "<script>\"'", Role::Viewer) },
    ]
}

#[tokio::test]
async fn tokens_are_listed_with_what_they_are_called_as_text() {
    let console = Console::new();
    console.fake.has_tokens(tokens());
    let page = console.get("admin", "/tokens").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<strong>me</strong> <span class=\"tag\">yours</span>"), "{}", page.text);
    assert!(page.text.contains("<strong>&lt;script&gt;&quot;'</strong>"), "{}", page.text);
    assert!(page.text.contains("expired ") && page.text.contains("never"));
    assert!(!page.text.contains("<script>"));
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_by_nobody() {
    let console = Console::new();
    let made = console.post("admin", "/tokens", "name=%3Cb%3Eci&role=host&expiry=30").await;
    assert_eq!(made.status, StatusCode::OK);
    assert!(made.text.contains("value=\"plugd_secret\"") && made.text.contains("&lt;b&gt;ci"));
    assert!(!format!("{:?}", made.headers).contains("plugd_secret"), "{:?}", made.headers);
    assert_eq!(made.headers["cache-control"], "no-store");
    let seen = console.fake.seen().join("\n");
    assert!(seen.contains("role: Host") && seen.contains("seconds: 2592000"), "{seen}");
    console.post("admin", "/tokens", "name=x&role=viewer&expiry=never").await;
    assert!(console.fake.seen().join("\n").contains("ttl: None"));
    for fields in ["name=x&role=sign_in&expiry=1", "name=x&role=admin&expiry=400"] {
        assert_eq!(console.post("admin", "/tokens", fields).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_link_leads_to_where_its_page_is_from() {
    let console = Console::new();
    let made = console.post("admin", "/tokens/link", "").await;
    assert!(made.text.contains("value=\"https://plugd.example/sign-in?token=plugd_secret\""), "{}", made.text);
    let seen = console.fake.seen().join("\n");
    assert!(seen.contains("role: Link") && seen.contains("seconds: 3600"), "{seen}");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said_beside_its_form() {
    let console = Console::new();
    let answer = console.post("admin", "/tokens", "name=&role=admin&expiry=365").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.contains("A name is missing. Do better."), "{}", answer.text);
    assert!(
        answer.text.contains("<option value=\"admin\" selected>")
            && answer.text.contains("<option value=\"365\" selected>")
    );
}

#[tokio::test]
async fn whoever_revokes_his_own_is_told_before_and_has_to_sign_in_after() {
    let console = Console::new();
    console.fake.has_tokens(tokens());
    let own = console.get("admin", "/tokens/revoke?id=admin").await.text;
    assert!(own.contains("Revoke “me”?") && own.contains("you will be signed out"), "{own}");
    let other = console.get("admin", "/tokens/revoke?id=old").await.text;
    assert!(other.contains("“&lt;script&gt;") && !other.contains("you will be signed out"), "{other}");
    assert_eq!(console.get("admin", "/tokens/revoke?id=none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(console.post("admin", "/tokens/revoke", "id=admin").await.headers["location"], "/sign-in");
    assert_eq!(console.post("admin", "/tokens/revoke", "id=old").await.headers["location"], "/tokens");
    assert!(console.fake.seen().iter().any(|call| call.contains("token_id: \"old\"")));
}

#[tokio::test]
async fn a_viewer_sees_that_it_is_for_administrators() {
    let console = Console::new();
    for path in ["/tokens", "/tokens/revoke?id=old"] {
        let page = console.get("viewer", path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("Tokens are for administrators"));
        assert!(!page.text.contains("<form method=\"post\" action=\"/tokens"));
    }
    for (path, fields) in
        [("/tokens", "name=x&role=admin&expiry=1"), ("/tokens/link", ""), ("/tokens/revoke", "id=old")]
    {
        assert_eq!(console.post("viewer", path, fields).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}
