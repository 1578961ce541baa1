//! One plugin, and lists of them.

use prost::Message;
use tonic::{Request, Response};

use super::{Answer, PluginService, shown};
use crate::{
    api::v1::{GetPluginRequest, GetPluginResponse, ListPluginsRequest, ListPluginsResponse},
    domain::Result,
    grpc::{Caller, convert, page, status::status},
    supervisor::ListQuery,
};

impl PluginService {
    pub(super) fn get(&self, request: &Request<GetPluginRequest>) -> Answer<GetPluginResponse> {
        let caller = self.admit(request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id).map_err(status)?;
        let plugin = self.0.handle.get(id).map_err(status)?;
        Ok(Response::new(GetPluginResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) fn list(&self, request: &Request<ListPluginsRequest>) -> Answer<ListPluginsResponse> {
        let caller = self.admit(request)?;
        self.page(request.get_ref(), &caller).map(Response::new).map_err(status)
    }

    fn page(&self, request: &ListPluginsRequest, caller: &Caller) -> Result<ListPluginsResponse> {
        let size = page::size(request.page_size, page::PLUGINS)?;
        let query = ListQuery {
            states: convert::states("states", &request.states)?.into_iter().collect(),
            mode: convert::mode_filter("mode", request.mode)?,
            manifest_id: request.manifest_id.clone(),
            after: page::after(&request.page_token)?,
        };
        let mut found = 0;
        // One more than the page holds: whether there is a next one.
        let records = self.0.handle.list(&query, |_| {
            found += 1;
            found <= size + 1
        });
        let mut response = ListPluginsResponse::default();
        let mut room = page::Room::new(size);
        let mut last = None;
        for record in &records {
            let plugin = convert::plugin(record, caller.sees_tokens());
            if !room.take(plugin.encoded_len()) {
                response.next_page_token = last.as_ref().map(page::token).unwrap_or_default();
                break;
            }
            last = Some(record.place());
            response.plugins.push(plugin);
        }
        Ok(response)
    }
}
