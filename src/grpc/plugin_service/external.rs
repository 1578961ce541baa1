//! External plugins.

use serde_json::Value;
use tonic::{Request, Response};

use super::{Answer, PluginService, shown};
use crate::{
    api::v1::{
        CycleTokenRequest, CycleTokenResponse, RegisterExternalPluginRequest, RegisterExternalPluginResponse,
        UpdateManifestRequest, UpdateManifestResponse,
    },
    domain::{Error, Result, manifest::Manifest},
    grpc::{convert, status::status},
};

impl PluginService {
    pub(super) async fn register(
        &self,
        request: Request<RegisterExternalPluginRequest>,
    ) -> Answer<RegisterExternalPluginResponse> {
        let caller = self.admit(&request)?;
        let manifest = self.manifest(request.into_inner().manifest).map_err(status)?;
        let plugin = self.0.handle.register_external(manifest).await.map_err(status)?;
        Ok(Response::new(RegisterExternalPluginResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn replace_manifest(
        &self,
        request: Request<UpdateManifestRequest>,
    ) -> Answer<UpdateManifestResponse> {
        let caller = self.admit(&request)?;
        let asked = request.into_inner();
        let manifest = self.manifest(asked.manifest).map_err(status)?;
        let id = convert::plugin_id(&asked.plugin_id).map_err(status)?;
        let plugin = self.0.handle.update_manifest(id, manifest, &*caller.token().name).await.map_err(status)?;
        Ok(Response::new(UpdateManifestResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn renew_token(&self, request: Request<CycleTokenRequest>) -> Answer<CycleTokenResponse> {
        let caller = self.admit(&request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id).map_err(status)?;
        let plugin = self.0.handle.cycle_token(id, &*caller.token().name).await.map_err(status)?;
        let token = plugin.desired.token.clone().unwrap_or_default();
        Ok(Response::new(CycleTokenResponse { token, plugin: shown(&plugin, &caller) }))
    }

    fn manifest(&self, manifest: Option<prost_types::Struct>) -> Result<Manifest> {
        let manifest = manifest.ok_or_else(|| Error::field("manifest", "is missing"))?;
        Manifest::from_value(Value::Object(convert::object("manifest", &manifest)?), &self.0.catalog)
    }
}
