//! The clients of the gRPC API, over whatever carries their calls.

use axum::{
    body::{Bytes, HttpBody},
    http::{Request, Response, uri::PathAndQuery},
};
use tonic::{Status, body::Body, client::Grpc};
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::{BoxError, Service, ServiceExt, util::BoxCloneSyncService};

use super::upload;
use crate::api::{
    MAX_MESSAGE,
    v1::{
        access_service_client::AccessServiceClient, configuration_service_client::ConfigurationServiceClient,
        log_service_client::LogServiceClient, package_service_client::PackageServiceClient,
        plugin_service_client::PluginServiceClient,
    },
};

/// What carries calls: a service in memory or a channel.
pub(super) type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// The gRPC API as the shim sees it.
#[derive(Clone)]
pub struct Backend {
    unary: Transport,
    bulk: Transport,
}

impl Backend {
    /// A backend that makes unary calls over one service and streams, uploads and downloads over another: over a
    /// network these should be two connections, because unread streams stall the calls beside them. A service in memory may be
    /// given twice.
    pub fn new<S, B>(unary: S, bulk: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { unary: boxed(unary), bulk: boxed(bulk) }
    }

    /// A client of plugins for calls with one short answer.
    pub(super) fn plugins(&self) -> PluginServiceClient<Transport> {
        PluginServiceClient::new(self.unary.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A client of plugins for watches and uploads.
    pub(super) fn plugins_in_bulk(&self) -> PluginServiceClient<Transport> {
        PluginServiceClient::new(self.bulk.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A client of packages for calls with one short answer.
    pub(super) fn packages(&self) -> PackageServiceClient<Transport> {
        PackageServiceClient::new(self.unary.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A client of packages for uploads and downloads.
    pub(super) fn packages_in_bulk(&self) -> PackageServiceClient<Transport> {
        PackageServiceClient::new(self.bulk.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A client of configurations.
    pub(super) fn configurations(&self) -> ConfigurationServiceClient<Transport> {
        ConfigurationServiceClient::new(self.unary.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A client of logs.
    pub(super) fn logs(&self) -> LogServiceClient<Transport> {
        LogServiceClient::new(self.bulk.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A client that tells who calls.
    pub(super) fn access(&self) -> AccessServiceClient<Transport> {
        AccessServiceClient::new(self.unary.clone())
    }

    /// Calls a method with an empty message.
    ///
    /// # Errors
    /// The service's.
    pub(super) async fn call_with_nothing(&self, method: PathAndQuery, call: tonic::Request<()>) -> Result<(), Status> {
        let mut client = Grpc::new(self.unary.clone());
        client.ready().await?;
        client.unary(call, method, ProstCodec::<(), ()>::default()).await.map(tonic::Response::into_inner)
    }

    /// A client of the standard health service.
    pub(super) fn health(&self) -> HealthClient<Transport> {
        HealthClient::new(self.unary.clone())
    }
}

fn boxed<S, B>(service: S) -> Transport
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = service
        .map_request(upload::fail_with_archive)
        .map_response(|response: Response<B>| response.map(Body::new))
        .map_err(|error| Status::from_error(error.into()));
    BoxCloneSyncService::new(service)
}
