//! Server-sent events. axum's own hold a whole event in memory, and a line of a log may be longer than that: here an event can
//! be sent in parts.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, future::ready, stream};
use serde::Serialize;

/// The media type of an event stream (CONTRACT 4).
pub(super) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// What ends an event.
pub(super) const END: &str = "\n\n";

/// The last event of a stream that has come to its end. Its empty data is what makes browsers deliver it.
pub(super) const LAST: &str = "event: end\ndata:\n\n";

/// A comment goes out when nothing else did for so long, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An event with a name and JSON; a client resumes after it with its id, if it has one.
pub(super) fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> String {
    let id = id.map(|id| format!("id: {}\n", without_nul(id))).unwrap_or_default();
    format!("event: {name}\n{id}{}", message(&serde_json::to_string(data).unwrap_or_default()))
}

/// An event with a name and text.
pub(crate) fn named(name: &str, data: &str) -> String {
    format!("event: {name}\n{}", message(data))
}

/// An event without a name.
pub(super) fn message(data: &str) -> String {
    part(data.strip_suffix('\r').unwrap_or(data), true, true)
}

/// A part of an event without a name: its data so far may be longer than anybody would hold. Data of several lines has
/// several fields, because a line break within one would end it.
pub(super) fn part(data: &str, is_first: bool, is_last: bool) -> String {
    let data = without_nul(data).replace(['\n', '\r'], "\ndata: ");
    format!("{}{data}{}", if is_first { "data: " } else { "" }, if is_last { END } else { "" })
}

/// A NUL byte would take the id's field away from a browser, and text away from a client written in C.
fn without_nul(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

/// A response of events. Its headers go out at once.
pub(crate) fn response(events: impl Stream<Item = String> + Send + 'static) -> Response {
    // HTTP/2, which knows no such header, is not sent the last one.
    let headers = [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-cache"), (CONNECTION, "keep-alive")];
    let unbuffered = [("x-accel-buffering", "no")];
    let frames = with_keep_alive(events).map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    (headers, unbuffered, Body::from_stream(frames)).into_response()
}

fn with_keep_alive(events: impl Stream<Item = String> + Send + 'static) -> impl Stream<Item = String> + Send {
    let events = events.filter(|text| ready(!text.is_empty())).boxed();
    stream::unfold((events, true), |(mut events, is_between)| async move {
        // Within an event a comment would be data.
        let patience = if is_between { KEEP_ALIVE } else { Duration::MAX };
        let text = tokio::time::timeout(patience, events.next()).await;
        let text = text.unwrap_or_else(|_| Some(": keep-alive\n\n".to_owned()))?;
        let is_between = text.ends_with(END);
        Some((text, (events, is_between)))
    })
}
