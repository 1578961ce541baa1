//! A page that is looked at is made again when something changes, and its fragments that came out otherwise are sent to the
//! browser, which puts each in the place of the one with its id. Nothing has to be resumed: whoever connects again gets
//! all fragments as they are now.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use axum::{
    http::{HeaderMap, header::ACCEPT},
    response::Response,
};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::Streaming;

use super::page::{self, Page};
use crate::{
    api::v1::{WatchStateRequest, WatchStateResponse, watch_state_request::Start, watch_state_response::Frame},
    rest::{Api, Problem, sse},
};

/// A page is made at most this often, however much changes.
const SOONEST: Duration = Duration::from_millis(250);

/// A page is made at least this often: what runs use of the host is in no watch.
const LATEST: Duration = Duration::from_secs(5);

/// Making a page may take this share of the time at the most, so that a long one is made less often.
const SHARE: u32 = 10;

/// How long a page may take to be made. Then the stream ends, and the browser asks anew.
const MAKING: Duration = Duration::from_secs(30);

/// Whether a request is for the stream of a page rather than for the page.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"))
}

/// The fragments of a page as they change. It ends when the watch does; the browser then asks again.
///
/// # Errors
/// What the watch is refused for, or why the page can't be made.
pub(super) async fn stream<F>(
    api: Arc<Api>,
    watched: WatchStateRequest,
    make: impl Fn(Arc<Api>) -> F + Send + 'static,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Page, Problem>> + Send + 'static,
{
    let watched = WatchStateRequest { start: Some(Start::LiveOnly(true)), ..watched };
    let mut frames = api.app.backend.plugins_in_bulk().watch_state(api.request(watched)).await?.into_inner();
    // The watch has begun with its first frame. What changes before the page is made is in the page.
    frames.message().await?;
    let mut watched = Watched { frames, sent: HashMap::new(), due: Instant::now() };
    let begun = Instant::now();
    let page = make(Arc::clone(&api)).await?;
    let first = watched.news(&page, begun);
    let changes = stream::unfold((watched, api, make), |(mut watched, api, make)| async move {
        if !watched.change().await {
            return None;
        }
        let begun = Instant::now();
        // Why it can't be made is said when the browser asks again.
        let page = timeout(MAKING, make(Arc::clone(&api))).await.ok()?.ok()?;
        Some((watched.news(&page, begun), (watched, api, make)))
    });
    Ok(sse::response(stream::iter([first]).chain(changes)))
}

struct Watched {
    frames: Streaming<WatchStateResponse>,
    /// The hashes of the fragments that the browser has.
    sent: HashMap<&'static str, u64>,
    /// When the page may be made again.
    due: Instant,
}

impl Watched {
    /// Waits until the page should be made again; false when the watch has ended.
    async fn change(&mut self) -> bool {
        let is_alive = timeout_at(self.due.max(Instant::now() + LATEST), self.next()).await.unwrap_or(true);
        // What else changes until it is due comes with it.
        let due = self.due;
        let rest = async { while self.next().await {} };
        tokio::select! {
            () = rest => false,
            () = sleep_until(due) => is_alive,
        }
    }

    /// Waits for a change; false when the watch has ended.
    async fn next(&mut self) -> bool {
        loop {
            match self.frames.message().await {
                Ok(Some(WatchStateResponse { frame: Some(Frame::Events(_)), .. })) => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// The fragments of a page that are not as they were sent. It was begun then.
    fn news(&mut self, page: &Page, begun: Instant) -> String {
        self.due = Instant::now() + SOONEST.max(begun.elapsed() * SHARE);
        let mut text = String::new();
        for fragment in page.fragments.iter().filter(|fragment| !fragment.is_fixed) {
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&fragment.markup.0);
            if self.sent.insert(fragment.id, hash) != Some(hash) {
                text.push_str(&sse::named("fragment", &page::wrapped(fragment.id, &fragment.markup).0));
            }
        }
        text
    }
}
