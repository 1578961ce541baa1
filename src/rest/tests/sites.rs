//! Requests that pages of other sites cause.

use axum::{
    body::Body,
    http::{StatusCode, request::Builder},
};

use super::{Harness, LIMIT, admin, anonymous, path};
use crate::rest::Options;

fn harness() -> Harness {
    Harness::with(Options {
        allowed_origins: vec!["https://admin.example".to_owned()],
        max_body: LIMIT,
        ..Options::default()
    })
}

fn with_cookie(method: &str) -> Builder {
    anonymous(method, &path("/restart")).header("cookie", "storyden-session=admin")
}

async fn status(harness: &Harness, request: Builder) -> StatusCode {
    harness.send(request.body(Body::empty()).unwrap()).await.status
}

#[tokio::test]
async fn a_write_with_a_cookie_needs_an_origin_of_its_own_or_a_listed_one() {
    let harness = harness();
    let good = ["http://plugd.example", "https://PLUGD.example", "http://plugd.example:80", "https://admin.example"];
    for origin in good {
        assert_eq!(status(&harness, with_cookie("POST").header("origin", origin)).await, StatusCode::OK, "{origin}");
    }
    let bad =
        ["https://evil.example", "http://plugd.example:81", "null", "", "https://plugd.example.evil", "plugd.example"];
    for origin in bad {
        let request = with_cookie("POST").header("origin", origin);
        assert_eq!(status(&harness, request).await, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(status(&harness, with_cookie("POST")).await, StatusCode::FORBIDDEN, "no origin");
    assert_eq!(harness.fake.seen().len(), good.len());
}

#[tokio::test]
async fn a_bearer_token_needs_no_origin_and_a_read_neither() {
    let harness = harness();
    let request = admin("POST", &path("/restart")).header("origin", "https://evil.example");
    assert_eq!(status(&harness, request).await, StatusCode::OK);
    let request = anonymous("GET", &path("")).header("cookie", "storyden-session=admin");
    assert_eq!(status(&harness, request.header("origin", "https://evil.example")).await, StatusCode::OK);
}

#[tokio::test]
async fn the_refusal_says_why() {
    let answer = harness().send(with_cookie("POST").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.json()["error"], "cross_site");
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_answered_without_a_credential() {
    let request = |origin| {
        anonymous("OPTIONS", &path("/active"))
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .body(Body::empty())
            .unwrap()
    };
    let answer = harness().send(request("https://admin.example")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://admin.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("Content-Type"));
    let answer = harness().send(request("https://evil.example")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_listed_origin_may_read_answers_and_errors_and_another_may_not() {
    for (origin, allowed) in [("https://admin.example", Some("https://admin.example")), ("https://evil.example", None)]
    {
        for path in [path(""), "/api/nothing".to_owned()] {
            let request = admin("GET", &path).header("origin", origin);
            let answer = harness().send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed);
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
    }
}
