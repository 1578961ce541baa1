//! The generated gRPC client, with a credential.

use std::collections::HashMap;

use plugd::api::v1::{
    ActiveState, CreateTokenRequest, DeletePluginRequest, GetPluginRequest, InstallPluginRequest, ListPluginsRequest,
    Plugin, PluginView, RegisterExternalPluginRequest, RestartPluginRequest, Role, SetActiveStateRequest,
    StreamLogsRequest, WatchStateRequest, access_service_client::AccessServiceClient,
    bus_service_client::BusServiceClient, configuration_service_client::ConfigurationServiceClient,
    hook_service_client::HookServiceClient, install_plugin_request as install, log_service_client::LogServiceClient,
    package_service_client::PackageServiceClient, plugin_service_client::PluginServiceClient,
    policy_service_client::PolicyServiceClient, server_service_client::ServerServiceClient, watch_state_request::Start,
};
use serde_json::Value;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use super::{
    LogStream, Watch, package,
    wait::{HANG, within},
};

type Service = InterceptedService<Channel, Bearer>;
/// The client of the service of plugins.
pub(super) type Plugins = PluginServiceClient<Service>;

/// Bytes of a chunk of an upload.
const CHUNK: usize = 1024 * 1024;

/// A client with one connection, which is made when it is needed.
#[derive(Clone)]
pub(crate) struct Api(Service);

