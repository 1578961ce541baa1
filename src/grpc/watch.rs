//! `PluginService.WatchState`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use prost::Message;
use tonic::Status;

use super::{BoxStream, Caller, Services, convert, page::Scope};
use crate::{
    api::v1::{
        PluginEvent, WatchStateRequest, WatchStateResponse, plugin_event,
        watch_state_request::Start as AskedStart,
        watch_state_response::{self as frame, Frame as Sent},
    },
    domain::{Commit, Error, Plugin, Result},
    supervisor::{Change, Filter, Frame, Start, Watch, WatchQuery},
};

/// A frame is closed once it has this many bytes; one plugin always fits, whatever its size.
const FRAME_BYTES: usize = 256 * 1024;

const MIN_HEARTBEAT: Duration = Duration::from_secs(1);
const MAX_HEARTBEAT: Duration = Duration::from_secs(300);

impl Services {
    pub(super) async fn watch(
        &self,
        request: WatchStateRequest,
        caller: Caller,
    ) -> Result<BoxStream<WatchStateResponse>> {
        let scope = scope(&request);
        let query = self.query(request, scope)?;
        self.parts.handle.arrived(&query.start).await;
        let watch = self.parts.handle.watch(query)?;
        let cursors = Cursors { scope, epoch: self.parts.handle.epoch().to_owned() };
        let encoded = Arc::clone(&self.encoded);
        let sender = Sender { watch, cursors, encoded, caller, snapshot: None, events: VecDeque::new() };
        Ok(Box::pin(sender.into_stream()))
    }

    fn query(&self, request: WatchStateRequest, scope: Scope) -> Result<WatchQuery> {
        let ids = request.plugin_ids.iter().map(|id| convert::plugin_id(id)).collect::<Result<_>>()?;
        let states = convert::states("states", &request.states)?.into_iter().collect();
        let start = match request.start {
            None | Some(AskedStart::LiveOnly(false)) => Start::Snapshot,
            Some(AskedStart::LiveOnly(true)) => Start::Live,
            Some(AskedStart::Cursor(cursor)) => parse(scope, &cursor)?,
        };
        let heartbeat = heartbeat(request.heartbeat_interval, self.parts.heartbeat)?;
        let max_age = max_age(request.max_age, self.parts.watch_max_age)?;
        Ok(WatchQuery { filter: Filter { ids, states }, start, heartbeat, max_age })
    }
}

/// What a cursor is good for: through another filter, plugins would have changed or gone of which the client never heard.
/// The order in which the filter is written does not make it another one.
fn scope(request: &WatchStateRequest) -> Scope {
    let (mut plugin_ids, mut states) = (request.plugin_ids.clone(), request.states.clone());
    plugin_ids.sort_unstable();
    plugin_ids.dedup();
    states.sort_unstable();
    states.dedup();
    Scope::new("WatchState", &WatchStateRequest { plugin_ids, states, ..WatchStateRequest::default() })
}

fn parse(scope: Scope, cursor: &str) -> Result<Start> {
    let refusal = "must be one that plugd sent for a watch with the same filters, unchanged; without one, watch anew";
    let (epoch, revision) = scope.place(cursor).ok_or_else(|| Error::field("cursor", refusal))?;
    Ok(Start::After { epoch, revision })
}

/// Makes the cursors of one watch.
struct Cursors {
    scope: Scope,
    epoch: String,
}

impl Cursors {
    /// Which history, and which revision of it.
    fn at(&self, revision: u64) -> String {
        self.scope.token(&(&self.epoch, revision))
    }
}

fn heartbeat(asked: Option<prost_types::Duration>, default: Duration) -> Result<Duration> {
    let Some(asked) = asked else { return Ok(default) };
    let asked = convert::duration("heartbeat_interval", asked)?;
    if (MIN_HEARTBEAT..=MAX_HEARTBEAT).contains(&asked) {
        return Ok(asked);
    }
    Err(Error::field("heartbeat_interval", "must be 1 second to 5 minutes"))
}

fn max_age(asked: Option<prost_types::Duration>, limit: Option<Duration>) -> Result<Option<Duration>> {
    let asked = asked.map(|asked| convert::duration("max_age", asked)).transpose()?;
    Ok([asked, limit].into_iter().flatten().min())
}

/// Turns a watch into messages of a size that clients take.
struct Sender {
    watch: Watch,
    cursors: Cursors,
    encoded: Arc<Encoded>,
    caller: Caller,
    /// What of the snapshot is still to be sent; its end, when empty.
    snapshot: Option<VecDeque<Arc<Plugin>>>,
    events: VecDeque<Change>,
}

