//! The trace of a request: in its answer, and in the calls that it becomes.

use axum::{body::Body, http::request::Builder};
use tonic::Code;

use super::{Answer, Harness, LIMIT, admin, anonymous, fake::told, path};
use crate::rest::Options;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn send(harness: &Harness, request: Builder) -> Answer {
    harness.send(request.body(Body::empty()).unwrap()).await
}

/// The trace in an answer's header, which is a trace's id.
#[track_caller]
fn trace_of(answer: &Answer) -> String {
    let id = answer.header("x-trace-id").expect("no trace");
    assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert_ne!(id, "0".repeat(32));
    id.to_owned()
}

#[tokio::test]
async fn every_answer_has_the_trace_of_its_request_and_an_error_says_it_too() {
    let harness = Harness::new();
    let requests = [
        admin("GET", &path("")),
        admin("GET", "/api/plugins/watch"),
        anonymous("GET", "/healthz"),
        anonymous("GET", "/api/nothing"),
        anonymous("PUT", "/api/plugins"),
        anonymous("POST", "/api/plugins"),
        admin("GET", "/api/plugins/nobody"),
    ];
    let mut seen = Vec::new();
    for request in requests {
        let answer = send(&harness, request).await;
        let trace = trace_of(&answer);
        if !answer.status.is_success() {
            let error = answer.json();
            assert_eq!(
                (&error["trace_id"], &error["metadata"]["trace_id"]),
                (&trace.clone().into(), &trace.clone().into())
            );
        }
        assert!(!seen.contains(&trace), "each request has one of its own");
        seen.push(trace);
    }
}

#[tokio::test]
async fn the_callers_trace_is_the_requests_and_what_is_none_is_not() {
    let harness = Harness::new();
    harness.fake.fail(told(Code::NotFound, "PLUGIN_NOT_FOUND", "none"));
    let own = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let answer = send(&harness, admin("GET", &path("")).header("traceparent", &own)).await;
    assert_eq!((trace_of(&answer).as_str(), answer.json()["trace_id"].as_str()), (TRACE, Some(TRACE)));
    for none in ["nonsense", &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))] {
        let answer = send(&harness, admin("GET", &path("")).header("traceparent", none)).await;
        assert_eq!(answer.json()["trace_id"], trace_of(&answer));
    }
}

#[tokio::test]
async fn every_call_of_a_request_carries_its_trace() {
    let traces = [Some(format!("00-{TRACE}-00f067aa0ba902b7-01")), Some("nonsense".to_owned()), None];
    for trace in traces {
        let harness = Harness::new();
        let request = admin("POST", &path("/restart"));
        let request = trace.into_iter().fold(request, |request, trace| request.header("traceparent", trace));
        let trace = trace_of(&send(&harness, request).await);
        let calls = harness.fake.traces();
        assert_eq!(calls.len(), 2, "the question who calls, and the call");
        for call in calls {
            assert_eq!(call.split('-').nth(1), Some(trace.as_str()), "{call}");
        }
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_the_trace() {
    let allowed_origins = vec!["https://admin.example".to_owned()];
    let harness = Harness::with(Options { allowed_origins, max_body: LIMIT });
    let answer = send(&harness, admin("GET", &path("")).header("origin", "https://admin.example")).await;
    assert!(answer.header("access-control-expose-headers").unwrap().contains("x-trace-id"));
}
