//! The connection to a server: the generated clients, with the token and deadlines added.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Channel, Endpoint},
};

use super::{
    failure::{Exit, Failure, cause},
    options::{Credential, Options},
};
use crate::{
    api::MAX_MESSAGE,
    api::v1::{
        access_service_client::AccessServiceClient, bus_service_client::BusServiceClient,
        configuration_service_client::ConfigurationServiceClient, log_service_client::LogServiceClient,
        package_service_client::PackageServiceClient, plugin_service_client::PluginServiceClient,
    },
    tls,
};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call that waits for nothing may take.
pub(super) const QUICK: Duration = Duration::from_secs(30);
/// How long a call that waits for a plugin may take: the server's own maximum.
pub(super) const SETTLE: Duration = Duration::from_secs(5 * 60);
/// What a call gets beyond the time that the server was told to wait, so that the server's own words arrive.
pub(super) const MARGIN: Duration = Duration::from_secs(5);
/// Bytes that may be under way on a connection of streams, so that one that is read slowly does not hold up the others.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;

/// A channel that shows the token.
pub(super) type Authorized = InterceptedService<Channel, Bearer>;

/// Adds the token to each call.
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
    /// Connects to the server that the options name.
    pub(super) async fn connect(options: &Options) -> Result<Self, Failure> {
        let server = options.server().to_owned();
        let endpoint = endpoint(options)?;
        let calls = endpoint.connect().await.map_err(|error| unreachable(&server, &error))?;
        let streams = endpoint.initial_connection_window_size(STREAM_WINDOW).connect_lazy();
        let credential = options.credential()?;
        Ok(Self { calls, streams, bearer: bearer(credential.token.as_deref())?, credential, server })
    }

    /// Says what was tried if the server does not answer, or does not know who calls.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let is_unknown = failure.has_reason("UNAUTHENTICATED");
        let is_silent = failure.reason.is_none() && matches!(failure.exit, Exit::Unavailable | Exit::Timeout);
        let failure = if is_unknown { failure.hint(&self.credential.hint) } else { failure };
        if (is_unknown || is_silent) && !failure.what.contains(&self.server) {
            return failure.about(&self.server);
        }
        failure
    }

    /// The server's address.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The client of `PluginService` for calls.
    pub(super) fn plugins(&self) -> PluginServiceClient<Authorized> {
        let client = PluginServiceClient::with_interceptor(self.calls.clone(), self.bearer.clone());
        client.max_decoding_message_size(crate::api::MAX_MESSAGE)
    }

    /// The client of `PluginService` for streams.
    pub(super) fn streams(&self) -> PluginServiceClient<Authorized> {
        let client = PluginServiceClient::with_interceptor(self.streams.clone(), self.bearer.clone());
        client.max_decoding_message_size(crate::api::MAX_MESSAGE)
    }

    /// The client of `PackageService`.
    pub(super) fn packages(&self) -> PackageServiceClient<Authorized> {
        PackageServiceClient::with_interceptor(self.calls.clone(), self.bearer.clone())
            .max_decoding_message_size(MAX_MESSAGE)
    }

    /// The client of `ConfigurationService`.
    pub(super) fn configurations(&self) -> ConfigurationServiceClient<Authorized> {
        ConfigurationServiceClient::with_interceptor(self.calls.clone(), self.bearer.clone())
            .max_decoding_message_size(MAX_MESSAGE)
    }

    /// The client of `LogService`.
    pub(super) fn logs(&self) -> LogServiceClient<Authorized> {
        LogServiceClient::with_interceptor(self.streams.clone(), self.bearer.clone())
    }

    /// The client of `AccessService`.
    pub(super) fn access(&self) -> AccessServiceClient<Authorized> {
        AccessServiceClient::with_interceptor(self.calls.clone(), self.bearer.clone())
    }

    /// The client of `BusService`.
    pub(super) fn bus(&self) -> BusServiceClient<Authorized> {
        let client = BusServiceClient::with_interceptor(self.calls.clone(), self.bearer.clone());
        client.max_decoding_message_size(crate::api::MAX_MESSAGE)
    }
}

/// Makes a call that must be answered within `limit`; the server is told.
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

/// The field of an answer that a server always sets.
pub(super) fn present<T>(field: Option<T>) -> Result<T, Status> {
    field.ok_or_else(|| Status::internal("the server's answer is incomplete: is it a plugd of this version?"))
}

fn endpoint(options: &Options) -> Result<Endpoint, Failure> {
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
pub(super) async fn diagnose(options: &Options, failure: Failure) -> Failure {
    let is_plain = options.server().strip_prefix("http://");
    let Some(rest) = is_plain.filter(|_| failure.exit == Exit::Unavailable && failure.reason.is_none()) else {
        return failure;
    };
    let (server, address) = (options.server(), format!("https://{rest}"));
    if !is_encrypted(&address).await {
        return failure;
    }
    Failure::new(format!("{server}: what answers there encrypts"))
        .hint(format!("write its address as {address}"))
        .exit(Exit::Unavailable)
}

/// Does a server that encrypts answer there, whoever it is?
async fn is_encrypted(address: &str) -> bool {
    let anybody = tls::Trust { is_blind: true, ..tls::Trust::default() };
    let Ok(endpoint) = tls::endpoint(address, &anybody) else { return false };
    matches!(timeout(CONNECT_TIMEOUT, endpoint.connect()).await, Ok(Ok(_)))
}

fn bearer(token: Option<&str>) -> Result<Bearer, Failure> {
    let Some(token) = token else { return Ok(Bearer(None)) };
    let strange = || {
        Failure::new("the token has letters that no token has")
            .hint("copy it once more: letters, digits, - and _ only")
            .exit(Exit::Denied)
    };
    // Others would be sent, and be no token to the server.
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().ok().filter(|_| token.is_ascii());
    let mut value = value.ok_or_else(strange)?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

fn unreachable(server: &str, error: &transport::Error) -> Failure {
    let (cause, hint) = cause(error);
    Failure::new(format!("can't connect to {server}: {cause}"))
        .hint(hint.unwrap_or("start a server with `plugd serve`, or name one with --server"))
        .exit(Exit::Unavailable)
}
