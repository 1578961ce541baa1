//! The connection to a server: the generated clients, with the token and deadlines added, and the plugins that a person names.

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::health_client::HealthClient;

use super::{
    completions,
    failure::{Exit, Failure},
    global::{Credential, GlobalOptions},
};
use crate::{
    api::{
        self, MAX_MESSAGE, Unary,
        v1::{
            GetPluginRequest, ListPluginsRequest, Plugin, PluginView, log_service_client::LogServiceClient,
            package_service_client::PackageServiceClient, plugin_service_client::PluginServiceClient,
        },
    },
    domain::PluginId,
    tls,
};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call that waits for nothing may take.
pub(super) const QUICK: Duration = Duration::from_secs(30);
/// How long a call that waits for a plugin may take: the server's own maximum.
pub(super) const SETTLE: Duration = Duration::from_secs(5 * 60);
/// The time that a call gets beyond that which the server was told to wait, so that the server's own words arrive.
pub(super) const MARGIN: Duration = Duration::from_secs(5);
/// How many items are asked for at a time: of no list does a server give more.
const PAGE_SIZE: usize = 1000;
/// Bytes that may be under way on a connection of streams, so that one that is read slowly does not hold up the others.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;

pub(super) type Authorized = InterceptedService<Channel, Bearer>;

#[derive(Debug, Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A server. Streams have a connection of their own, so that a full one can't hold up calls.
#[derive(Debug, Clone)]
pub(super) struct Api {
    calls: Channel,
    streams: Channel,
    bearer: Bearer,
    credential: Credential,
    server: String,
}

impl Api {
    pub(super) async fn connect(options: &GlobalOptions) -> Result<Self, Failure> {
        let server = options.server().to_owned();
        let endpoint = endpoint(options)?;
        let unreachable = |error| Failure::from(&error).about(format_args!("can't connect to {server}"));
        let calls = endpoint.connect().await.map_err(unreachable)?;
        let streams = endpoint.initial_connection_window_size(STREAM_WINDOW).connect_lazy();
        let credential = options.credential()?;
        Ok(Self { calls, streams, bearer: bearer(credential.token.as_deref())?, credential, server })
    }

    /// Says what was tried if the server does not answer, or does not know who calls.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let is_unknown = failure.has_reason("UNAUTHENTICATED") || failure.has_reason("TOO_MANY_FAILED_ATTEMPTS");
        let is_silent = failure.reason.is_none() && matches!(failure.exit, Exit::Unavailable | Exit::Timeout);
        let failure = if is_unknown { failure.hint(&self.credential.hint) } else { failure };
        if (is_unknown || is_silent) && !failure.what.contains(&self.server) {
            return failure.about(&self.server);
        }
        failure
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The token that is shown to it; empty if there is none.
    pub(super) fn token(&self) -> &str {
        self.credential.token.as_deref().unwrap_or_default()
    }

    fn calls(&self) -> Authorized {
        InterceptedService::new(self.calls.clone(), self.bearer.clone())
    }

    /// Makes a call that must be answered within `limit`; the server is told.
    pub(super) async fn call<Q: Unary>(&self, limit: Duration, message: Q) -> Result<Q::Answer, Status> {
        within(limit, message, async |request| api::call(self.calls(), request).await).await
    }

    /// For uploads.
    pub(super) fn plugins(&self) -> PluginServiceClient<Authorized> {
        PluginServiceClient::new(self.calls()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// For uploads and downloads.
    pub(super) fn packages(&self) -> PackageServiceClient<Authorized> {
        PackageServiceClient::new(self.calls()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn health(&self) -> HealthClient<Authorized> {
        HealthClient::new(self.calls())
    }

    /// The streams of `PluginService`.
    pub(super) fn streams(&self) -> PluginServiceClient<Authorized> {
        let streams = InterceptedService::new(self.streams.clone(), self.bearer.clone());
        PluginServiceClient::new(streams).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn logs(&self) -> LogServiceClient<Authorized> {
        LogServiceClient::new(InterceptedService::new(self.streams.clone(), self.bearer.clone()))
    }
}

/// The same for any call.
pub(super) async fn within<Q, R>(
    limit: Duration,
    message: Q,
    send: impl AsyncFnOnce(Request<Q>) -> Result<Response<R>, Status>,
) -> Result<R, Status> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    match timeout(limit, send(request)).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))),
    }
}

/// Reads a list page by page, up to so many items. A page is asked for by its size and its token; it is its items, and the token
/// of the next page.
pub(super) async fn pages<Q: Unary, T>(
    api: &Api,
    limit: usize,
    ask: impl Fn(i32, String) -> Q,
    page: impl Fn(Q::Answer) -> (Vec<T>, String),
) -> Result<Vec<T>, Failure> {
    let (mut all, mut token) = (Vec::new(), String::new());
    while all.len() < limit {
        let size = i32::try_from((limit - all.len()).min(PAGE_SIZE)).unwrap_or(i32::MAX);
        let (some, next) = page(api.call(QUICK, ask(size, token)).await?);
        all.extend(some);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(all)
}

/// The field of an answer that a server always sets.
pub(super) fn present<T>(field: Option<T>) -> Result<T, Status> {
    field.ok_or_else(|| Status::internal("the server's answer is incomplete: is it a plugd of this version?"))
}

fn endpoint(options: &GlobalOptions) -> Result<Endpoint, Failure> {
    let endpoint = tls::endpoint(options.server(), &options.trust()).map_err(|error| {
        let failure = Failure::new(error.to_string()).exit(Exit::Usage);
        if matches!(error, tls::Error::Address(..)) {
            return failure.hint("write it like http://127.0.0.1:8000 or https://plugd.example");
        }
        failure
    })?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).http2_keep_alive_interval(Duration::from_secs(20)))
}

