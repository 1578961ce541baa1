//! Start, stop, restart, delete.

use tonic::{Request, Response};

use super::{Answer, PluginService, shown, wait::wait};
use crate::{
    api::v1::{
        DeletePluginRequest, DeletePluginResponse, RestartPluginRequest, RestartPluginResponse, SetActiveStateRequest,
        SetActiveStateResponse,
    },
    grpc::{convert, status::status},
};

impl PluginService {
    pub(super) async fn set_active(&self, request: Request<SetActiveStateRequest>) -> Answer<SetActiveStateResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, asked) = request.into_parts();
        let parsed = || {
            let id = convert::plugin_id(&asked.plugin_id)?;
            let active = convert::desired_state("active_state", asked.active_state)?;
            Ok((id, active, wait(asked.return_immediately, asked.wait_timeout, &metadata)?))
        };
        let (id, active, wait) = parsed().map_err(status)?;
        let plugin = self.0.handle.set_active(id, active, &*caller.token().name, wait).await.map_err(status)?;
        Ok(Response::new(SetActiveStateResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn restart(&self, request: Request<RestartPluginRequest>) -> Answer<RestartPluginResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, asked) = request.into_parts();
        let parsed = || {
            let id = convert::plugin_id(&asked.plugin_id)?;
            Ok((id, wait(asked.return_immediately, asked.wait_timeout, &metadata)?))
        };
        let (id, wait) = parsed().map_err(status)?;
        let plugin = self.0.handle.restart(id, &*caller.token().name, wait).await.map_err(status)?;
        Ok(Response::new(RestartPluginResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn delete(&self, request: Request<DeletePluginRequest>) -> Answer<DeletePluginResponse> {
        let caller = self.admit(&request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id).map_err(status)?;
        let plugin = self.0.handle.delete(id, None).await.map_err(status)?;
        Ok(Response::new(DeletePluginResponse { plugin: shown(&plugin, &caller) }))
    }
}
