//! A server that answers as a test tells it to, and remembers what it was asked.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use tokio_stream::{Stream, StreamExt, iter, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::{
    self,
    v1::{
        log_service_server::{LogService, LogServiceServer},
        package_service_server::{PackageService, PackageServiceServer},
        plugin_service_server::{PluginService, PluginServiceServer},
        watch_state_request::Start,
        watch_state_response::{EventBatch, Frame, Opened, SnapshotChunk, SnapshotEnd},
        *,
    },
};

type Answer<T> = Result<Response<T>, Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the server answers and was asked.
#[derive(Default)]
struct State {
    plugins: Vec<Plugin>,
    pages: usize,
    credential: Option<String>,
    upload: (String, Vec<u8>),
    failure: Option<Status>,
    wait: Option<i64>,
    is_hanging: bool,
    calls: Vec<String>,
    watches: VecDeque<(Vec<WatchStateResponse>, Status)>,
    watched: Vec<String>,
    logs: VecDeque<(Vec<LogLine>, Option<Status>)>,
    logged: Vec<(Vec<String>, Option<u32>)>,
}

/// A running server.
pub(in crate::cli) struct Fake {
    /// Its address.
    pub(in crate::cli) url: String,
    state: Arc<Mutex<State>>,
}

struct Service(Arc<Mutex<State>>);

pub(in crate::cli) fn mk_plugin(id: &str, name: &str, state: ReportedState, revision: u64) -> Plugin {
    let manifest_id = Value { kind: Some(Kind::StringValue(name.to_lowercase())) };
    Plugin {
        id: id.to_owned(),
        name: name.to_owned(),
        mode: PluginMode::Supervised.into(),
        manifest: Struct { fields: [("id".to_owned(), manifest_id)].into() }.encode_to_vec().into(),
        status: Some(PluginStatus { state: state.into(), ..PluginStatus::default() }),
        revision,
        ..Plugin::default()
    }
}

pub(in crate::cli) fn mk_status(code: Code, reason: &str) -> Status {
    mk_status_with(code, reason, [])
}

pub(in crate::cli) fn mk_status_with<const N: usize>(code: Code, reason: &str, more: [(String, String); N]) -> Status {
    let suggested = (api::SUGGESTED.to_owned(), "do this".to_owned());
    let metadata: HashMap<_, _> = more.into_iter().chain([suggested]).collect();
    Status::with_error_details(code, "it broke", ErrorDetails::with_error_info(reason, api::ERROR_DOMAIN, metadata))
}

pub(in crate::cli) fn unavailable() -> Status {
    Status::unavailable("draining")
}

fn frame(revision: u64, frame: Frame) -> WatchStateResponse {
    WatchStateResponse { cursor: Some(format!("e:{revision}")), frame: Some(frame) }
}

/// Without a cursor, as before a snapshot.
pub(in crate::cli) fn opened(revision: u64) -> WatchStateResponse {
    let opened = Frame::Opened(Opened { head_revision: revision, compact_revision: 0 });
    WatchStateResponse { cursor: None, ..frame(revision, opened) }
}

pub(in crate::cli) fn snapshot(revision: u64, plugins: impl IntoIterator<Item = Plugin>) -> WatchStateResponse {
    let chunk = Frame::Snapshot(SnapshotChunk { plugins: plugins.into_iter().collect() });
    WatchStateResponse { cursor: None, ..frame(revision, chunk) }
}

pub(in crate::cli) fn end(revision: u64) -> WatchStateResponse {
    frame(revision, Frame::SnapshotEnd(SnapshotEnd {}))
}

pub(in crate::cli) fn events(revision: u64, events: impl IntoIterator<Item = PluginEvent>) -> WatchStateResponse {
    frame(revision, Frame::Events(EventBatch::of(&Vec::from_iter(events))))
}

