//! `PluginService.ListPluginEvents`: what happened to plugins.

use bytes::Bytes;
use prost::Message;

use super::{Services, convert, page};
use crate::{
    api::v1::{ListPluginEventsRequest, ListPluginEventsResponse, Plugin, PluginEvent, plugin_event::Kind},
    domain::{Commit, Result},
};

/// How many changes are read at a time: the description of each may have a megabyte.
const BATCH: usize = 32;

impl Services {
    pub(super) async fn history(&self, request: ListPluginEventsRequest) -> Result<ListPluginEventsResponse> {
        let size = page::size(request.page_size, page::PLUGIN_EVENTS)?;
        let filters = ListPluginEventsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
        let list = page::Scope::new("ListPluginEvents", &filters);
        let mut before = list.after(&request.page_token)?;
        let id = request.plugin_id.as_deref().map(convert::plugin_id).transpose()?;
        let mut response = ListPluginEventsResponse::default();
        let mut room = page::Room::new(size);
        loop {
            let batch = self.parts.store.plugin_events(id, before, BATCH as u64).await?;
            for event in batch.iter().map(event) {
                if !room.take(event.encoded_len()) {
                    response.next_page_token = before.map(|last| list.token(&last)).unwrap_or_default();
                    return Ok(response);
                }
                before = Some(event.revision);
                response.events.push(event);
            }
            if batch.len() < BATCH {
                return Ok(response);
            }
        }
    }
}

fn event(commit: &Commit) -> PluginEvent {
    PluginEvent {
        kind: kind(commit).into(),
        revision: commit.revision,
        commit_time: Some(convert::timestamp(commit.time)),
        plugin_id: commit.plugin.id.to_string(),
        plugin: Some(Plugin { manifest: Bytes::new(), description: String::new(), ..convert::plugin(&commit.plugin) }),
        cursor: String::new(),
        state_before: convert::state_before(commit),
    }
}

fn kind(commit: &Commit) -> Kind {
    match commit.before {
        _ if commit.is_removal => Kind::Removed,
        None => Kind::Added,
        Some(_) => Kind::Changed,
    }
}
