//! Bodies that are wrong, each in its way.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::time::Instant;

use super::{Harness, LIMIT, admin, path};
use crate::rest::Options;

const JSON_PATHS: [(&str, &str); 3] = [("PATCH", "/active"), ("PATCH", "/manifest"), ("PATCH", "/configuration")];

async fn post(harness: &Harness, body: &str) -> (StatusCode, serde_json::Value) {
    let answer = harness.json("POST", "/api/plugins", body).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_empty_body_is_wrong_with_any_content_type_and_with_none() {
    let harness = Harness::new();
    let paths = JSON_PATHS.map(|(method, rest)| (method, path(rest)));
    for (method, path) in paths.into_iter().chain([("POST", "/api/plugins".to_owned()), ("PATCH", path("/package"))]) {
        for media in [Some("application/json"), Some("application/zip"), Some("text/plain"), None] {
            let request =
                media.map_or_else(|| admin(method, &path), |media| admin(method, &path).header("content-type", media));
            let answer = harness.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path} {media:?}");
            assert_eq!(answer.json()["metadata"]["violations"][0]["field"], "body");
        }
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_unsupported() {
    let harness = Harness::new();
    let paths = JSON_PATHS.map(|(method, rest)| (method, path(rest)));
    for (method, path) in paths.into_iter().chain([("POST", "/api/plugins".to_owned()), ("PATCH", path("/package"))]) {
        for media in [Some("text/plain"), Some("application/jsonx"), None] {
            let request =
                media.map_or_else(|| admin(method, &path), |media| admin(method, &path).header("content-type", media));
            let answer = harness.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method} {path} {media:?}");
        }
    }
}

#[tokio::test]
async fn parameters_of_the_content_type_are_ignored() {
    let request = admin("PATCH", &path("/active")).header("content-type", "Application/JSON ; charset=utf-8");
    let answer = Harness::new().send(request.body(Body::from(r#"{"active":"active"}"#)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_json_or_not_an_object_is_wrong() {
    let harness = Harness::new();
    for (method, rest) in JSON_PATHS {
        for body in ["{", "nonsense", "[]", "null", "1", "\"text\"", "{} {}", "{\"a\":1e999}"] {
            let answer = harness.json(method, &path(rest), body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{rest} {body}");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large_declared_or_not() {
    let harness = Harness::new();
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(LIMIT));
    for (media, method, path) in
        [("application/json", "PATCH", path("/configuration")), ("application/zip", "POST", "/api/plugins".to_owned())]
    {
        for declared in [Some(large.len()), None] {
            let mut request = admin(method, &path).header("content-type", media);
            if let Some(length) = declared {
                request = request.header("content-length", length);
            }
            let answer = harness.send(request.body(Body::from(large.clone())).unwrap()).await;
            assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{media} {declared:?}");
            assert_eq!(answer.json()["error"], "too_large");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_not_waited_for() {
    for (media, method, path) in
        [("application/json", "PATCH", path("/configuration")), ("application/zip", "POST", "/api/plugins".to_owned())]
    {
        for begun in [None, Some(Bytes::from_static(b"{"))] {
            let harness = Harness::new();
            let begun_stream = stream::iter(begun.clone().map(Ok::<_, Infallible>));
            let body = Body::from_stream(begun_stream.chain(stream::pending()));
            let request = admin(method, &path).header("content-type", media).body(body).unwrap();
            let asked = Instant::now();
            let answer = harness.send(request).await;
            assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{media} {begun:?}");
            assert_eq!(answer.json()["error"], "body_stalled");
            assert_eq!(asked.elapsed().as_secs(), 15);
        }
    }
}

#[tokio::test]
async fn json_has_a_lower_limit_than_archives() {
    let harness = Harness::with(Options::default());
    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let mib = 1024 * 1024;
    // Parsed elsewhere, because it takes long.
    assert_eq!(harness.json("PATCH", &path("/configuration"), &sized(mib)).await.status, StatusCode::OK);
    let answer = harness.json("PATCH", &path("/configuration"), &sized(4 * mib + 1)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.json()["message"].as_str().unwrap().contains("4194304"), "{}", answer.text);
    let broken = sized(mib).replace('}', "");
    assert_eq!(harness.json("PATCH", &path("/configuration"), &broken).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn only_two_states_may_be_asked_for_and_the_error_names_the_field() {
    let harness = Harness::new();
    for body in [
        json!({"active": "starting"}),
        json!({"active": "connecting"}),
        json!({"active": "error"}),
        json!({"active": "restarting"}),
        json!({"active": "nonsense"}),
        json!({"active": true}),
        json!({}),
    ] {
        let answer = harness.json("PATCH", &path("/active"), &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let error = answer.json();
        assert_eq!(error["metadata"]["violations"][0]["field"], "active", "{error}");
        assert!(error["message"].as_str().unwrap().contains("\"inactive\""), "{error}");
    }
}

#[tokio::test]
async fn an_installation_that_is_wrong_names_the_field() {
    let harness = Harness::new();
    for (body, field) in [
        ("{}", "mode"),
        (r#"{"mode":"other"}"#, "mode"),
        (r#"{"mode":1}"#, "mode"),
        (r#"{"mode":"supervised"}"#, "url"),
        (r#"{"mode":"supervised","url":" "}"#, "url"),
        (r#"{"mode":"supervised","url":1}"#, "url"),
        (r#"{"mode":"external"}"#, "manifest"),
        (r#"{"mode":"external","manifest":[]}"#, "manifest"),
        (r#"{"mode":"external","manifest":{"id":9007199254740995}}"#, "id"),
        (r#"{"mode":"external","manifest":{"id":[1,{"b":9007199254740993}]}}"#, "id[1].b"),
        (r#"{"mode":"external","manifest":{"id":18446744073709551617}}"#, "manifest.id"),
    ] {
        let (status, error) = post(&harness, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(error["metadata"]["violations"][0]["field"], field, "{body}");
    }
}

#[tokio::test]
async fn json_nested_as_deep_as_allowed_arrives_and_deeper_is_refused() {
    let harness = Harness::new();
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "{\"b\":".repeat(depth), "}".repeat(depth));
    assert_eq!(harness.json("PATCH", &path("/configuration"), &nested(30)).await.status, StatusCode::OK);
    let answer = harness.json("PATCH", &path("/configuration"), &nested(31)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["metadata"]["violations"][0]["field"], "a");
}