impl Fake {
    /// Starts a server; it ends with the test's runtime.
    pub(in crate::cli) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let service = Arc::new(Service(Arc::clone(&state)));
        let server = Server::builder()
            .add_service(PluginServiceServer::from_arc(service.clone()))
            .add_service(PackageServiceServer::from_arc(service.clone()))
            .add_service(LogServiceServer::from_arc(service));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, state }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    pub(in crate::cli) fn set_plugins(&self, plugins: impl IntoIterator<Item = Plugin>) {
        self.with(|state| state.plugins = plugins.into_iter().collect());
    }

    pub(in crate::cli) fn fail_activation(&self, status: Status) {
        self.with(|state| state.failure = Some(status));
    }

    /// From now on, GetPlugin is not answered.
    pub(in crate::cli) fn hang(&self) {
        self.with(|state| state.is_hanging = true);
    }

    /// The next watch gets these frames and then this error.
    pub(in crate::cli) fn watch(&self, frames: impl IntoIterator<Item = WatchStateResponse>, end: Status) {
        self.with(|state| state.watches.push_back((frames.into_iter().collect(), end)));
    }

    /// The next log has these lines and then this error.
    pub(in crate::cli) fn log<const N: usize>(&self, lines: [&str; N], end: Option<Status>) {
        let lines =
            lines.map(|text| LogLine { text: text.to_owned(), cursor: format!("at {text}"), ..LogLine::default() });
        self.with(|state| state.logs.push_back((lines.into(), end)));
    }

    /// The calls that changed something since this was last asked.
    pub(in crate::cli) fn calls(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.calls))
    }

    pub(in crate::cli) fn pages_served(&self) -> usize {
        self.with(|state| state.pages)
    }

    pub(in crate::cli) fn credential(&self) -> Option<String> {
        self.with(|state| state.credential.clone())
    }

    pub(in crate::cli) fn upload(&self) -> (String, Vec<u8>) {
        self.with(|state| state.upload.clone())
    }

    /// The seconds that SetActiveState was to wait.
    pub(in crate::cli) fn wait_asked_for(&self) -> Option<i64> {
        self.with(|state| state.wait)
    }

    pub(in crate::cli) fn watches_asked_for(&self) -> Vec<String> {
        self.with(|state| state.watched.clone())
    }

    /// The cursors and tails that logs were asked with.
    pub(in crate::cli) fn logs_asked_for(&self) -> Vec<(Vec<String>, Option<u32>)> {
        self.with(|state| state.logged.clone())
    }
}

impl Service {
    /// Remembers a call.
    fn called(&self, name: &str) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap();
        state.calls.push(name.to_owned());
        state
    }
}

fn described(start: Option<&Start>) -> String {
    match start {
        None => "snapshot".to_owned(),
        Some(Start::LiveOnly(_)) => "live".to_owned(),
        Some(Start::Cursor(cursor)) => format!("after {cursor}"),
    }
}

fn unimplemented<T>() -> Answer<T> {
    Err(Status::unimplemented("the fake has no such method"))
}

#[tonic::async_trait]
impl PluginService for Service {
    type WatchStateStream = BoxStream<WatchStateResponse>;

    async fn rotate_token(&self, _: Request<RotateTokenRequest>) -> Answer<RotateTokenResponse> {
        unimplemented()
    }

    async fn list_plugin_events(&self, _: Request<ListPluginEventsRequest>) -> Answer<ListPluginEventsResponse> {
        unimplemented()
    }

    async fn install_plugin(&self, request: Request<Streaming<InstallPluginRequest>>) -> Answer<InstallPluginResponse> {
        let (mut parts, mut upload) = (request.into_inner(), (String::new(), Vec::new()));
        while let Some(part) = parts.next().await {
            match part?.part {
                Some(install_plugin_request::Part::Header(header)) => {
                    upload.0 = header.expected_digest.unwrap_or_default()
                }
                Some(install_plugin_request::Part::Chunk(bytes)) => upload.1.extend(bytes),
                None => {}
            }
        }
        let plugin = mk_plugin(super::ID, "Installed", ReportedState::Inactive, 1);
        let plugin = Plugin { package_digest: Some(upload.0.clone()), ..plugin };
        let mut state = self.called("install");
        state.upload = upload;
        state.plugins.push(plugin.clone());
        Ok(Response::new(InstallPluginResponse { plugin: Some(plugin) }))
    }

    /// One plugin a page.
    async fn list_plugins(&self, request: Request<ListPluginsRequest>) -> Answer<ListPluginsResponse> {
        let mut state = self.0.lock().unwrap();
        let credential = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        state.credential = credential.map(str::to_owned);
        state.pages += 1;
        let page: usize = request.get_ref().page_token.parse().unwrap_or_default();
        let wanted = request.get_ref().manifest_id();
        let is_wanted =
            |plugin: &&Plugin| wanted.is_empty() || crate::cli::show::manifest_id(plugin).as_deref() == Some(wanted);
        let plugins: Vec<Plugin> = state.plugins.iter().filter(is_wanted).cloned().collect();
        let next_page_token = if page + 1 < plugins.len() { (page + 1).to_string() } else { String::new() };
        let plugins = plugins.get(page).cloned().into_iter().collect();
        Ok(Response::new(ListPluginsResponse { plugins, next_page_token }))
    }

    async fn get_plugin(&self, request: Request<GetPluginRequest>) -> Answer<GetPluginResponse> {
        let is_hanging = self.0.lock().unwrap().is_hanging;
        if is_hanging {
            std::future::pending::<()>().await;
        }
        let id = &request.get_ref().plugin_id;
        let plugin = self.0.lock().unwrap().plugins.iter().find(|plugin| plugin.id == *id).cloned();
        match plugin {
            Some(plugin) => Ok(Response::new(GetPluginResponse { plugin: Some(plugin) })),
            None => Err(mk_status(Code::NotFound, "PLUGIN_NOT_FOUND")),
        }
    }

