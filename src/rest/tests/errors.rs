//! From gRPC's status to HTTP's, and the error body.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::stream;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Answer, Harness, ID, admin, fake::told, path};
use crate::{
    api::ERROR_DOMAIN,
    domain::{Error, Reason},
    rest::error::http_status,
};

/// The body of whatever a call failed with, which says all that it must.
async fn body_of(failure: Status) -> serde_json::Value {
    let harness = Harness::new();
    harness.fake.fail(failure);
    let answer = harness.get(&path("")).await;
    let body = answer.json();
    for key in ["error", "message", "suggested", "type", "title", "detail", "trace_id"] {
        assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {body}");
    }
    assert_eq!(body["status"], answer.status.as_u16());
    assert_eq!(body["metadata"]["suggested"], body["suggested"]);
    body
}

/// A whole sentence or more that says what to do rather than what is wrong.
#[track_caller]
fn assert_helpful(suggested: &serde_json::Value, message: &str) {
    let text = suggested.as_str().unwrap();
    assert!(text.ends_with('.') && text.split(' ').count() >= 2 && text != message, "{message}: {text:?}");
}

#[tokio::test]
async fn every_reason_says_what_to_do_and_has_a_status_of_its_kind() {
    assert!(Reason::ALL.len() > 30);
    for reason in Reason::ALL {
        let body = body_of(Status::from(Error::new(*reason, "it is wrong"))).await;
        assert_eq!(body["error"], reason.name().to_ascii_lowercase());
        assert_eq!(body["suggested"], reason.suggestion());
        assert_helpful(&body["suggested"], reason.name());
        assert_eq!(body["status"] == 500, *reason == Reason::Internal, "{body}");
    }
}

#[tokio::test]
async fn what_comes_without_a_reason_says_what_to_do_too() {
    for number in 1..=16 {
        let body = body_of(Status::new(Code::from_i32(number), "refused")).await;
        assert_helpful(&body["suggested"], body["message"].as_str().unwrap());
    }
}

#[test]
fn each_code_has_its_status() {
    #[rustfmt::skip]
    let table = [
        (Code::NotFound, Some("PLUGIN_NOT_FOUND"), 404),
        (Code::InvalidArgument, Some("INVALID_ARGUMENT"), 400),
        (Code::FailedPrecondition, Some("EXTERNAL_PLUGIN"), 400),
        (Code::FailedPrecondition, Some("PLUGIN_FAILED"), 502),
        (Code::Aborted, Some("SUPERSEDED"), 409),
        (Code::OutOfRange, Some("REVISION_COMPACTED"), 410),
        (Code::OutOfRange, Some("EPOCH_UNKNOWN"), 410),
        (Code::OutOfRange, Some("REVISION_UNKNOWN"), 410),
        (Code::OutOfRange, None, 413),
        (Code::ResourceExhausted, Some("TOO_LARGE"), 413),
        (Code::ResourceExhausted, Some("OTHER"), 429),
        (Code::ResourceExhausted, None, 429),
        (Code::DeadlineExceeded, Some("NOT_SETTLED"), 504),
        (Code::Unavailable, Some("DRAINING"), 503),
        (Code::Unauthenticated, Some("UNAUTHENTICATED"), 401),
        (Code::PermissionDenied, Some("PERMISSION_DENIED"), 403),
        (Code::Unimplemented, Some("UNIMPLEMENTED"), 501),
        (Code::Internal, Some("INTERNAL"), 500),
        (Code::Unknown, None, 500),
        (Code::DataLoss, None, 500),
        (Code::Cancelled, Some("OTHER"), 500),
        (Code::Cancelled, None, 503),
    ];
    for (code, reason, status) in table {
        assert_eq!(http_status(code, reason).as_u16(), status, "{code:?} {reason:?}");
    }
}

