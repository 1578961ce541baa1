//! Who may do what, and that this is asked before anything else.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::stream;
use tonic::Code;

use super::{Harness, admin, anonymous, bearer, fake::told, json, path};
use crate::{api::v1::plugin_service_server::SERVICE_NAME, rest::request};

const WRITES: [(&str, &str); 8] = [
    ("POST", ""),
    ("PATCH", "/active"),
    ("PATCH", "/manifest"),
    ("PATCH", "/package"),
    ("PATCH", "/configuration"),
    ("POST", "/token"),
    ("POST", "/restart"),
    ("DELETE", ""),
];

fn write_path(method: &str, rest: &str) -> String {
    if method == "POST" && rest.is_empty() { "/api/plugins".to_owned() } else { path(rest) }
}

#[tokio::test]
async fn everything_but_health_and_documents_needs_a_credential() {
    let harness = Harness::new();
    for rest in ["", "/logs", "/package", "/configuration", "/configuration-schema"] {
        let answer = harness.send(anonymous("GET", &path(rest)).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{rest}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.json()["error"], "unauthenticated");
    }
    for path in ["/healthz", "/readyz", "/api/info", "/api/openapi.json", "/api/docs"] {
        let answer = harness.send(anonymous("GET", path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_broken_body_of_nobody_is_unauthorized_rather_than_wrong() {
    let harness = Harness::new();
    for (method, rest) in WRITES {
        let path = write_path(method, rest);
        let answer = harness.send(json(anonymous(method, &path), "{")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let answer = harness.send(json(bearer("unknown", method, &path), "{")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} with a bad token");
    }
}

#[tokio::test]
async fn a_viewers_write_is_forbidden_whatever_its_body() {
    let harness = Harness::new();
    for (method, rest) in WRITES {
        for body in ["{", "", "[]", r#"{"active":"active","mode":"external","manifest":{}}"#] {
            let answer = harness.send(json(bearer("viewer", method, &write_path(method, rest)), body)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {rest} {body}");
            assert_eq!(answer.json()["error"], "permission_denied");
        }
    }
}

#[tokio::test]
async fn an_administrators_broken_body_is_wrong_and_the_question_has_no_effect() {
    let harness = Harness::new();
    let answer = harness.json("PATCH", &path("/active"), "{").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!((harness.fake.seen(), harness.fake.asked()), (Vec::new(), 1));
}

/// A body that knows whether anybody has asked for it.
fn watched() -> (Body, Arc<AtomicBool>) {
    let is_read = Arc::new(AtomicBool::new(false));
    let flag = is_read.clone();
    let bytes = stream::once(async move {
        flag.store(true, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from_static(b"{}"))
    });
    (Body::from_stream(bytes), is_read)
}

#[tokio::test]
async fn a_body_is_not_read_before_its_sender_may_write() {
    let harness = Harness::new();
    let callers = [
        ("unknown", StatusCode::UNAUTHORIZED, false),
        ("viewer", StatusCode::FORBIDDEN, false),
        ("admin", StatusCode::OK, true),
    ];
    for (method, rest) in [("PATCH", "/configuration"), ("PATCH", "/manifest"), ("PATCH", "/package"), ("POST", "")] {
        let path = write_path(method, rest);
        let media = if matches!(rest, "" | "/package") { "application/zip" } else { "application/json" };
        for (token, status, is_wanted) in callers {
            let (body, is_read) = watched();
            let request = bearer(token, method, &path).header("content-type", media).body(body).unwrap();
            assert_eq!(harness.send(request).await.status, status, "{token} {path}");
            assert_eq!(is_read.load(Ordering::SeqCst), is_wanted, "{token} {path}");
        }
    }
}

#[tokio::test]
async fn a_body_is_not_read_while_nobody_can_say_whether_its_sender_may_write() {
    let harness = Harness::new();
    harness.fake.silence(told(Code::Unavailable, "DRAINING", "the server shuts down"));
    let (body, is_read) = watched();
    let request =
        admin("PATCH", &path("/configuration")).header("content-type", "application/json").body(body).unwrap();
    assert_eq!(harness.send(request).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!is_read.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_bad_query_of_nobody_is_unauthorized_rather_than_wrong() {
    let harness = Harness::new();
    let path = "/api/plugins/watch?state=nonsense";
    assert_eq!(
        harness.send(bearer("x", "GET", path).body(Body::empty()).unwrap()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        harness.send(bearer("viewer", "GET", path).body(Body::empty()).unwrap()).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_cookie_counts_before_a_bearer_token_unless_it_is_no_good() {
    let harness = Harness::new();
    let cases = [
        ("admin", "x", StatusCode::NO_CONTENT),
        ("x", "admin", StatusCode::NO_CONTENT),
        ("viewer", "admin", StatusCode::FORBIDDEN),
        ("x", "viewer", StatusCode::FORBIDDEN),
        ("x", "y", StatusCode::UNAUTHORIZED),
    ];
    for (cookie, token, status) in cases {
        let request = bearer(token, "DELETE", &path(""))
            .header("cookie", format!("other=1; storyden-session={cookie}; more=2"))
            .header("host", "plugd.example")
            .header("origin", "http://plugd.example");
        assert_eq!(harness.send(request.body(Body::empty()).unwrap()).await.status, status, "{cookie} {token}");
    }
}

#[tokio::test]
async fn what_is_no_bearer_token_is_no_credential() {
    let harness = Harness::new();
    for header in ["Basic YTpi", "Bearer", "Bearer ", "admin"] {
        let request = anonymous("GET", &path("")).header("authorization", header);
        assert_eq!(
            harness.send(request.body(Body::empty()).unwrap()).await.status,
            StatusCode::UNAUTHORIZED,
            "{header}"
        );
    }
    assert_eq!(harness.fake.seen(), [""; 0]);
    let request = anonymous("GET", &path("")).header("authorization", "bearer   admin ");
    assert_eq!(harness.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn answers_to_a_caller_are_not_kept_by_caches() {
    let answer = Harness::new().send(admin("GET", &path("")).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn a_call_carries_the_callers_credential_and_trace() {
    let request = admin("GET", "/").header("traceparent", "00-1-2-01").header("x-other", "1").body(()).unwrap();
    let credential = "Bearer admin".parse().unwrap();
    let call = request::Origin::of(&credential, request.headers(), request.extensions()).call(());
    let found: Vec<_> = call.metadata().keys().map(|key| format!("{key:?}")).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(call.metadata().get("authorization").unwrap(), "Bearer admin");
    assert_eq!(call.metadata().get("traceparent").unwrap(), "00-1-2-01");
}

#[tokio::test(start_paused = true)]
async fn whose_a_credential_is_is_asked_once_and_again_after_a_while() {
    let harness = Harness::new();
    let restart = async || harness.json("POST", &path("/restart"), "").await.status;
    for _ in 0..5 {
        assert_eq!(restart().await, StatusCode::OK);
    }
    assert_eq!((harness.fake.asked(), harness.fake.seen().len()), (1, 5), "six calls for five writes");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(restart().await, StatusCode::OK);
    assert_eq!((harness.fake.asked(), harness.fake.seen().len()), (2, 6));
}

#[tokio::test]
async fn one_credential_is_not_taken_for_another() {
    let harness = Harness::new();
    for (token, status) in [
        ("admin", StatusCode::NO_CONTENT),
        ("viewer", StatusCode::FORBIDDEN),
        ("unknown", StatusCode::UNAUTHORIZED),
        ("viewer", StatusCode::FORBIDDEN),
        ("admin", StatusCode::NO_CONTENT),
    ] {
        let request = bearer(token, "DELETE", &path("")).body(Body::empty()).unwrap();
        assert_eq!(harness.send(request).await.status, status, "{token}");
    }
}

/// Whatever is wrong with a request: on a server without plugins that comes first (CONTRACT 1.2).
#[tokio::test]
async fn where_plugins_are_disabled_a_broken_body_is_forbidden() {
    let harness = Harness::new();
    harness.health.clone().clear_service_status(SERVICE_NAME).await;
    harness.fake.fail(told(Code::PermissionDenied, "PLUGINS_DISABLED", "This plugd has not enabled plugins."));
    for (method, rest) in WRITES {
        let answer = harness.json(method, &write_path(method, rest), "{").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {rest}");
        assert_eq!(answer.json()["title"], "This Storyden instance has not enabled plugins.");
    }
}
