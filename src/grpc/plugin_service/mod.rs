//! `plugd.v1.PluginService`: parse, call, map. One file a kind of method.

mod configuration;
mod external;
mod lifecycle;
mod logs;
mod packages;
mod read;
mod streams;
mod transfers;
pub(super) mod wait;
mod watch;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::transfers::Transfers;
use super::{Caller, convert, status::status};
use crate::{
    api::v1::{self, plugin_service_server, *},
    domain::{Error, Plugin, Reason, Result, events::EventCatalog},
    fetch,
    logs::Logs,
    store::Store,
    supervisor::{Handle, Packages},
};

type Answer<T> = Result<Response<T>, Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the service is made of.
pub struct Parts {
    /// Plugins.
    pub handle: Handle,
    /// Packages.
    pub packages: Arc<Packages>,
    /// What plugins print.
    pub logs: Logs,
    /// Earlier configurations.
    pub store: Store,
    /// Events that manifests may name.
    pub catalog: EventCatalog,
    /// How packages are downloaded.
    pub fetch: fetch::Options,
    /// How often an idle watch hears something, unless it says.
    pub heartbeat: Duration,
    /// The longest that a watch may last; none: no limit.
    pub watch_max_age: Option<Duration>,
    /// Supervised plugins are not run here (CONTRACT 1.2).
    pub is_disabled: bool,
    /// Ends streams.
    pub draining: CancellationToken,
}

/// The service.
pub struct PluginService(Arc<Parts>, Transfers);

impl PluginService {
    /// The service over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts), Transfers::default())
    }

    /// Who calls, unless plugins are disabled altogether.
    fn admit<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        if self.0.is_disabled {
            let message = "This plugd has not enabled plugins.";
            return Err(status(Error::new(Reason::PluginsDisabled, message).with("disabled", "plugins")));
        }
        super::caller(request)
    }
}

/// A plugin as this caller may see it.
fn shown(plugin: &Plugin, caller: &Caller) -> Option<v1::Plugin> {
    Some(convert::plugin(plugin, caller.sees_tokens()))
}

#[tonic::async_trait]
impl plugin_service_server::PluginService for PluginService {
    type WatchStateStream = BoxStream<WatchStateResponse>;
    type DownloadPackageStream = BoxStream<DownloadPackageResponse>;
    type StreamLogsStream = BoxStream<StreamLogsResponse>;

    async fn install_plugin(&self, request: Request<Streaming<InstallPluginRequest>>) -> Answer<InstallPluginResponse> {
        self.install(request).await
    }

    async fn install_plugin_from_url(
        &self,
        request: Request<InstallPluginFromUrlRequest>,
    ) -> Answer<InstallPluginFromUrlResponse> {
        self.install_from_url(request).await
    }

    async fn register_external_plugin(
        &self,
        request: Request<RegisterExternalPluginRequest>,
    ) -> Answer<RegisterExternalPluginResponse> {
        self.register(request).await
    }

    async fn list_plugins(&self, request: Request<ListPluginsRequest>) -> Answer<ListPluginsResponse> {
        self.list(&request)
    }

    async fn get_plugin(&self, request: Request<GetPluginRequest>) -> Answer<GetPluginResponse> {
        self.get(&request)
    }

    async fn delete_plugin(&self, request: Request<DeletePluginRequest>) -> Answer<DeletePluginResponse> {
        self.delete(request).await
    }

    async fn set_active_state(&self, request: Request<SetActiveStateRequest>) -> Answer<SetActiveStateResponse> {
        self.set_active(request).await
    }

    async fn restart_plugin(&self, request: Request<RestartPluginRequest>) -> Answer<RestartPluginResponse> {
        self.restart(request).await
    }

    async fn watch_state(&self, request: Request<WatchStateRequest>) -> Answer<Self::WatchStateStream> {
        self.watch(request)
    }

    async fn update_package(&self, request: Request<Streaming<UpdatePackageRequest>>) -> Answer<UpdatePackageResponse> {
        self.update(request).await
    }

    async fn rollback_package(&self, request: Request<RollbackPackageRequest>) -> Answer<RollbackPackageResponse> {
        self.roll_back(request).await
    }

    async fn download_package(&self, request: Request<DownloadPackageRequest>) -> Answer<Self::DownloadPackageStream> {
        self.download(request).await
    }

    async fn update_manifest(&self, request: Request<UpdateManifestRequest>) -> Answer<UpdateManifestResponse> {
        self.replace_manifest(request).await
    }

    async fn cycle_token(&self, request: Request<CycleTokenRequest>) -> Answer<CycleTokenResponse> {
        self.renew_token(request).await
    }

    async fn get_configuration_schema(
        &self,
        request: Request<GetConfigurationSchemaRequest>,
    ) -> Answer<GetConfigurationSchemaResponse> {
        self.schema(&request)
    }

    async fn get_configuration(&self, request: Request<GetConfigurationRequest>) -> Answer<GetConfigurationResponse> {
        self.configuration(&request)
    }

    async fn update_configuration(
        &self,
        request: Request<UpdateConfigurationRequest>,
    ) -> Answer<UpdateConfigurationResponse> {
        self.configure(request).await
    }

    async fn list_configuration_revisions(
        &self,
        request: Request<ListConfigurationRevisionsRequest>,
    ) -> Answer<ListConfigurationRevisionsResponse> {
        self.revisions(request).await
    }

    async fn stream_logs(&self, request: Request<StreamLogsRequest>) -> Answer<Self::StreamLogsStream> {
        self.stream(request)
    }
}