    async fn set_active_state(&self, request: Request<SetActiveStateRequest>) -> Answer<SetActiveStateResponse> {
        let mut state = self.called("activate");
        state.wait = request.get_ref().wait.as_ref().map(|wait| wait.seconds);
        let asked = &request.get_ref().plugin_id;
        match state.failure.take() {
            Some(status) => Err(status),
            None => {
                let plugin = state.plugins.iter().find(|plugin| plugin.id == *asked).cloned();
                Ok(Response::new(SetActiveStateResponse { plugin }))
            }
        }
    }

    async fn restart_plugin(&self, request: Request<RestartPluginRequest>) -> Answer<RestartPluginResponse> {
        let (state, asked) = (self.called("restart"), &request.get_ref().plugin_id);
        let plugin = state.plugins.iter().find(|plugin| plugin.id == *asked).cloned();
        Ok(Response::new(RestartPluginResponse { plugin }))
    }

    async fn delete_plugin(&self, request: Request<DeletePluginRequest>) -> Answer<DeletePluginResponse> {
        let (mut state, asked) = (self.called("delete"), &request.get_ref().plugin_id);
        let place = state.plugins.iter().position(|plugin| plugin.id == *asked);
        let plugin = place.map(|place| state.plugins.remove(place));
        Ok(Response::new(DeletePluginResponse { plugin }))
    }

    async fn register_external_plugin(
        &self,
        _: Request<RegisterExternalPluginRequest>,
    ) -> Answer<RegisterExternalPluginResponse> {
        let mut plugin = mk_plugin(super::ID, "Installed", ReportedState::Connecting, 1);
        plugin.set_mode(PluginMode::External);
        plugin.token = Some("sdprt_x".to_owned());
        self.called("register").plugins.push(plugin.clone());
        Ok(Response::new(RegisterExternalPluginResponse { plugin: Some(plugin) }))
    }

    async fn update_manifest(&self, _: Request<UpdateManifestRequest>) -> Answer<UpdateManifestResponse> {
        let plugin = self.called("update manifest").plugins.first().cloned();
        Ok(Response::new(UpdateManifestResponse { plugin }))
    }

    async fn watch_state(&self, request: Request<WatchStateRequest>) -> Answer<Self::WatchStateStream> {
        let mut state = self.0.lock().unwrap();
        state.watched.push(described(request.get_ref().start.as_ref()));
        let (frames, end) = state.watches.pop_front().ok_or_else(|| Status::internal("one watch too many"))?;
        let frames = frames.into_iter().map(Ok).chain([Err(end)]);
        Ok(Response::new(Box::pin(iter(frames.collect::<Vec<_>>()))))
    }
}

#[tonic::async_trait]
impl PackageService for Service {
    type DownloadPackageStream = BoxStream<DownloadPackageResponse>;

    async fn update_package(&self, request: Request<Streaming<UpdatePackageRequest>>) -> Answer<UpdatePackageResponse> {
        let mut parts = request.into_inner();
        let mut digest = None;
        while let Some(part) = parts.next().await.transpose()? {
            if let Some(crate::api::v1::update_package_request::Part::Header(header)) = part.part {
                digest = header.expected_digest;
            }
        }
        let mut state = self.called("update");
        if let Some(plugin) = state.plugins.first_mut() {
            plugin.previous_package_digest = std::mem::replace(&mut plugin.package_digest, digest);
        }
        Ok(Response::new(UpdatePackageResponse { plugin: state.plugins.first().cloned() }))
    }

    async fn rollback_package(&self, _: Request<RollbackPackageRequest>) -> Answer<RollbackPackageResponse> {
        unimplemented()
    }

    async fn download_package(&self, _: Request<DownloadPackageRequest>) -> Answer<Self::DownloadPackageStream> {
        unimplemented()
    }
}

#[tonic::async_trait]
impl LogService for Service {
    type StreamLogsStream = BoxStream<StreamLogsResponse>;

    async fn stream_logs(&self, request: Request<StreamLogsRequest>) -> Answer<Self::StreamLogsStream> {
        let mut state = self.0.lock().unwrap();
        state.logged.push((request.get_ref().cursors.clone(), request.get_ref().tail_lines));
        let (lines, end) = state.logs.pop_front().ok_or_else(|| Status::internal("one log too many"))?;
        let cursor = lines.last().map(|line| line.cursor.clone());
        let batch = StreamLogsResponse { lines, cursor, caught_up: true, ..StreamLogsResponse::default() };
        let batches = std::iter::once(Ok(batch)).chain(end.map(Err));
        Ok(Response::new(Box::pin(iter(batches.collect::<Vec<_>>()))))
    }
}