#[tokio::test]
async fn the_body_serves_old_clients_and_new_ones() {
    let harness = Harness::new();
    harness.fake.fail(told(Code::NotFound, "PLUGIN_NOT_FOUND", "there is no plugin \"x\""));
    let answer = harness.get(&path("")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let trace_id = answer.header("x-trace-id").unwrap();
    let expected = json!({
        "error": "plugin_not_found",
        "message": "there is no plugin \"x\"",
        "suggested": "Do better.",
        "metadata": {"stage": "spawn", "suggested": "Do better.", "trace_id": trace_id, "plugin_instance_id": ID},
        "type": "urn:storyden:problem:not-found",
        "title": "there is no plugin \"x\"",
        "detail": "there is no plugin \"x\"",
        "status": 404,
        "trace_id": trace_id,
    });
    assert_eq!(answer.json(), expected);
}

/// The answer to an activation that fails with this message.
async fn failed_activation(message: &str) -> Answer {
    let harness = Harness::new();
    harness.fake.fail(told(Code::FailedPrecondition, "PLUGIN_FAILED", message));
    harness.json("PATCH", &path("/active"), r#"{"active":"active"}"#).await
}

#[tokio::test]
async fn a_plugin_that_failed_is_a_bad_gateway_with_the_runtimes_words() {
    for message in ["the plugin failed: exit status 42", "exit status 42"] {
        let answer = failed_activation(message).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        let error = answer.json();
        assert_eq!(error["type"], "urn:storyden:problem:cancelled");
        assert_eq!(error["title"], "The plugin reported an error while changing state. Check plugin logs for details.");
        let detail =
            "plugin failed while changing state: plugin reported an error while changing state: exit status 42";
        assert_eq!(error["detail"], detail);
        assert_eq!(error["message"], message);
        assert_eq!(error["error"], "plugin_failed");
    }
}

#[tokio::test]
async fn fields_at_fault_are_listed() {
    let harness = Harness::new();
    let mut details = ErrorDetails::with_bad_request_violation("manifest.id", "must be a slug");
    details.set_error_info("INVALID_MANIFEST", ERROR_DOMAIN, [] as [(String, String); 0]);
    harness.fake.fail(Status::with_error_details(Code::InvalidArgument, "Field \"id\" is invalid.", details));
    let answer = harness.json("PATCH", &path("/manifest"), "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let error = answer.json();
    assert_eq!(error["title"], "Field \"id\" is invalid.");
    let violations = json!([{"field": "manifest.id", "description": "must be a slug"}]);
    assert_eq!(error["metadata"]["violations"], violations);
}

#[tokio::test]
async fn a_wrong_package_is_called_so() {
    let harness = Harness::new();
    for reason in ["INVALID_PACKAGE", "INVALID_MANIFEST"] {
        for message in ["no manifest.json", "The provided plugin file is invalid: no manifest.json"] {
            harness.fake.fail(told(Code::InvalidArgument, reason, message));
            let request = admin("PATCH", &path("/package")).header("content-type", "application/zip");
            let answer = harness.send(request.body(Body::from("PK")).unwrap()).await;
            assert_eq!(answer.json()["title"], "The provided plugin file is invalid: no manifest.json");
        }
    }
}

#[tokio::test]
async fn a_mismatch_of_manifests_has_the_contracts_title() {
    let harness = Harness::new();
    harness.fake.fail(told(Code::InvalidArgument, "MANIFEST_ID_MISMATCH", "it is for \"b\""));
    let request = admin("PATCH", &path("/package")).header("content-type", "application/zip");
    let answer = harness.send(request.body(Body::from("PK")).unwrap()).await;
    let title = "The uploaded package must have the same manifest ID as the installed plugin.";
    assert_eq!((answer.status, &answer.json()["title"]), (StatusCode::BAD_REQUEST, &json!(title)));
}

#[tokio::test]
async fn an_unavailable_service_says_when_to_try_again() {
    let harness = Harness::new();
    harness.fake.fail(told(Code::Unavailable, "STORE_UNAVAILABLE", "the store does not answer"));
    let answer = harness.get(&path("")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn words_that_are_not_the_services_own_stay_in_the_log() {
    let harness = Harness::new();
    for code in [Code::Unavailable, Code::Internal, Code::Unknown, Code::Cancelled, Code::OutOfRange] {
        harness.fake.fail(Status::new(code, "tcp connect error 10.0.0.7:5432"));
        let answer = harness.get(&path("")).await;
        assert!(!answer.text.contains("10.0.0.7"), "{}", answer.text);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_the_same_error_body() {
    let harness = Harness::new();
    for path in ["/api", "/api/plugins/", "/api/nothing", &path("/"), &path("/nothing"), &path("/logs/"), "/healthz/"] {
        let answer = harness.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["error"], "not_found");
    }
    for (method, path) in [("PUT", path("")), ("DELETE", "/api/plugins".to_owned()), ("POST", path("/logs"))] {
        let answer = harness.send(admin(method, &path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.json()["error"], "method_not_allowed");
        assert!(answer.header("allow").is_some_and(|methods| !methods.is_empty()), "{path}");
    }
}

#[tokio::test]
async fn an_id_that_is_not_text_is_not_found() {
    let answer = Harness::new().get("/api/plugins/%ff").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["error"], "plugin_not_found");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up() {
    // Never idle for long enough to be called so.
    let bytes = stream::unfold(tokio::time::interval(Duration::from_secs(10)), async |mut ticks| {
        ticks.tick().await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ticks))
    });
    let request = admin("PATCH", &path("/configuration")).header("content-type", "application/json");
    let answer = Harness::new().send(request.body(Body::from_stream(bytes)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["type"], "urn:storyden:problem:deadline-exceeded");
}
