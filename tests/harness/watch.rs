//! A watch that checks on every frame what must hold for all watches.

use std::collections::VecDeque;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use plugd::api::v1::{
    Plugin, PluginEvent, ReportedState, WatchStateRequest, WatchStateResponse,
    watch_state_request::Start,
    watch_state_response::{Frame, Opened},
};
use tonic::{Status, Streaming};

use super::{api::Plugins, shapes::state_of, wait::within};

/// A cursor, which is opaque to clients, taken apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// What it is good for.
    pub(crate) scope: Vec<u8>,
    pub(crate) epoch: String,
    pub(crate) revision: u64,
}

impl Cursor {
    pub(crate) fn parse(text: &str) -> Self {
        let mut scope = BASE64_URL_SAFE_NO_PAD.decode(text).expect("a cursor");
        let place = scope.split_off(8);
        let (epoch, revision) = serde_json::from_slice(&place).unwrap();
        Self { scope, epoch, revision }
    }

    /// As plugd writes it.
    pub(crate) fn text(&self) -> String {
        let place = serde_json::to_vec(&(&self.epoch, self.revision)).unwrap();
        BASE64_URL_SAFE_NO_PAD.encode([self.scope.clone(), place].concat())
    }

    /// Everything after this cursor.
    pub(crate) fn start(&self) -> Start {
        Start::Cursor(self.text())
    }
}

/// An open watch.
pub(crate) struct Watch {
    stream: Streaming<WatchStateResponse>,
    /// Must every revision come? Not through a filter.
    is_complete: bool,
    /// What the first frame said.
    pub(crate) opened: Opened,
    /// Where to resume from after the last frame. Without an epoch as long as a snapshot is not complete.
    pub(crate) cursor: Cursor,
    /// Revision of the last event that was taken out.
    revision: u64,
    pending: VecDeque<PluginEvent>,
}

impl Watch {
    pub(super) async fn open(mut client: Plugins, request: WatchStateRequest) -> Result<Self, Status> {
        let is_complete = request.plugin_ids.is_empty() && request.states.is_empty();
        let start = request.start.clone();
        let mut stream = within("the opening of a watch", client.watch_state(request)).await?.into_inner();
        let first = within("the first frame", stream.message()).await?.expect("a first frame");
        assert_eq!(first.cursor.is_none(), start.is_none(), "only what is complete can be resumed from");
        let cursor = first.cursor.as_deref().map(Cursor::parse).unwrap_or_default();
        let Some(Frame::Opened(opened)) = first.frame else { panic!("not opened first: {:?}", first.frame) };
        let revision = match start {
            Some(Start::Cursor(after)) => Cursor::parse(&after).revision,
            _ => cursor.revision,
        };
        Ok(Self { stream, is_complete, opened, cursor, revision, pending: VecDeque::new() })
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Result<Frame, Status> {
        assert!(self.pending.is_empty(), "events were not taken out");
        let message = within("a frame", self.stream.message()).await?.expect("a watch ends with a status");
        let frame = message.frame.expect("a frame");
        self.move_on(message.cursor.as_deref().map(Cursor::parse), matches!(frame, Frame::Snapshot(_)));
        Ok(frame)
    }

    fn move_on(&mut self, cursor: Option<Cursor>, is_of_snapshot: bool) {
        assert_eq!(cursor.is_none(), is_of_snapshot, "only what is complete can be resumed from");
        let Some(cursor) = cursor else { return };
        assert!([cursor.epoch.as_str(), ""].contains(&self.cursor.epoch.as_str()), "one history");
        assert!(cursor.revision >= self.cursor.revision, "the cursor went back");
        self.cursor = cursor;
    }

    /// The next change.
    pub(crate) async fn event(&mut self) -> Result<PluginEvent, Status> {
        within("an event", self.receive()).await?;
        let event = self.pending.pop_front().unwrap();
        self.check(&event);
        self.revision = event.revision;
        Ok(event)
    }

    /// Takes frames in until there are events.
    async fn receive(&mut self) -> Result<(), Status> {
        while self.pending.is_empty() {
            match self.frame().await? {
                Frame::Events(batch) => self.pending.extend(batch.read()?),
                Frame::Heartbeat(_) => {}
                other => panic!("not an event: {other:?}"),
            }
        }
        Ok(())
    }

    fn check(&self, event: &PluginEvent) {
        assert!(event.revision > self.revision, "seen already: {} after {}", event.revision, self.revision);
        let is_next = event.revision == self.revision + 1;
        assert!(is_next || !self.is_complete, "a gap: {} after {}", event.revision, self.revision);
        assert_eq!(Cursor::parse(&event.cursor).revision, event.revision);
        assert_eq!(event.plugin.as_ref().unwrap().id, event.plugin_id);
    }

    /// The changes up to the first that the predicate takes, and that one.
    pub(crate) async fn until(&mut self, is_last: impl Fn(&PluginEvent) -> bool) -> Vec<PluginEvent> {
        let mut seen = Vec::new();
        let found = async {
            while !seen.last().is_some_and(&is_last) {
                seen.push(self.event().await.unwrap());
            }
        };
        within("a change", found).await;
        seen
    }

    /// The changes up to the first in which the plugin is in this state, and that one.
    pub(crate) async fn until_state(&mut self, id: &str, state: ReportedState) -> Vec<PluginEvent> {
        self.until(|event| event.plugin_id == id && state_of(event.plugin.as_ref().unwrap()) == state).await
    }

    /// The plugin as the first change in this state has it.
    pub(crate) async fn plugin_in(&mut self, id: &str, state: ReportedState) -> Plugin {
        self.until_state(id, state).await.pop().unwrap().plugin.unwrap()
    }

    /// The whole snapshot.
    pub(crate) async fn snapshot(&mut self) -> Vec<Plugin> {
        let read = async {
            let mut plugins = Vec::new();
            loop {
                match self.frame().await.unwrap() {
                    Frame::Snapshot(chunk) => plugins.extend(chunk.plugins),
                    Frame::SnapshotEnd(_) => return plugins,
                    other => panic!("not of a snapshot: {other:?}"),
                }
            }
        };
        let plugins = within("a snapshot", read).await;
        self.revision = self.cursor.revision;
        plugins
    }

    /// What the watch ends with.
    pub(crate) async fn end(&mut self) -> Status {
        let ended = async {
            loop {
                if let Err(status) = self.event().await {
                    return status;
                }
            }
        };
        within("the end of a watch", ended).await
    }
}

/// The states that these changes show of one plugin, each once while it lasts.
pub(crate) fn states(events: &[PluginEvent], id: &str) -> Vec<ReportedState> {
    let of_it = events.iter().filter(|event| event.plugin_id == id);
    let mut states: Vec<_> = of_it.map(|event| state_of(event.plugin.as_ref().unwrap())).collect();
    states.dedup();
    states
}
