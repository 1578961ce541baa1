//! A gRPC server with as little in it as tonic allows: an echo, and a broadcast to whoever listens.

use std::{convert::Infallible, future::ready};

use futures_util::future::BoxFuture;
use plugd::api::v1::{GetPluginRequest, GetPluginResponse, Plugin, PluginEvent};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::{Stream, StreamExt, wrappers::BroadcastStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

/// More than a listener is ever behind.
const BEHIND: usize = 1024;

/// Serves until it is killed.
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    eprintln!("serving on http://{}", listener.local_addr().unwrap());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(Bare(broadcast::Sender::new(BEHIND))).serve_with_incoming(incoming).await.unwrap();
}

/// Answers at once.
pub(crate) async fn echo(client: &mut tonic::client::Grpc<Channel>, plugin: Plugin) {
    let request = GetPluginResponse { plugin: Some(plugin) };
    call::<_, GetPluginResponse>(client, request, "/bare.Bare/Echo").await;
}

/// Tells every listener.
pub(crate) async fn publish(client: &mut tonic::client::Grpc<Channel>, event: PluginEvent) {
    call::<_, GetPluginRequest>(client, event, "/bare.Bare/Publish").await;
}

async fn call<Q, R>(client: &mut tonic::client::Grpc<Channel>, request: Q, path: &'static str)
where
    Q: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(Request::new(request), path, ProstCodec::<Q, R>::default()).await.unwrap();
}

/// Everything that is published from now on.
pub(crate) async fn listen(channel: Channel) -> Streaming<PluginEvent> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/bare.Bare/Listen");
    let request = Request::new(GetPluginRequest::default());
    client.server_streaming(request, path, ProstCodec::default()).await.unwrap().into_inner()
}

#[derive(Clone)]
struct Bare(broadcast::Sender<PluginEvent>);

impl NamedService for Bare {
    const NAME: &'static str = "bare.Bare";
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let publish = Publish(self.0.clone());
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/bare.Bare/Echo" => Grpc::new(ProstCodec::default()).unary(Echo, request).await,
                "/bare.Bare/Publish" => Grpc::new(ProstCodec::default()).unary(publish, request).await,
                _ => Grpc::new(ProstCodec::default()).server_streaming(Listen(publish.0), request).await,
            })
        })
    }
}

struct Echo;

impl UnaryService<GetPluginResponse> for Echo {
    type Response = GetPluginResponse;
    type Future = std::future::Ready<Result<Response<GetPluginResponse>, Status>>;

    fn call(&mut self, request: Request<GetPluginResponse>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

struct Publish(broadcast::Sender<PluginEvent>);

impl UnaryService<PluginEvent> for Publish {
    type Response = GetPluginRequest;
    type Future = std::future::Ready<Result<Response<GetPluginRequest>, Status>>;

    fn call(&mut self, request: Request<PluginEvent>) -> Self::Future {
        let _ = self.0.send(request.into_inner());
        ready(Ok(Response::new(GetPluginRequest::default())))
    }
}

struct Listen(broadcast::Sender<PluginEvent>);

impl ServerStreamingService<GetPluginRequest> for Listen {
    type Response = PluginEvent;
    type ResponseStream = std::pin::Pin<Box<dyn Stream<Item = Result<PluginEvent, Status>> + Send>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<GetPluginRequest>) -> Self::Future {
        let events = BroadcastStream::new(self.0.subscribe());
        let events = events.map(|event| event.map_err(|error| Status::data_loss(error.to_string())));
        ready(Ok(Response::new(Box::pin(events))))
    }
}
