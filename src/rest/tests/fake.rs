//! A service that records its calls, and answers as it is told.

mod hooks;

use std::{
    fmt::Debug,
    pin::Pin,
    sync::{Mutex, MutexGuard},
};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::{ERROR_DOMAIN, SUGGESTED, v1::*};

type Answer<T> = Result<Response<T>, Status>;
type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How an upload ended for the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a clean end, after these chunks.
    Whole(Vec<usize>),
    /// With an error.
    Broken(Code),
}

/// Knows two tokens: `admin`, and `viewer` which only reads.
pub(crate) struct Fake {
    failure: Mutex<Option<Status>>,
    seen: Mutex<Vec<String>>,
    asked: Mutex<usize>,
    silence: Mutex<Option<Status>>,
    traces: Mutex<Vec<String>>,
    pages: Mutex<Vec<Vec<Plugin>>>,
    frames: Mutex<Vec<Result<WatchStateResponse, Status>>>,
    logs: Mutex<Vec<Result<StreamLogsResponse, Status>>>,
    download: Mutex<Vec<Result<DownloadPackageResponse, Status>>>,
    fields: Mutex<Vec<ConfigurationField>>,
    tokens: Mutex<Vec<AccessToken>>,
    audit: Mutex<ListAuditEventsResponse>,
    past: Mutex<Result<ListPluginEventsResponse, Status>>,
    uploads: watch::Sender<Vec<Ended>>,
}

/// An error as the real service makes it.
pub(crate) fn told(code: Code, reason: &str, message: &str) -> Status {
    let metadata = [(SUGGESTED.to_owned(), "Do better.".to_owned()), ("stage".to_owned(), "spawn".to_owned())];
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self {
            failure: Mutex::default(),
            seen: Mutex::default(),
            asked: Mutex::default(),
            silence: Mutex::default(),
            traces: Mutex::default(),
            pages: Mutex::default(),
            frames: Mutex::default(),
            logs: Mutex::default(),
            download: Mutex::default(),
            fields: Mutex::default(),
            tokens: Mutex::default(),
            audit: Mutex::default(),
            past: Mutex::new(Ok(ListPluginEventsResponse::default())),
            uploads: watch::Sender::default(),
        }
    }

    /// Every call by an authorised caller fails so from now on.
    pub(crate) fn fail(&self, status: Status) {
        *lock(&self.failure) = Some(status);
    }

    /// Whose a credential is can't be said from now on.
    pub(crate) fn silence(&self, status: Status) {
        *lock(&self.silence) = Some(status);
    }

    /// Lists these pages.
    pub(crate) fn lists(&self, pages: Vec<Vec<Plugin>>) {
        *lock(&self.pages) = pages;
    }

    /// Streams these frames.
    pub(crate) fn watches(&self, frames: Vec<Result<WatchStateResponse, Status>>) {
        *lock(&self.frames) = frames;
    }

    /// Streams these lines.
    pub(crate) fn logs(&self, logs: Vec<Result<StreamLogsResponse, Status>>) {
        *lock(&self.logs) = logs;
    }

    /// Streams this archive.
    pub(crate) fn downloads(&self, parts: Vec<Result<DownloadPackageResponse, Status>>) {
        *lock(&self.download) = parts;
    }

    /// Has these fields of configuration.
    pub(crate) fn declares(&self, fields: Vec<ConfigurationField>) {
        *lock(&self.fields) = fields;
    }

    /// Has these tokens.
    pub(crate) fn has_tokens(&self, tokens: Vec<AccessToken>) {
        *lock(&self.tokens) = tokens;
    }

    /// Has this page of what happened to plugins.
    pub(crate) fn has_past(&self, page: Result<ListPluginEventsResponse, Status>) {
        *lock(&self.past) = page;
    }

    /// Has this page of its audit trail.
    pub(crate) fn has_audit(&self, page: ListAuditEventsResponse) {
        *lock(&self.audit) = page;
    }

    /// The calls by authorised callers, in the words of `Debug`.
    pub(crate) fn seen(&self) -> Vec<String> {
        lock(&self.seen).clone()
    }

    /// How often it was asked whose a good credential is.
    pub(crate) fn asked(&self) -> usize {
        *lock(&self.asked)
    }

    /// The traces that calls carried since this was last asked.
    pub(crate) fn traces(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.traces))
    }

    /// Waits until an upload has ended.
    pub(crate) async fn upload(&self) -> Ended {
        let mut uploads = self.uploads.subscribe();
        let wait = uploads.wait_for(|uploads| !uploads.is_empty());
        let uploads = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("no upload ended");
        uploads.unwrap()[0].clone()
    }

    fn begin<T: Debug>(&self, is_write: bool, request: &Request<T>) -> Result<(), Status> {
        self.admit(is_write, request)?;
        lock(&self.seen).push(format!("{:?}", request.get_ref()));
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }

    fn admit<T>(&self, is_write: bool, request: &Request<T>) -> Result<(), Status> {
        let trace = request.metadata().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
        lock(&self.traces).extend(trace);
        let credential = request.metadata().get("authorization").map(|value| value.to_str().unwrap());
        match credential {
            Some("Bearer admin") => {}
            Some("Bearer viewer") if !is_write => {}
            Some("Bearer viewer") => {
                return Err(told(Code::PermissionDenied, "PERMISSION_DENIED", "viewers only read"));
            }
            _ => return Err(told(Code::Unauthenticated, "UNAUTHENTICATED", "no valid credential")),
        }
        Ok(())
    }

    async fn drain<T>(&self, mut stream: Streaming<T>, length: impl Fn(T) -> usize) -> Result<(), Status> {
        let mut chunks = Vec::new();
        let ended = loop {
            match stream.message().await {
                Ok(Some(message)) => chunks.push(length(message)),
                Ok(None) => break Ended::Whole(chunks),
                Err(status) => break Ended::Broken(status.code()),
            }
        };
        self.uploads.send_modify(|uploads| uploads.push(ended));
        Ok(())
    }
}

