//! The stream of logs (CONTRACT 4).

use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use futures_util::StreamExt;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{Harness, admin, fake::told, path};
use crate::api::v1::{LogLine, StreamLogsResponse};

fn lines(lines: &[&str]) -> Result<StreamLogsResponse, Status> {
    let lines = lines.iter().map(|text| LogLine { text: (*text).to_owned(), ..Default::default() });
    Ok(StreamLogsResponse { lines: lines.collect(), ..Default::default() })
}

fn request() -> axum::http::Request<Body> {
    admin("GET", &path("/logs")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn each_line_is_an_event_and_the_end_is_said() {
    let harness = Harness::new();
    harness.fake.logs(vec![lines(&["one", "two"]), lines(&[]), lines(&[" three"]), Err(Status::unavailable("bye"))]);
    let answer = harness.get(&path("/logs")).await;
    assert_eq!(answer.text, "data: one\n\ndata: two\n\ndata:  three\n\nevent: end\ndata:\n\n");
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert!(harness.fake.seen()[0].contains("follow: true"));
}

#[tokio::test]
async fn a_line_can_not_break_out_of_its_event() {
    let harness = Harness::new();
    harness
        .fake
        .logs(vec![lines(&["a\rb", "windows\r", "", "x\nevent: end", "n\0l"]), Err(Status::unavailable("bye"))]);
    let text = harness.get(&path("/logs")).await.text;
    let expected = "data: a\ndata: b\n\ndata: windows\n\ndata: \n\ndata: x\ndata: event: end\n\ndata: n\u{fffd}l\n\n";
    assert_eq!(text, format!("{expected}event: end\ndata:\n\n"));
}

/// Its pieces make one event; where the rest of a line is lost, or never comes, the event ends there.
#[tokio::test]
async fn a_line_in_pieces_is_one_event() {
    let harness = Harness::new();
    let piece = |text: &str| LogLine { text: text.to_owned(), continues: true, ..Default::default() };
    let of = |lines: Vec<LogLine>, lines_lost| Ok(StreamLogsResponse { lines, lines_lost, ..Default::default() });
    let end = LogLine { text: "d".to_owned(), ..Default::default() };
    harness.fake.logs(vec![
        of(vec![piece("a\n"), piece("b")], false),
        of(vec![piece("c"), end.clone(), piece("e")], false),
        of(vec![end, piece("f")], true),
        Err(Status::unavailable("bye")),
    ]);
    let text = harness.get(&path("/logs")).await.text;
    assert_eq!(text, "data: a\ndata: bcd\n\ndata: e\n\ndata: d\n\ndata: f\n\nevent: end\ndata:\n\n");
}

#[tokio::test]
async fn a_line_of_the_other_output_ends_the_event_of_a_line_in_pieces() {
    let harness = Harness::new();
    let of =
        |text: &str, stream: i32, continues| LogLine { text: text.to_owned(), stream, continues, ..Default::default() };
    let lines = vec![of("a", 1, true), of("err", 2, false), of("b", 1, true), of("c", 1, false)];
    harness.fake.logs(vec![Ok(StreamLogsResponse { lines, ..Default::default() }), Err(Status::unavailable("bye"))]);
    let text = harness.get(&path("/logs")).await.text;
    assert_eq!(text, "data: a\n\ndata: err\n\ndata: bc\n\nevent: end\ndata:\n\n");
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_begins_at_once_and_stays_open() {
    let response = Harness::new().router.oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body().into_data_stream();
    let begun = tokio::time::Instant::now();
    assert_eq!(body.next().await.unwrap().unwrap(), ": keep-alive\n\n");
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
    assert_eq!(body.next().await.unwrap().unwrap(), ": keep-alive\n\n");
}

#[tokio::test]
async fn what_is_wrong_is_said_before_the_stream_begins() {
    for (code, reason, status) in [
        (Code::NotFound, "PLUGIN_NOT_FOUND", StatusCode::NOT_FOUND),
        (Code::FailedPrecondition, "EXTERNAL_PLUGIN", StatusCode::BAD_REQUEST),
    ] {
        let harness = Harness::new();
        harness.fake.fail(told(code, reason, "no"));
        assert_eq!(harness.get(&path("/logs")).await.status, status);
    }
}
