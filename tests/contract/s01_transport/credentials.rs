//! Who may do what over REST (CONTRACT 1.2).

use plugd::api::v1::Role;
use serde_json::json;

use crate::harness::{Answer, Body, Plugd, Rest, chaos};

/// No credential, none at all by another way, keys and tokens of nobody.
const GARBAGE: [Option<&str>; 5] = [
    None,
    Some(""),
    Some("sdpak_nobodynobodynobodynobodynobodynobodynobodynobody"),
    Some("sdbak_nobodynobodynobodynobodynobodynobodynobodynobody"),
    Some("eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2JvZHkifQ."),
];

/// Every request that changes something, each with something wrong in its body, its media type or its path.
async fn broken_writes(rest: &Rest, id: &str) -> Vec<Answer> {
    let json = |text: &str| Body::Raw(Some("application/json"), text.as_bytes().to_vec());
    let path = format!("/api/plugins/{id}");
    vec![
        rest.post("/api/plugins", json("{")).await,
        rest.post("/api/plugins", Body::Zip(b"no archive".to_vec())).await,
        rest.post("/api/plugins", Body::Raw(Some("text/plain"), b"x".to_vec())).await,
        rest.delete("/api/plugins/nobody").await,
        rest.patch(&format!("{path}/active"), json("{")).await,
        rest.patch("/api/plugins/nobody/active", json("")).await,
        rest.post("/api/plugins/nobody/token", Body::None).await,
        rest.patch(&format!("{path}/manifest"), json("[]")).await,
        rest.patch(&format!("{path}/package"), Body::Zip(Vec::new())).await,
        rest.patch(&format!("{path}/configuration"), json("7")).await,
    ]
}

#[tokio::test]
async fn without_a_valid_credential_everything_is_401_whatever_else_is_wrong_1_2() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    for token in GARBAGE {
        let rest = plugd.rest_as(token);
        let mut answers = broken_writes(&rest, &id).await;
        for path in ["", "/watch", "/watch?state=unheard", "/nobody", "/nobody/logs"] {
            answers.push(rest.get(&format!("/api/plugins{path}")).await);
        }
        for path in ["", "/logs", "/package", "/configuration", "/configuration-schema"] {
            answers.push(rest.get(&format!("/api/plugins/{id}{path}")).await);
        }
        for answer in answers {
            assert_eq!(answer.problem(401)["error"], "unauthenticated", "{token:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[tokio::test]
async fn who_is_no_administrator_is_403_whatever_else_is_wrong_1_2() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    for role in [Role::Viewer, Role::Host] {
        let (_, token) = plugd.api().create_token("no administrator", role).await;
        for answer in broken_writes(&plugd.rest_as(Some(&token)), &id).await {
            assert_eq!(answer.problem(403)["error"], "permission_denied", "{role:?}");
        }
    }
    assert_eq!(plugd.rest().list().await.len(), 1, "nothing happened");
}

/// The cookie counts before the bearer; one that is no good is not an error by itself.
#[tokio::test]
async fn a_cookie_counts_first_and_a_dead_one_not_at_all_1_2() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (_, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let origin = format!("origin: {}", plugd.url());
    let path = format!("/api/plugins/{id}/active");
    let write = async |cookie: &str, bearer: Option<&str>| {
        let cookie = format!("cookie: theme=dark; storyden-session={cookie}");
        let body = Body::Json(json!({"active": "inactive"}));
        plugd.rest_as(bearer).send("PATCH", &path, body, &[&cookie, &origin]).await.status
    };
    let admin = plugd.token();
    assert_eq!(write(admin, None).await, 200);
    assert_eq!(write(admin, Some("nonsense")).await, 200);
    assert_eq!(write(&viewer, Some(admin)).await, 403, "the cookie is who writes");
    assert_eq!(write("nonsense", Some(admin)).await, 200);
    assert_eq!(write("nonsense", Some("nonsense")).await, 401);
    assert_eq!(write("nonsense", None).await, 401);
}

#[tokio::test]
async fn where_plugins_are_disabled_an_administrator_is_403_in_the_contracts_words_1_2() {
    let plugd = Plugd::with(&[("PLUGIN_RUNTIME_PROVIDER", "none")]).await;
    let rest = plugd.rest();
    let nobody = "/api/plugins/9m4e2mr0ui3e8a215n4g";
    let answers = [
        rest.get("/api/plugins").await,
        rest.post("/api/plugins", Body::Zip(chaos(&["tame"]))).await,
        rest.get(nobody).await,
        rest.delete(nobody).await,
        rest.get(&format!("{nobody}/logs")).await,
        rest.get(&format!("{nobody}/configuration")).await,
    ];
    for answer in answers {
        let problem = answer.problem(403);
        assert_eq!(problem["title"], "This Storyden instance has not enabled plugins.");
        assert_eq!(problem["detail"], "disabled: plugins");
        assert_eq!(problem["error"], "plugins_disabled");
    }
    for token in GARBAGE {
        plugd.rest_as(token).get("/api/plugins").await.problem(401);
    }
}
