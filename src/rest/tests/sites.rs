//! Requests that pages of other sites cause.

use axum::{
    body::Body,
    http::{StatusCode, request::Builder},
};

use super::{Harness, LIMIT, admin, anonymous, path};
use crate::rest::Options;

fn harness() -> Harness {
    Harness::with(Options { allowed_origins: vec!["https://admin.example".to_owned()], max_body: LIMIT })
}

fn with_cookie(method: &str) -> Builder {
    anonymous(method, &path("/restart")).header("cookie", "storyden-session=admin")
}

async fn status(harness: &Harness, request: Builder) -> StatusCode {
    harness.send(request.body(Body::empty()).unwrap()).await.status
}

#[tokio::test]
async fn a_write_with_a_cookie_and_no_word_of_a_browser_passes() {
    let harness = harness();
    assert_eq!(status(&harness, with_cookie("POST")).await, StatusCode::OK);
    assert_eq!(harness.fake.seen().len(), 1);
}

#[tokio::test]
async fn a_browser_that_says_which_site_a_write_comes_from_is_believed_whatever_the_origin() {
    let harness = harness();
    for (sites, expected) in [
        (&["same-origin"][..], StatusCode::OK),
        (&["none"], StatusCode::OK),
        (&["cross-site"], StatusCode::FORBIDDEN),
        (&["same-site"], StatusCode::FORBIDDEN),
        (&["Same-Origin, cross-site"], StatusCode::FORBIDDEN),
        (&[""], StatusCode::FORBIDDEN),
        (&["caf\u{e9}"], StatusCode::FORBIDDEN),
        (&["same-origin", "cross-site"], StatusCode::FORBIDDEN),
    ] {
        for origin in [None, Some("http://plugd.example"), Some("https://admin.example"), Some("https://evil.example")]
        {
            let request =
                sites.iter().fold(with_cookie("POST"), |request, site| request.header("sec-fetch-site", *site));
            let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
            assert_eq!(status(&harness, request).await, expected, "{sites:?} {origin:?}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_there_and_no_text_or_not_alone_does_not_pass_for_none() {
    let harness = harness();
    let request = with_cookie("POST").header("origin", "https://caf\u{e9}.example");
    assert_eq!(status(&harness, request).await, StatusCode::FORBIDDEN);
    let request = with_cookie("POST").header("origin", "http://plugd.example").header("origin", "https://evil.example");
    assert_eq!(status(&harness, request).await, StatusCode::FORBIDDEN);
    assert_eq!(harness.fake.seen(), [""; 0]);
}

/// Nothing is said about a request of nobody but that it is nobody's.
#[tokio::test]
async fn a_bad_cookie_is_unauthorized_before_its_site_its_type_and_its_path_are_looked_at() {
    let harness = harness();
    for (method, path) in [("PATCH", path("/active")), ("POST", "/api/plugins/nobody/restart".to_owned())] {
        for cookie in ["storyden-session=bad", "storyden-session=", "storyden-session=\"\"", "other=1"] {
            let request = anonymous(method, &path).header("cookie", cookie).header("content-type", "text/plain");
            let request = request.header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
            assert_eq!(status(&harness, request).await, StatusCode::UNAUTHORIZED, "{path} {cookie}");
        }
    }
}

#[tokio::test]
async fn the_cookie_is_found_beside_others_that_are_empty_or_no_ascii() {
    let harness = harness();
    for cookies in [
        &["theme=d\u{fc}ster; storyden-session=admin"][..],
        &["storyden-session=; storyden-session=admin"],
        &["a=1", "storyden-session=admin"],
    ] {
        let request = anonymous("POST", &path("/restart"));
        let request = cookies.iter().fold(request, |request, cookie| request.header("cookie", *cookie));
        assert_eq!(status(&harness, request).await, StatusCode::OK, "{cookies:?}");
    }
}

#[tokio::test]
async fn without_that_word_a_write_with_a_cookie_needs_an_origin_of_its_own_or_a_listed_one() {
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
    for (header, value) in [("sec-fetch-site", "same-site"), ("origin", "https://evil.example")] {
        let request = with_cookie("POST").header(header, value).body(Body::empty()).unwrap();
        let error = harness().send(request).await.json();
        assert_eq!(error["error"], "cross_site");
        assert!(error["message"].as_str().unwrap().to_ascii_lowercase().contains(header), "{error}");
    }
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
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://admin.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("content-type"));
    // Its browser refuses what is not allowed by this header, whatever the status.
    let answer = harness().send(request("https://evil.example")).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let answer = Harness::new().send(request("https://admin.example")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "no origin is listed");
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
            assert!(answer.header("vary").is_some_and(|vary| vary.eq_ignore_ascii_case("Origin")));
        }
    }
}