fn plugin() -> Option<Plugin> {
    Some(Plugin { id: super::ID.to_owned(), ..Plugin::default() })
}

fn boxed<T: Send + 'static>(items: &Mutex<Vec<Result<T, Status>>>) -> Response<Boxed<T>> {
    Response::new(stream::iter(std::mem::take(&mut *lock(items))).boxed())
}

#[tonic::async_trait]
impl plugin_service_server::PluginService for Fake {
    async fn install_plugin(&self, request: Request<Streaming<InstallPluginRequest>>) -> Answer<InstallPluginResponse> {
        self.begin(true, &request)?;
        let length = |message: InstallPluginRequest| match message.part {
            Some(install_plugin_request::Part::Chunk(chunk)) => chunk.len(),
            header => {
                lock(&self.seen).push(format!("{header:?}"));
                0
            }
        };
        self.drain(request.into_inner(), length).await?;
        Ok(Response::new(InstallPluginResponse { plugin: plugin() }))
    }

    async fn register_external_plugin(
        &self,
        request: Request<RegisterExternalPluginRequest>,
    ) -> Answer<RegisterExternalPluginResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(RegisterExternalPluginResponse { plugin: plugin() }))
    }

    async fn list_plugins(&self, request: Request<ListPluginsRequest>) -> Answer<ListPluginsResponse> {
        self.begin(false, &request)?;
        let page: usize = request.get_ref().page_token.parse().unwrap_or_default();
        let pages = lock(&self.pages);
        let next_page_token = if page + 1 < pages.len() { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListPluginsResponse {
            plugins: pages.get(page).cloned().unwrap_or_default(),
            next_page_token,
        }))
    }

    async fn get_plugin(&self, request: Request<GetPluginRequest>) -> Answer<GetPluginResponse> {
        self.begin(false, &request)?;
        Ok(Response::new(GetPluginResponse { plugin: plugin() }))
    }

    async fn delete_plugin(&self, request: Request<DeletePluginRequest>) -> Answer<DeletePluginResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(DeletePluginResponse { plugin: plugin() }))
    }

    async fn set_active_state(&self, request: Request<SetActiveStateRequest>) -> Answer<SetActiveStateResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(SetActiveStateResponse { plugin: plugin() }))
    }

    async fn restart_plugin(&self, request: Request<RestartPluginRequest>) -> Answer<RestartPluginResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(RestartPluginResponse { plugin: plugin() }))
    }

    type WatchStateStream = Boxed<WatchStateResponse>;

    async fn watch_state(&self, request: Request<WatchStateRequest>) -> Answer<Self::WatchStateStream> {
        self.begin(false, &request)?;
        Ok(boxed(&self.frames))
    }

    async fn list_plugin_events(&self, request: Request<ListPluginEventsRequest>) -> Answer<ListPluginEventsResponse> {
        self.begin(false, &request)?;
        lock(&self.past).clone().map(Response::new)
    }

    async fn update_manifest(&self, request: Request<UpdateManifestRequest>) -> Answer<UpdateManifestResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(UpdateManifestResponse { plugin: plugin() }))
    }

    async fn rotate_token(&self, request: Request<RotateTokenRequest>) -> Answer<RotateTokenResponse> {
        self.begin(true, &request)?;
        let plugin = plugin().map(|plugin| Plugin { token: Some("sdprt_new".to_owned()), ..plugin });
        Ok(Response::new(RotateTokenResponse { plugin }))
    }
}

