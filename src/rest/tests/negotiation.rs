//! Which media type an error body has, and whether a client waits.

use axum::{body::Body, http::StatusCode};

use super::{Harness, admin, json, path};

#[tokio::test]
async fn errors_are_problem_documents_for_whom_prefers_them() {
    let harness = Harness::new();
    for (accept, media) in [
        ("application/problem+json", "application/problem+json"),
        ("application/problem+json, application/json", "application/problem+json"),
        ("application/problem+json, */*", "application/problem+json"),
        ("application/json;q=0.5, application/problem+json", "application/problem+json"),
        ("application/json, application/problem+json", "application/json"),
        ("application/json, application/problem+json;q=0.9", "application/json"),
        ("application/problem+json;q=0", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html", "application/json"),
    ] {
        let request = admin("GET", "/api/nothing").header("accept", accept);
        let answer = harness.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("content-type"), Some(media), "{accept}");
    }
}

#[tokio::test]
async fn who_prefers_not_to_wait_is_answered_at_once() {
    let harness = Harness::new();
    for (method, rest) in [("PATCH", "/active"), ("POST", "/restart"), ("POST", "/rollback")] {
        let request = admin(method, &path(rest)).header("prefer", "handling=lenient, respond-async; x=1");
        let answer = harness.send(json(request, r#"{"active":"active"}"#)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{rest}");
        assert_eq!(answer.header("preference-applied"), Some("respond-async"));
        assert!(harness.fake.seen().pop().unwrap().contains("wait: Some(Duration { seconds: 0, nanos: 0 })"));
    }
    let request = admin("PATCH", &path("/package")).header("prefer", "respond-async");
    let answer = harness.send(request.header("content-type", "application/zip").body(Body::from("PK")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert!(harness.fake.seen().pop().unwrap().contains("wait: Some(Duration { seconds: 0, nanos: 0 })"));
}

#[tokio::test]
async fn who_prefers_nothing_waits() {
    let harness = Harness::new();
    let answer = harness.json("PATCH", &path("/active"), r#"{"active":"inactive"}"#).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (StatusCode::OK, None));
    let seen = harness.fake.seen().pop().unwrap();
    assert!(seen.contains("wait: None") && seen.contains("Inactive"), "{seen}");
}
