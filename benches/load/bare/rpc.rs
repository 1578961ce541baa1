//! Its gRPC: answers what it keeps, and broadcasts.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::extract::ws::Utf8Bytes;
use futures_util::future::BoxFuture;
use plugd::api::v1::{
    CallPluginRequest, CallPluginResponse, GetPluginRequest, GetPluginResponse, ListPluginsRequest,
    ListPluginsResponse, PluginEvent, PublishEventRequest, PublishEventResponse,
};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt, wrappers::BroadcastStream};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::{Shared, web};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub(super) struct Bare(pub(super) Shared);

impl NamedService for Bare {
    const NAME: &'static str = "bare.Bare";
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/bare.Bare/Keep" => Grpc::new(ProstCodec::default()).unary(Keep(shared), request).await,
                "/bare.Bare/Get" => Grpc::new(ProstCodec::default()).unary(Get(shared), request).await,
                "/bare.Bare/List" => Grpc::new(ProstCodec::default()).unary(List(shared), request).await,
                "/bare.Bare/Publish" => Grpc::new(ProstCodec::default()).unary(Publish(shared), request).await,
                "/bare.Bare/Call" => Grpc::new(ProstCodec::default()).unary(Call(shared), request).await,
                _ => Grpc::new(ProstCodec::default()).server_streaming(Listen(shared), request).await,
            })
        })
    }
}

struct Keep(Shared);

impl UnaryService<ListPluginsResponse> for Keep {
    type Response = ListPluginsRequest;
    type Future = Ready<Answer<ListPluginsRequest>>;

    fn call(&mut self, request: Request<ListPluginsResponse>) -> Self::Future {
        *self.0.plugins.lock().unwrap() = request.into_inner();
        ready(Ok(Response::new(ListPluginsRequest::default())))
    }
}

struct Get(Shared);

impl UnaryService<GetPluginRequest> for Get {
    type Response = GetPluginResponse;
    type Future = Ready<Answer<GetPluginResponse>>;

    fn call(&mut self, _: Request<GetPluginRequest>) -> Self::Future {
        let plugin = self.0.plugins.lock().unwrap().plugins.first().cloned();
        ready(Ok(Response::new(GetPluginResponse { plugin })))
    }
}

struct List(Shared);

impl UnaryService<ListPluginsRequest> for List {
    type Response = ListPluginsResponse;
    type Future = Ready<Answer<ListPluginsResponse>>;

    fn call(&mut self, _: Request<ListPluginsRequest>) -> Self::Future {
        ready(Ok(Response::new(self.0.plugins.lock().unwrap().clone())))
    }
}

struct Listen(Shared);

impl ServerStreamingService<ListPluginsRequest> for Listen {
    type Response = PluginEvent;
    type ResponseStream = std::pin::Pin<Box<dyn Stream<Item = Result<PluginEvent, Status>> + Send>>;
    type Future = Ready<Answer<Self::ResponseStream>>;

    fn call(&mut self, _: Request<ListPluginsRequest>) -> Self::Future {
        let events = BroadcastStream::new(self.0.events.subscribe());
        let events = events.map(|event| event.map_err(|error| Status::data_loss(error.to_string())));
        // The first says that it listens.
        let events = tokio_stream::once(Ok(PluginEvent::default())).chain(events);
        ready(Ok(Response::new(Box::pin(events))))
    }
}

struct Publish(Shared);

impl UnaryService<PublishEventRequest> for Publish {
    type Response = PublishEventResponse;
    type Future = Ready<Answer<PublishEventResponse>>;

    fn call(&mut self, request: Request<PublishEventRequest>) -> Self::Future {
        let _ = self.0.messages.send(web::message(&request.into_inner().name));
        ready(Ok(Response::new(PublishEventResponse::default())))
    }
}

struct Call(Shared);

impl UnaryService<CallPluginRequest> for Call {
    type Response = CallPluginResponse;
    type Future = BoxFuture<'static, Answer<CallPluginResponse>>;

    fn call(&mut self, request: Request<CallPluginRequest>) -> Self::Future {
        let calls = self.0.calls.clone();
        Box::pin(async move {
            let (reply, replied) = oneshot::channel::<Utf8Bytes>();
            calls.send((web::message(&request.into_inner().method), reply)).await.unwrap();
            replied.await.unwrap();
            Ok(Response::new(CallPluginResponse::default()))
        })
    }
}