#[tonic::async_trait]
impl package_service_server::PackageService for Fake {
    async fn update_package(&self, request: Request<Streaming<UpdatePackageRequest>>) -> Answer<UpdatePackageResponse> {
        self.begin(true, &request)?;
        let mut messages = request.into_inner();
        let header = messages.message().await?;
        lock(&self.seen).push(format!("{header:?}"));
        let length = |message: UpdatePackageRequest| match message.part {
            Some(update_package_request::Part::Chunk(chunk)) => chunk.len(),
            _ => 0,
        };
        self.drain(messages, length).await?;
        Ok(Response::new(UpdatePackageResponse { plugin: plugin() }))
    }

    async fn rollback_package(&self, request: Request<RollbackPackageRequest>) -> Answer<RollbackPackageResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(RollbackPackageResponse { plugin: plugin() }))
    }

    type DownloadPackageStream = Boxed<DownloadPackageResponse>;

    async fn download_package(&self, request: Request<DownloadPackageRequest>) -> Answer<Self::DownloadPackageStream> {
        self.begin(false, &request)?;
        Ok(boxed(&self.download))
    }
}

#[tonic::async_trait]
impl configuration_service_server::ConfigurationService for Fake {
    async fn get_configuration_schema(
        &self,
        request: Request<GetConfigurationSchemaRequest>,
    ) -> Answer<GetConfigurationSchemaResponse> {
        self.begin(false, &request)?;
        Ok(Response::new(GetConfigurationSchemaResponse { fields: lock(&self.fields).clone() }))
    }

    async fn get_configuration(&self, request: Request<GetConfigurationRequest>) -> Answer<GetConfigurationResponse> {
        self.begin(false, &request)?;
        Ok(Response::new(GetConfigurationResponse { generation: 7, ..GetConfigurationResponse::default() }))
    }

    async fn update_configuration(
        &self,
        request: Request<UpdateConfigurationRequest>,
    ) -> Answer<UpdateConfigurationResponse> {
        self.begin(true, &request)?;
        let configuration = request.into_inner().configuration;
        let plugin = plugin().map(|plugin| Plugin { generation: 8, ..plugin });
        Ok(Response::new(UpdateConfigurationResponse { plugin, configuration, configuration_revision: 1 }))
    }

    async fn list_configuration_revisions(
        &self,
        request: Request<ListConfigurationRevisionsRequest>,
    ) -> Answer<ListConfigurationRevisionsResponse> {
        self.begin(false, &request)?;
        Ok(Response::new(ListConfigurationRevisionsResponse::default()))
    }
}

#[tonic::async_trait]
impl log_service_server::LogService for Fake {
    type StreamLogsStream = Boxed<StreamLogsResponse>;

    async fn stream_logs(&self, request: Request<StreamLogsRequest>) -> Answer<Self::StreamLogsStream> {
        self.begin(false, &request)?;
        // Open for ever after what is there, as a plugin that prints no more.
        let ends = !request.get_ref().follow || lock(&self.logs).last().is_some_and(Result::is_err);
        let lines = boxed(&self.logs).into_inner();
        let stream = if ends { lines } else { lines.chain(stream::pending()).boxed() };
        Ok(Response::new(stream))
    }
}

#[tonic::async_trait]
impl access_service_server::AccessService for Fake {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Answer<WhoAmIResponse> {
        self.admit(false, &request)?;
        lock(&self.silence).clone().map_or(Ok(()), Err)?;
        *lock(&self.asked) += 1;
        let is_admin = request.metadata().get("authorization").is_some_and(|value| value == "Bearer admin");
        let (id, role) = if is_admin { ("admin", Role::Admin) } else { ("viewer", Role::Viewer) };
        let token = AccessToken { id: id.to_owned(), role: role.into(), ..AccessToken::default() };
        Ok(Response::new(WhoAmIResponse { token: Some(token) }))
    }

    async fn sign_in(&self, _: Request<SignInRequest>) -> Answer<SignInResponse> {
        Err(Status::unimplemented("REST signs nobody in"))
    }

    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Answer<CreateTokenResponse> {
        self.begin(true, &request)?;
        let CreateTokenRequest { name, role, .. } = request.into_inner();
        if name.is_empty() {
            return Err(told(Code::InvalidArgument, "INVALID_ARGUMENT", "a name is missing"));
        }
        let token = AccessToken { id: "new".to_owned(), name, role, ..AccessToken::default() };
        Ok(Response::new(CreateTokenResponse { token: Some(token), secret: "plugd_secret".to_owned() }))
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Answer<ListTokensResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(ListTokensResponse { tokens: lock(&self.tokens).clone(), ..ListTokensResponse::default() }))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Answer<RevokeTokenResponse> {
        self.begin(true, &request)?;
        let token = lock(&self.tokens).iter().find(|token| token.id == request.get_ref().token_id).cloned();
        Ok(Response::new(RevokeTokenResponse { token }))
    }

    async fn list_audit_events(&self, request: Request<ListAuditEventsRequest>) -> Answer<ListAuditEventsResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(lock(&self.audit).clone()))
    }
}
