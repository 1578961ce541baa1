//! Every change of every plugin, as events.
//!
//! The id of an event is a cursor, and a browser that connects again sends the last one by itself. So an event has an id
//! only where one may resume: never within a snapshot.

use axum::{Extension, http::HeaderMap, response::Response};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use prost_types::Duration;
use serde::Serialize;
use serde_json::json;
use tonic::{Status, Streaming};

use utoipa_axum::routes;

use super::{
    Routes,
    error::{Context, Problem},
    request::{Api, Query},
    schemas::{PluginState, WatchEvents},
    sse,
    views::{self, Plugin, PluginList},
};
use crate::api::{
    v1::{
        PluginEvent, WatchStateRequest, WatchStateResponse, plugin_event::Kind, watch_state_request::Start,
        watch_state_response::Frame,
    },
    words::state_named,
};

const PLUGIN_ID: &str = "plugin_id";
const STATE: &str = "state";
const CURSOR: &str = "cursor";
const LIVE_ONLY: &str = "live_only";
const HEARTBEAT: &str = "heartbeat_seconds";
const LAST_EVENT_ID: &str = "Last-Event-ID";

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(watch)]
}

/// Streams every change of every plugin, with no gap and in one order.
#[utoipa::path(
    get,
    path = "/api/plugins/watch",
    operation_id = "PluginWatch",
    tag = "Streams",
    params(
        ("plugin_id" = Option<Vec<String>>, Query, description = "Only these plugins."),
        ("state" = Option<Vec<PluginState>>, Query, description = "Only plugins in one of these states."),
        ("cursor" = Option<String>, Query, description = "Everything after this cursor, and no snapshot."),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "As \"cursor\", which it overrides."),
        ("live_only" = Option<bool>, Query, description = "No snapshot: only what changes from now on."),
        ("heartbeat_seconds" = Option<u32>, Query, minimum = 1, maximum = 300, description = "How often an idle stream says that it lives; default 15."),
    ),
    responses(
        (status = 200, body = WatchEvents, content_type = "text/event-stream"),
        (status = 400),
        (status = 404),
        (status = 410),
    ),
)]
async fn watch(
    api: Api,
    Extension(context): Extension<Context>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = request(&query, &headers)?;
    let mut frames = api.app.backend.plugins_in_bulk().watch_state(api.request(request)).await?.into_inner();
    // The first frame comes at once, or in its place the refusal of the cursor.
    let first = frames.message().await?;
    Ok(sse::response(events(first, frames, context)))
}

fn request(query: &Query, headers: &HeaderMap) -> Result<WatchStateRequest, Problem> {
    Ok(WatchStateRequest {
        plugin_ids: query.all(PLUGIN_ID).map(str::to_owned).collect(),
        states: query.all(STATE).map(state).collect::<Result<_, _>>()?,
        start: start(query, headers)?,
        heartbeat_interval: heartbeat(query)?,
        max_age: None,
    })
}

fn state(name: &str) -> Result<i32, Problem> {
    let state = state_named(name).ok_or_else(|| Problem::invalid(STATE, "is unknown"))?;
    Ok(state.into())
}

fn start(query: &Query, headers: &HeaderMap) -> Result<Option<Start>, Problem> {
    let cursor = query.one(CURSOR)?.map(|cursor| Start::Cursor(cursor.to_owned()));
    let live_only = query.flag(LIVE_ONLY)?;
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        return Ok(Some(Start::Cursor(last.to_str().unwrap_or_default().to_owned())));
    }
    if cursor.is_some() && live_only {
        return Err(Problem::invalid(LIVE_ONLY, format!("does not go together with {CURSOR}")));
    }
    Ok(cursor.or_else(|| live_only.then_some(Start::LiveOnly(true))))
}

fn heartbeat(query: &Query) -> Result<Option<Duration>, Problem> {
    match query.number(HEARTBEAT)?.map(i64::try_from) {
        None => Ok(None),
        Some(Ok(seconds @ 1..=300)) => Ok(Some(Duration { seconds, nanos: 0 })),
        Some(_) => Err(Problem::invalid(HEARTBEAT, "must be between 1 and 300")),
    }
}

fn events(
    first: Option<WatchStateResponse>,
    rest: Streaming<WatchStateResponse>,
    context: Context,
) -> BoxStream<'static, String> {
    let frames = stream::iter(first.map(Ok)).chain(rest);
    // After an error there are no more frames.
    frames.map(move |frame| frame.and_then(text).unwrap_or_else(|status| error(status, &context))).boxed()
}

/// Why a stream that had begun has ended, as the body that an error before it would have had.
fn error(status: Status, context: &Context) -> String {
    sse::event("error", None, &Problem::from(status).body(context))
}

fn text(message: WatchStateResponse) -> Result<String, Status> {
    let id = message.cursor.as_deref();
    Ok(match message.frame {
        Some(Frame::Opened(frame)) => {
            let (head_revision, compact_revision) = (frame.head_revision, frame.compact_revision);
            sse::event("opened", id, &Opened { head_revision, compact_revision })
        }
        Some(Frame::Snapshot(frame)) => {
            let plugins = frame.plugins.into_iter().map(Plugin::from).collect();
            sse::event("snapshot", id, &PluginList { plugins })
        }
        Some(Frame::SnapshotEnd(_)) => sse::event("snapshot_end", id, &json!({})),
        Some(Frame::Heartbeat(_)) => sse::event("heartbeat", id, &json!({})),
        Some(Frame::Events(batch)) => batch.read()?.into_iter().map(change).collect(),
        None => String::new(),
    })
}

/// The data of the first event.
#[derive(Serialize)]
struct Opened {
    head_revision: u64,
    compact_revision: u64,
}

/// The data of an event about one plugin.
#[derive(Serialize)]
struct Change {
    kind: &'static str,
    revision: u64,
    time: Timestamp,
    plugin_id: String,
    plugin: Option<Plugin>,
}

fn change(event: PluginEvent) -> String {
    let kind = match event.kind() {
        Kind::Added => "added",
        Kind::Changed | Kind::Unspecified => "changed",
        Kind::Removed => "removed",
    };
    let (revision, time) = (event.revision, views::time(event.commit_time.as_ref()));
    let change = Change { kind, revision, time, plugin_id: event.plugin_id, plugin: event.plugin.map(Plugin::from) };
    sse::event(kind, Some(&event.cursor), &change)
}