impl Sender {
    fn into_stream(self) -> impl Stream<Item = Result<WatchStateResponse, Status>> + Send {
        stream::unfold(Some(self), async |sender| {
            let mut sender = sender?;
            match sender.next().await {
                Ok(message) => Some((Ok(message), Some(sender))),
                Err(error) => Some((Err(error.into()), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<WatchStateResponse> {
        if self.snapshot.is_some() {
            return Ok(self.snapshot_frame());
        }
        if !self.events.is_empty() {
            return Ok(self.events_frame());
        }
        let frame = tokio::select! {
            frame = self.watch.next() => frame?,
            error = self.caller.ended() => return Err(error),
        };
        Ok(match frame {
            Frame::Opened { head, compacted } => self.opened(head, compacted),
            Frame::Snapshot(plugins) => {
                self.snapshot = Some(plugins.into());
                self.snapshot_frame()
            }
            Frame::Events(events) => {
                self.events = events.into();
                self.events_frame()
            }
            Frame::Heartbeat => self.frame(Sent::Heartbeat(frame::Heartbeat {}), self.watch.cursor()),
        })
    }

    fn opened(&self, head_revision: u64, compact_revision: u64) -> WatchStateResponse {
        let opened = Sent::Opened(frame::Opened { head_revision, compact_revision });
        if self.watch.has_snapshot_to_come() {
            return WatchStateResponse { cursor: None, frame: Some(opened) };
        }
        self.frame(opened, self.watch.cursor())
    }

    /// A chunk has no cursor: who resumed from the middle of a snapshot would miss the rest of it.
    fn snapshot_frame(&mut self) -> WatchStateResponse {
        let rest = self.snapshot.get_or_insert_default();
        if rest.is_empty() {
            self.snapshot = None;
            return self.frame(Sent::SnapshotEnd(frame::SnapshotEnd {}), self.watch.cursor());
        }
        let plugins = fill(rest, |plugin| convert::plugin(&plugin), Message::encoded_len);
        WatchStateResponse { cursor: None, frame: Some(Sent::Snapshot(frame::SnapshotChunk { plugins })) }
    }

    fn events_frame(&mut self) -> WatchStateResponse {
        let Self { cursors, encoded, events: rest, .. } = self;
        let mut last = None;
        let events = fill(
            rest,
            |change| {
                let cursor = cursors.at(change.commit.revision);
                let event = encoded.event(&change, cursor.clone());
                last = Some((change.commit.revision, cursor));
                event
            },
            Bytes::len,
        );
        let place = self.watch.cursor();
        let cursor = match last {
            Some((revision, cursor)) if revision == place || !self.events.is_empty() => cursor,
            _ => self.cursors.at(place),
        };
        WatchStateResponse { cursor: Some(cursor), frame: Some(Sent::Events(frame::EventBatch { events })) }
    }

    fn frame(&self, frame: Sent, revision: u64) -> WatchStateResponse {
        WatchStateResponse { cursor: Some(self.cursors.at(revision)), frame: Some(frame) }
    }
}

/// Takes from the front what fits one frame; at least one.
fn fill<T, M>(rest: &mut VecDeque<T>, mut convert: impl FnMut(T) -> M, size: impl Fn(&M) -> usize) -> Vec<M> {
    let mut bytes = 0;
    let mut taken = Vec::new();
    while bytes < FRAME_BYTES
        && let Some(next) = rest.pop_front()
    {
        let message = convert(next);
        bytes += size(&message);
        taken.push(message);
    }
    taken
}

/// Changes that are kept encoded: more than come while the watches of one are woken.
const KEPT: usize = 64;

/// Most bytes of a change that is kept so: all of them together have a MiB.
const KEPT_BYTES: usize = 16 * 1024;

/// The newest changes as they are sent, but for what each watch has of its own: so that a change is encoded once, however many
/// watches there are. In the order of their revisions; without those that are too large.
#[derive(Default)]
pub(super) struct Encoded(Mutex<VecDeque<(u64, Option<Bytes>)>>);

impl Encoded {
    /// A change as a watch sends it. The parts of an encoded message may come one after the other.
    fn event(&self, change: &Change, cursor: String) -> Bytes {
        let own = PluginEvent { kind: plugin_event::Kind::from(change.kind).into(), cursor, ..PluginEvent::default() };
        let event = [&*self.shared(&change.commit), &*own.encode_to_vec()].concat();
        event.into()
    }

    /// What all watches send of it.
    fn shared(&self, commit: &Commit) -> Bytes {
        self.kept(commit).unwrap_or_else(|| convert::event(commit).encode_to_vec().into())
    }

    /// The same where it is kept. Who comes while it is encoded waits for that.
    fn kept(&self, commit: &Commit) -> Option<Bytes> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match kept.binary_search_by_key(&commit.revision, |(revision, _)| *revision) {
            Ok(place) => return kept.get(place).and_then(|(_, event)| event.clone()),
            // Who is far behind takes no place from others.
            Err(0) if kept.len() == KEPT => return None,
            Err(place) => place,
        };
        let event = convert::event(commit);
        let event = (event.encoded_len() <= KEPT_BYTES).then(|| Bytes::from(event.encode_to_vec()));
        kept.insert(place, (commit.revision, event.clone()));
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
        event
    }
}

#[cfg(test)]
mod tests;
