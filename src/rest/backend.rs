//! The clients of the gRPC API, over whatever carries their calls.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Bytes, HttpBody},
    http::{Request, Response, uri::PathAndQuery},
};
use futures_util::{FutureExt, future::BoxFuture};
use tonic::{Status, body::Body, client::Grpc};
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::{BoxError, Service, ServiceExt};

use super::upload;
use crate::api::{
    self, MAX_MESSAGE, Unary,
    v1::{
        log_service_client::LogServiceClient, package_service_client::PackageServiceClient,
        plugin_service_client::PluginServiceClient,
    },
};

/// What is answered to a call.
type Answered = BoxFuture<'static, Result<Response<Body>, Status>>;

/// What carries calls: a service in memory or a channel. Always ready: a call waits for what carries it.
#[derive(Clone)]
pub(crate) struct Transport(Arc<dyn Fn(Request<Body>) -> Answered + Send + Sync>);

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answered {
        (self.0)(request)
    }
}

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
        let over = |service: S| {
            Transport(Arc::new(move |request| {
                let answer = service.clone().oneshot(upload::fail_with_archive(request));
                let answer = answer.map(|answer| match answer {
                    Ok(response) => Ok(response.map(Body::new)),
                    Err(error) => Err(Status::from_error(error.into())),
                });
                answer.boxed()
            }))
        };
        Self { unary: over(unary), bulk: over(bulk) }
    }

    pub(crate) async fn call<Q: Unary>(&self, request: tonic::Request<Q>) -> Result<Q::Answer, Status> {
        api::call(self.unary.clone(), request).await.map(tonic::Response::into_inner)
    }

    pub(crate) fn plugins_in_bulk(&self) -> PluginServiceClient<Transport> {
        PluginServiceClient::new(self.bulk.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(crate) fn packages_in_bulk(&self) -> PackageServiceClient<Transport> {
        PackageServiceClient::new(self.bulk.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(crate) fn logs(&self) -> LogServiceClient<Transport> {
        LogServiceClient::new(self.bulk.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Calls a method with an empty message.
    pub(crate) async fn call_with_nothing(&self, method: PathAndQuery, call: tonic::Request<()>) -> Result<(), Status> {
        let mut client = Grpc::new(self.unary.clone());
        client.ready().await?;
        client.unary(call, method, ProstCodec::<(), ()>::default()).await.map(tonic::Response::into_inner)
    }

    pub(crate) fn health(&self) -> HealthClient<Transport> {
        HealthClient::new(self.unary.clone())
    }
}
