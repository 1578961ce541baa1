use axum::{body::Body, http::StatusCode};
use tonic::Status;

use super::super::tests::{Answer, Console, request};
use crate::api::v1::{LogLine, Plugin, PluginMode, StreamLogsResponse};

fn plugin(id: &str, mode: PluginMode) -> Plugin {
    Plugin { id: id.to_owned(), name: format!("<{id}>"), mode: mode.into(), ..Plugin::default() }
}

fn console(ids: &[&str]) -> Console {
    let console = Console::new();
    let mut plugins: Vec<Plugin> = ids.iter().map(|id| plugin(id, PluginMode::Supervised)).collect();
    plugins.push(plugin("elsewhere", PluginMode::External));
    console.fake.lists(vec![plugins]);
    console
}

fn batch(plugin: &str, text: &str, (seconds, run, cursor): (i64, &str, &str)) -> Result<StreamLogsResponse, Status> {
    let line = LogLine {
        text: text.to_owned(),
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        run_id: Some(run.to_owned()),
        ..LogLine::default()
    };
    Ok(StreamLogsResponse {
        lines: vec![line],
        plugin_id: plugin.to_owned(),
        plugin_name: format!("<{plugin}>"),
        cursor: Some(cursor.to_owned()),
        ..StreamLogsResponse::default()
    })
}

/// The last call about logs.
fn asked(console: &Console) -> String {
    console.fake.seen().into_iter().rfind(|call| call.starts_with("StreamLogsRequest")).unwrap_or_default()
}

#[tokio::test]
async fn a_page_has_the_last_lines_and_the_place_after_them() {
    let console = console(&["a", "b"]);
    console.fake.logs(vec![batch("b", "<later>", (9, "rb", "b-1")), batch("a", "sooner", (5, "ra", "a-1"))]);
    let page = console.get("viewer", "/logs?tail=7").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("data-after=\"1970-01-01 a=a-1/ra b=b-1/rb\""), "{}", page.text);
    assert!(page.text.contains("data-stream=\"/logs/stream?tail=7\""), "{}", page.text);
    let places =
        ["sooner", "&lt;later&gt;"].map(|text| page.text.find(&format!("<span class=\"text\">{text}</span>")).unwrap());
    assert!(places[0] < places[1] && !page.text.contains("<later>") && !page.text.contains("<a>"));
    let asked = asked(&console);
    assert!(asked.contains("plugin_ids: [], follow: false") && asked.contains("tail_lines: Some(7)"), "{asked}");
}

/// What a browser sends when it connects again counts, rather than the address of the page that it was opened from.
#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let console = console(&["a", "b"]);
    console.fake.logs(vec![
        batch("a", "one", (5, "ra", "a-2")),
        batch("b", "two", (6, "rb2", "b-9")),
        Err(Status::unavailable("bye")),
    ]);
    let builder = request("viewer", "GET", "/logs/stream?plugin=a&plugin=b&after=-+a%3Da-0%2F");
    let builder = builder.header("last-event-id", "1970-01-01 a=a-1/ra b=b-8/rb gone=g-1/r");
    let Answer { status, headers, text } = console.send(builder.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert!(text.starts_with("id: 1970-01-01 a=a-2/ra b=b-9/rb2\nevent: lines\ndata: <div"), "{text}");
    assert_eq!(text.matches("\n\n").count(), 1, "what came together is one event: {text}");
    assert!(
        text.contains("&lt;b&gt;: run rb2 began") && !text.contains("mark day") && !text.contains("run ra"),
        "{text}"
    );
    let asked = asked(&console);
    assert!(asked.contains("follow: true, cursors: [\"a-1\", \"b-8\"], tail_lines: None"), "{asked}");
}

#[tokio::test]
async fn a_stream_begins_after_the_place_of_its_page_and_no_other_text() {
    let console = console(&["a"]);
    console.fake.logs(vec![Err(Status::unavailable("bye"))]);
    assert_eq!(console.get("viewer", "/logs/stream?plugin=a&after=-+a%3Da-7%2F").await.text, "");
    assert!(asked(&console).contains("cursors: [\"a-7\"]"));
    console.fake.logs(vec![Err(Status::unavailable("bye"))]);
    console.get("viewer", "/logs/stream?plugin=a&tail=3").await;
    assert!(asked(&console).contains("cursors: [], tail_lines: Some(3)"));
    assert_eq!(console.get("viewer", "/logs/stream?after=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_the_address_searches_is_looked_for_further_back() {
    let console = console(&["a"]);
    console.fake.logs(vec![batch("a", "an ERROR", (5, "r", "a-1")), batch("a", "fine", (6, "r", "a-2"))]);
    let page = console.get("viewer", "/logs?plugin=a&stream=stderr&q=%20error").await.text;
    assert!(page.contains("an <mark>ERROR</mark>") && !page.contains("fine"), "{page}");
    assert!(
        page.contains("data-stream=\"/logs/stream?plugin=a&amp;stream=stderr&amp;q=error&amp;tail=500\""),
        "{page}"
    );
    assert!(page.contains("/logs/download?plugin=a"));
    let asked = asked(&console);
    assert!(asked.contains("tail_lines: Some(10000)") && asked.contains("stream: Stderr"), "{asked}");
}

#[tokio::test]
async fn plugins_without_a_log_are_told_apart() {
    let console = console(&["a"]);
    for (id, status) in [("gone", StatusCode::NOT_FOUND), ("elsewhere", StatusCode::BAD_REQUEST)] {
        for path in ["/logs", "/logs/stream", "/logs/download"] {
            assert_eq!(console.get("viewer", &format!("{path}?plugin={id}")).await.status, status, "{path} {id}");
        }
    }
    // Of several those are shown that are there.
    assert_eq!(console.get("viewer", "/logs?plugin=gone&plugin=a").await.status, StatusCode::OK);
    assert!(asked(&console).contains("plugin_ids: [\"a\"]"));
}

#[tokio::test]
async fn more_plugins_than_fit_have_to_be_chosen_from() {
    let ids: Vec<String> = (0..201).map(|number| format!("p{number:03}")).collect();
    let console = console(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let page = console.get("viewer", "/logs?q=x").await.text;
    assert!(page.contains("There are more than 200 plugins"), "{page}");
    let asked = asked(&console);
    assert!(asked.contains("\"p199\"") && !asked.contains("\"p200\""), "{asked}");
    assert!(asked.contains("tail_lines: Some(1000)"), "{asked}");
}

#[tokio::test]
async fn a_download_is_plain_text_with_a_name() {
    let console = console(&["a"]);
    console.fake.logs(vec![batch("a", "\u{1b}[31mred", (5, "r", "a-1"))]);
    let answer = console.get("viewer", "/logs/download?plugin=a").await;
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"a-a.log\"");
    assert_eq!(answer.text, "1970-01-01T00:00:05.000Z - red\n");
    assert!(asked(&console).contains("tail_lines: None"));
}
