//! Every change of every plugin, as events.
//!
//! The id of an event is a cursor, `epoch:revision`, and a browser that connects again sends the last one by itself. So
//! an event has an id only where one may resume: never within a snapshot, and on the last event of a revision.

use axum::{http::HeaderMap, response::Response};
use futures_util::{
    StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use prost_types::Duration;
use serde_json::{Value, json};
use tonic::{Status, Streaming};

use super::{
    api::Api,
    context::Context,
    error::Problem,
    operation::{Operation, Success},
    query::Query,
    schemas, sse, view,
};
use crate::api::v1::{
    Cursor, PluginEvent, ReportedState, WatchStateRequest, WatchStateResponse,
    plugin_event::Kind,
    watch_state_request::Start,
    watch_state_response::{EventBatch, Frame, Opened, SnapshotChunk},
};

const PLUGIN_ID: &str = "plugin_id";
const STATE: &str = "state";
const AFTER: &str = "after";
const LIVE_ONLY: &str = "live_only";
const HEARTBEAT: &str = "heartbeat_seconds";
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/plugins/watch", "PluginWatch", watch)
            .summary("Streams every change of every plugin, with no gap and in one order.")
            .parameter(schemas::strings(PLUGIN_ID, "Only these plugins."))
            .parameter(schemas::states(STATE))
            .parameter(schemas::cursor(AFTER, "Everything after this cursor, and no snapshot."))
            .parameter(schemas::cursor_header(LAST_EVENT_ID, "As \"after\", which it overrides."))
            .parameter(schemas::boolean(LIVE_ONLY, "No snapshot: only what changes from now on."))
            .parameter(schemas::seconds(HEARTBEAT, "How often an idle stream says that it lives; default 15."))
            .fails(400)
            .fails(404)
            .fails(410)
            .answers_with(Success { status: 200, content: Some((sse::EVENT_STREAM, "WatchEvents")), headers: &[] }),
    ]
}

async fn watch(api: Api, context: Context, query: Query, headers: HeaderMap) -> Result<Response, Problem> {
    let request = request(&query, &headers)?;
    let has_snapshot = request.start.is_none();
    let mut frames = api.bulk().watch_state(api.request(request)).await?.into_inner();
    // The first frame comes at once, or in its place the refusal of the cursor.
    let first = frames.message().await?;
    Ok(sse::response(events(first, frames, Resumable(!has_snapshot), context)))
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
    let found = view::STATES.iter().find(|(known, _)| *known == name);
    found.map(|(_, state)| ReportedState::into(*state)).ok_or_else(|| Problem::invalid(STATE, "is unknown"))
}

fn start(query: &Query, headers: &HeaderMap) -> Result<Option<Start>, Problem> {
    let after = query.one(AFTER)?.map(|text| cursor(AFTER, text)).transpose()?;
    let live_only = query.flag(LIVE_ONLY)?;
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        return cursor(LAST_EVENT_ID, last.to_str().unwrap_or_default()).map(Start::After).map(Some);
    }
    if after.is_some() && live_only {
        return Err(Problem::invalid(LIVE_ONLY, format!("does not go together with {AFTER}")));
    }
    Ok(after.map(Start::After).or_else(|| live_only.then_some(Start::LiveOnly(true))))
}

fn cursor(field: &str, text: &str) -> Result<Cursor, Problem> {
    let parts = text.rsplit_once(':').and_then(|(epoch, revision)| Some((epoch, revision.parse().ok()?)));
    let (epoch, revision) = parts.ok_or_else(|| Problem::invalid(field, "must be a cursor: epoch:revision"))?;
    Ok(Cursor { epoch: epoch.to_owned(), revision })
}

fn heartbeat(query: &Query) -> Result<Option<Duration>, Problem> {
    match query.number(HEARTBEAT)?.map(i64::try_from) {
        None => Ok(None),
        Some(Ok(seconds @ 1..=300)) => Ok(Some(Duration { seconds, nanos: 0 })),
        Some(_) => Err(Problem::invalid(HEARTBEAT, "must be between 1 and 300")),
    }
}

/// May a client resume from the frame's cursor? Not before the snapshot is complete.
#[derive(Clone, Copy)]
struct Resumable(bool);

fn events(
    first: Option<WatchStateResponse>,
    rest: Streaming<WatchStateResponse>,
    resumable: Resumable,
    context: Context,
) -> BoxStream<'static, String> {
    let frames = stream::iter(first.map(Ok)).chain(rest);
    // After an error there are no more frames.
    let texts = frames.scan(resumable, move |resumable, frame| {
        ready(Some(frame.map_or_else(|status| error(status, &context), |frame| resumable.text(frame))))
    });
    texts.boxed()
}

/// Why a stream that had begun has ended, as the body that an error before it would have had.
fn error(status: Status, context: &Context) -> String {
    sse::event("error", None, &context.body(&Problem::from(status)).to_string())
}

impl Resumable {
    fn text(&mut self, message: WatchStateResponse) -> String {
        let cursor = message.cursor.unwrap_or_default();
        self.0 |= matches!(message.frame, Some(Frame::SnapshotEnd(_)));
        let id = (self.0 && !cursor.epoch.is_empty()).then(|| id(&cursor.epoch, cursor.revision));
        let id = id.as_deref();
        match message.frame {
            Some(Frame::Opened(frame)) => sse::event("opened", id, &opened(frame)),
            Some(Frame::Snapshot(frame)) => sse::event("snapshot", None, &snapshot(&frame)),
            Some(Frame::SnapshotEnd(_)) => sse::event("snapshot_end", id, "{}"),
            Some(Frame::Heartbeat(_)) => sse::event("heartbeat", id, "{}"),
            Some(Frame::Events(batch)) => changes(&cursor.epoch, &batch),
            None => String::new(),
        }
    }
}

fn id(epoch: &str, revision: u64) -> String {
    format!("{epoch}:{revision}")
}

fn opened(frame: Opened) -> String {
    json!({"head_revision": frame.head_revision, "compact_revision": frame.compact_revision}).to_string()
}

fn snapshot(frame: &SnapshotChunk) -> String {
    let plugins: Vec<Value> = frame.plugins.iter().map(view::plugin).collect();
    json!({"plugins": plugins}).to_string()
}

fn changes(epoch: &str, batch: &EventBatch) -> String {
    let next = batch.events.iter().skip(1).map(|event| Some(event.revision)).chain([None]);
    let texts = batch.events.iter().zip(next).map(|(event, next)| {
        let is_last_of_revision = next != Some(event.revision);
        change(event, is_last_of_revision.then(|| id(epoch, event.revision)).as_deref())
    });
    texts.collect()
}

fn change(event: &PluginEvent, id: Option<&str>) -> String {
    let name = match event.kind() {
        Kind::Added => "added",
        Kind::Changed | Kind::Unspecified => "changed",
        Kind::Removed => "removed",
    };
    let data = json!({
        "kind": name,
        "revision": event.revision,
        "time": view::time(event.time.as_ref()),
        "plugin_id": event.plugin_id,
        "plugin": event.plugin.as_ref().map(view::plugin),
    });
    sse::event(name, id, &data.to_string())
}