/// Puts the credential into each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<tonic::metadata::Ascii>>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl Api {
    /// A client of the server at this address.
    pub(crate) fn at(url: &str, token: Option<&str>) -> Self {
        Self::over(Endpoint::from_shared(url.to_owned()).unwrap(), token)
    }

    /// A client with settings of its own for the connection.
    pub(crate) fn over(endpoint: Endpoint, token: Option<&str>) -> Self {
        let bearer = token.map(|token| format!("Bearer {token}").parse().unwrap());
        // Each call has an answer, or at least its headers, within that time.
        Self(InterceptedService::new(endpoint.timeout(HANG).connect_lazy(), Bearer(bearer)))
    }

    pub(crate) fn plugins(&self) -> Plugins {
        PluginServiceClient::new(self.0.clone())
    }

    pub(crate) fn packages(&self) -> PackageServiceClient<Service> {
        PackageServiceClient::new(self.0.clone())
    }

    pub(crate) fn configurations(&self) -> ConfigurationServiceClient<Service> {
        ConfigurationServiceClient::new(self.0.clone())
    }

    pub(crate) fn policies(&self) -> PolicyServiceClient<Service> {
        PolicyServiceClient::new(self.0.clone())
    }

    pub(crate) fn log_client(&self) -> LogServiceClient<Service> {
        LogServiceClient::new(self.0.clone())
    }

    pub(crate) fn bus(&self) -> BusServiceClient<Service> {
        BusServiceClient::new(self.0.clone())
    }

    pub(crate) fn about(&self) -> ServerServiceClient<Service> {
        ServerServiceClient::new(self.0.clone())
    }

    pub(crate) fn hooks(&self) -> HookServiceClient<Service> {
        HookServiceClient::new(self.0.clone())
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Service> {
        AccessServiceClient::new(self.0.clone())
    }

    /// Installs the example `chaos` with these arguments; returns its id.
    pub(crate) async fn install(&self, args: &[&str]) -> String {
        self.upload(package::chaos(args)).await.unwrap().id
    }

    /// Installs the example `chaos` and activates it; returns its id.
    pub(crate) async fn run(&self, args: &[&str]) -> String {
        let id = self.install(args).await;
        self.activate(&id).await.unwrap();
        id
    }

    /// Installs an archive.
    pub(crate) async fn upload(&self, archive: Vec<u8>) -> Result<Plugin, Status> {
        let part = |part| InstallPluginRequest { part: Some(part) };
        let header = part(install::Part::Header(install::Header::default()));
        let chunks = archive.chunks(CHUNK).map(|chunk| part(install::Part::Chunk(chunk.to_vec())));
        let messages: Vec<_> = std::iter::once(header).chain(chunks).collect();
        let answer = self.plugins().install_plugin(tokio_stream::iter(messages)).await?;
        Ok(answer.into_inner().plugin.unwrap())
    }

    /// Registers a plugin that the test runs itself.
    pub(crate) async fn register(&self, manifest: &Value) -> Result<Plugin, Status> {
        let manifest = plugd::api::json::to_struct(manifest.as_object().unwrap()).unwrap();
        let request = RegisterExternalPluginRequest { manifest: Some(manifest), request_id: None };
        Ok(self.plugins().register_external_plugin(request).await?.into_inner().plugin.unwrap())
    }

    pub(crate) async fn activate(&self, id: &str) -> Result<Plugin, Status> {
        within("activation", self.set(id, ActiveState::Active)).await
    }

    pub(crate) async fn deactivate(&self, id: &str) -> Result<Plugin, Status> {
        within("deactivation", self.set(id, ActiveState::Inactive)).await
    }

    async fn set(&self, id: &str, state: ActiveState) -> Result<Plugin, Status> {
        let request =
            SetActiveStateRequest { plugin_id: id.to_owned(), active_state: state.into(), ..Default::default() };
        Ok(self.plugins().set_active_state(request).await?.into_inner().plugin.unwrap())
    }

    /// Desires that a plugin runs, and does not wait for it.
    pub(crate) async fn begin(&self, id: &str) -> Plugin {
        self.desire(id, ActiveState::Active).await.unwrap()
    }

    /// Desires this of a plugin, and does not wait for it.
    pub(crate) async fn desire(&self, id: &str, state: ActiveState) -> Result<Plugin, Status> {
        let request = SetActiveStateRequest {
            plugin_id: id.to_owned(),
            active_state: state.into(),
            wait: Some(prost_types::Duration::default()),
            if_generation: None,
        };
        Ok(self.plugins().set_active_state(request).await?.into_inner().plugin.unwrap())
    }

    pub(crate) async fn restart(&self, id: &str) -> Result<Plugin, Status> {
        let request = RestartPluginRequest { plugin_id: id.to_owned(), ..Default::default() };
        let answer = within("restart", self.plugins().restart_plugin(request)).await?;
        Ok(answer.into_inner().plugin.unwrap())
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Plugin, Status> {
        self.get_as(id, PluginView::Basic).await
    }

    /// A plugin as a view shows it.
    pub(crate) async fn get_as(&self, id: &str, view: PluginView) -> Result<Plugin, Status> {
        let request = GetPluginRequest { plugin_id: id.to_owned(), view: view.into() };
        Ok(self.plugins().get_plugin(request).await?.into_inner().plugin.unwrap())
    }

    pub(crate) async fn list(&self) -> Result<Vec<Plugin>, Status> {
        Ok(self.plugins().list_plugins(ListPluginsRequest::default()).await?.into_inner().plugins)
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<Plugin, Status> {
        let request = DeletePluginRequest { plugin_id: id.to_owned(), if_generation: None };
        let answer = within("deletion", self.plugins().delete_plugin(request)).await?;
        Ok(answer.into_inner().plugin.unwrap())
    }

    /// Makes a token of this role; returns its id and its secret.
    pub(crate) async fn create_token(&self, name: &str, role: Role) -> (String, String) {
        let request = CreateTokenRequest { name: name.to_owned(), role: role.into(), ttl: None };
        let answer = self.access().create_token(request).await.unwrap().into_inner();
        (answer.token.unwrap().id, answer.secret)
    }

    /// Watches as asked; returns once the watch is open.
    pub(crate) async fn watch(&self, request: WatchStateRequest) -> Result<Watch, Status> {
        Watch::open(self.plugins(), request).await
    }

    /// Watches everything from now on.
    pub(crate) async fn live(&self) -> Watch {
        let request = WatchStateRequest { start: Some(Start::LiveOnly(true)), ..Default::default() };
        self.watch(request).await.unwrap()
    }

    /// Follows what a plugin prints, from its first line on.
    pub(crate) async fn logs(&self, id: &str) -> LogStream {
        let request = StreamLogsRequest { plugin_ids: vec![id.to_owned()], follow: true, ..Default::default() };
        self.logs_as(request).await.unwrap()
    }

    /// What a plugin printed, as asked.
    pub(crate) async fn logs_as(&self, request: StreamLogsRequest) -> Result<LogStream, Status> {
        let answer = within("the opening of a log", self.log_client().stream_logs(request)).await?;
        Ok(LogStream::new(answer.into_inner()))
    }
}

/// The stable reason of an error.
#[track_caller]
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, plugd::api::ERROR_DOMAIN);
    info.reason
}

/// The metadata of an error.
pub(crate) fn details(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().unwrap().metadata
}

/// The fields that are at fault.
pub(crate) fn field_violations(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}
