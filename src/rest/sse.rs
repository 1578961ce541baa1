//! Server-sent events.

use std::{convert::Infallible, fmt::Write, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, future::ready, stream};

/// The media type of an event stream (CONTRACT 4).
pub(super) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// A comment goes out when nothing else did for so long, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An event with a name; a client resumes after it with its id, if it has one.
pub(super) fn event(name: &str, id: Option<&str>, data: &str) -> String {
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        push_field(&mut text, "id", id);
    }
    text.push_str(&message(data));
    text
}

/// An event without a name. Data of several lines has several fields, because a line break within one would end it.
pub(super) fn message(data: &str) -> String {
    let mut text = String::new();
    let data = data.strip_suffix('\r').unwrap_or(data);
    for line in data.split(['\n', '\r']) {
        push_field(&mut text, "data", line);
    }
    text.push('\n');
    text
}

/// The last event of a stream that has come to its end. Its empty data is what makes browsers deliver it.
pub(super) fn end() -> String {
    "event: end\ndata:\n\n".to_owned()
}

/// A NUL byte would take the id's field away from a browser, and text away from a client written in C.
fn push_field(text: &mut String, name: &str, value: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{name}: {}", value.replace('\0', "\u{fffd}"));
}

/// A response of events. Its headers go out at once.
pub(super) fn response(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let headers = [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-cache")];
    let unbuffered = [("x-accel-buffering", "no")];
    let frames = with_keep_alive(events).map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    (headers, unbuffered, Body::from_stream(frames)).into_response()
}

fn with_keep_alive(events: impl Stream<Item = String> + Send + 'static) -> impl Stream<Item = String> + Send {
    let events = events.filter(|text| ready(!text.is_empty())).boxed();
    stream::unfold(events, |mut events| async move {
        match tokio::time::timeout(KEEP_ALIVE, events.next()).await {
            Ok(event) => event.map(|event| (event, events)),
            Err(_) => Some((": keep-alive\n\n".to_owned(), events)),
        }
    })
}
