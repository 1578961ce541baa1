//! Lines as they come: events of rendered lines, each with the place after them.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderName},
    response::Response,
};
use futures_util::stream;
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use super::{
    lines::{Lines, Names},
    *,
};
use crate::{
    api::v1::StreamLogsResponse,
    rest::{Problem, sse},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Lines that come within this time come together,
const TOGETHER: Duration = Duration::from_millis(50);

/// unless they are more than so many,
const MAX_LINES: usize = 1000;

/// or so many bytes.
const MAX_BYTES: usize = 256 << 10;

/// What is printed after the place that the browser has seen last, or the address names.
pub(in crate::console) async fn follow(api: Api, query: Query, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = Wanted::read(&query);
    let place = place(&headers, &query)?;
    let sources = Sources::of(&api, &wanted).await?;
    let request = match &place {
        Some(place) => wanted.following(&sources, place),
        None => StreamLogsRequest { follow: true, ..wanted.history(&sources) },
    };
    let mut place = place.unwrap_or_default();
    place.keep(|id| sources.has(id));
    let batches = api.app.backend.logs().stream_logs(api.request(request)).await?.into_inner();
    let names = sources.line_names();
    let follower = Follower { batches, place, searched: wanted.searched(), names };
    Ok(sse::response(stream::unfold(follower, |mut follower| async {
        follower.next().await.map(|event| (event, follower))
    })))
}

fn place(headers: &HeaderMap, query: &Query) -> Result<Option<Place>, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let text = match last {
        Some(last) => Some(last),
        None => query.one("after")?,
    };
    let no_place = || Problem::invalid("after", "must be the id of an event of this stream, unchanged");
    text.map(|text| Place::read(text).ok_or_else(no_place)).transpose()
}

struct Follower {
    batches: Streaming<StreamLogsResponse>,
    place: Place,
    searched: String,
    names: Option<Names>,
}

impl Follower {
    /// The lines that come next; none at the end. The browser then connects again. It is the end, too, when there are more plugins
    /// than fit: those who look at them have to choose.
    async fn next(&mut self) -> Option<String> {
        let mut lines = Lines::new(self.searched.clone(), usize::MAX / 4);
        let mut due = None;
        while lines.len() < MAX_LINES && lines.bytes() < MAX_BYTES {
            let next = self.batches.message();
            let next = match due {
                Some(due) => timeout_at(due, next).await,
                None => Ok(next.await),
            };
            match next {
                Ok(Ok(Some(batch))) => lines.take(batch, &mut self.place),
                Err(_) => break,
                Ok(_) if due.is_some() => break,
                Ok(end) => return log_end(end.err()),
            }
            if self.place.count() > MAX_PLUGINS {
                return None;
            }
            due = due.or_else(|| Some(Instant::now() + TOGETHER));
        }
        let markup = lines.show(&mut self.place, self.names.as_ref());
        Some(format!("id: {}\n{}", self.place, sse::named("lines", &markup.0)))
    }
}

fn log_end(status: Option<tonic::Status>) -> Option<String> {
    if let Some(status) = status {
        tracing::debug!(code = ?status.code(), message = status.message(), "a stream of logs ended");
    }
    None
}