/// The failure to speak to a server in the clear, as what it is if that server encrypts.
pub(super) async fn diagnose(options: &GlobalOptions, failure: Failure) -> Failure {
    let is_plain = options.server().strip_prefix("http://");
    let Some(rest) = is_plain.filter(|_| failure.exit == Exit::Unavailable && failure.reason.is_none()) else {
        return failure;
    };
    let (server, address) = (options.server(), format!("https://{rest}"));
    // See whether a server that encrypts answers there, whoever it is.
    let anybody = tls::Trust { is_blind: true, ..tls::Trust::default() };
    let Ok(endpoint) = tls::endpoint(&address, &anybody) else { return failure };
    match timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
        Ok(Ok(_)) => Failure::new(format!("{server}: what answers there encrypts"))
            .hint(format!("write its address as {address}"))
            .exit(Exit::Unavailable),
        _ => failure,
    }
}

fn bearer(token: Option<&str>) -> Result<Bearer, Failure> {
    let Some(token) = token else { return Ok(Bearer(None)) };
    // Letters beyond ASCII would be sent, and be no token to the server.
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().ok().filter(|_| token.is_ascii());
    let mut value = value.ok_or_else(|| {
        Failure::new("the token has letters that no token has")
            .hint("copy it once more: letters, digits, - and _ only")
            .exit(Exit::Denied)
    })?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID", add = completions::plugins())]
    plugin: String,
}

impl One {
    pub(super) async fn id(&self, api: &Api) -> Result<String, Failure> {
        plugin_id(api, &self.plugin).await
    }

    pub(super) async fn get(&self, api: &Api) -> Result<Plugin, Failure> {
        plugin(api, &self.id(api).await?).await
    }
}

/// The id of the plugin that a person means: an id, or the manifest id or name of one plugin only. Manifest ids come first:
/// anybody may call a plugin as another one's manifest id.
pub(super) async fn plugin_id(api: &Api, text: &str) -> Result<String, Failure> {
    if text.parse::<PluginId>().is_ok() {
        return Ok(text.to_owned());
    }
    let mut found = with_manifest_id(api, text).await.map_err(by_id)?;
    if found.is_empty() {
        found = all_plugins(api, &ListPluginsRequest::default()).await.map_err(by_id)?;
        found.retain(|plugin| plugin.name == text);
    }
    only("plugin", "list", text, found.iter().map(|plugin| plugin.id.as_str()))
}

/// The only id of the plugins or tokens that are called so, which the command `list` shows.
pub(super) fn only<'a>(
    kind: &str,
    list: &str,
    text: &str,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<String, Failure> {
    match ids.into_iter().collect::<Vec<_>>().as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => Err(Failure::new(format!("there is no {kind} {text:?}"))
            .hint(format!("`plugd {list}` shows those that there are; an id or a name will do"))
            .exit(Exit::NotFound)),
        ids => Err(Failure::new(format!("{text:?} may be any of {} {kind}s", ids.len()))
            .hint(format!("give the id of the one that you mean: {}", ids.join(", ")))
            .exit(Exit::Usage)),
    }
}

pub(super) async fn plugin_ids(api: &Api, texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        ids.push(plugin_id(api, text).await?);
    }
    Ok(ids)
}

pub(super) async fn plugin(api: &Api, id: &str) -> Result<Plugin, Failure> {
    let request = GetPluginRequest { plugin_id: id.to_owned(), ..GetPluginRequest::default() };
    Ok(present(api.call(QUICK, request).await?.plugin)?)
}

/// The same plugin with its token, if it has one that the caller may see.
pub(super) async fn in_full(api: &Api, plugin: &Plugin) -> Plugin {
    let request = GetPluginRequest { plugin_id: plugin.id.clone(), view: PluginView::Full.into() };
    let full = api.call(QUICK, request).await;
    full.ok().and_then(|answer| answer.plugin).unwrap_or_else(|| plugin.clone())
}

pub(super) async fn with_manifest_id(api: &Api, id: &str) -> Result<Vec<Plugin>, Failure> {
    if id.is_empty() {
        return Ok(Vec::new());
    }
    all_plugins(api, &ListPluginsRequest { manifest_id: Some(id.to_owned()), ..ListPluginsRequest::default() }).await
}

/// All plugins that a request asks for.
pub(super) async fn all_plugins(api: &Api, request: &ListPluginsRequest) -> Result<Vec<Plugin>, Failure> {
    let ask = |page_size, page_token| ListPluginsRequest { page_size, page_token, ..request.clone() };
    pages(api, usize::MAX, ask, |page| (page.plugins, page.next_page_token)).await
}

/// The same failure, with what an application can do, which may not list the plugins.
fn by_id(failure: Failure) -> Failure {
    if failure.has_reason("PERMISSION_DENIED") {
        return failure.hint("to find a plugin by its name takes a token that may list them: give the plugin's id");
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ambiguous_name_is_an_error_that_lists_the_candidates() {
        let failure = only("plugin", "list", "same", ["id1", "id2"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().ends_with(": id1, id2"));
        assert_eq!(only("plugin", "list", "one", ["id1"]).unwrap(), "id1");
    }

    #[test]
    fn an_unknown_name_is_not_found_and_the_hint_is_to_list() {
        let failure = only("token", "token list", "ci", []).unwrap_err();
        assert_eq!((failure.exit, failure.what.as_str()), (Exit::NotFound, "there is no token \"ci\""));
        assert!(failure.hint.unwrap().starts_with("`plugd token list`"));
    }
}
