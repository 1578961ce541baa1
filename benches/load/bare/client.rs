//! The gRPC client of the bare server.

use plugd::api::v1::{
    CallPluginRequest, CallPluginResponse, GetPluginRequest, GetPluginResponse, ListPluginsRequest,
    ListPluginsResponse, PluginEvent, PublishEventRequest, PublishEventResponse,
};
use tonic::{Request, Streaming, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

#[derive(Clone)]
pub(crate) struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    /// What reads are answered with from now on.
    pub(crate) async fn keep(&mut self, plugins: ListPluginsResponse) {
        self.call::<_, ListPluginsRequest>(plugins, "/bare.Bare/Keep").await;
    }

    pub(crate) async fn get(&mut self, plugin_id: String) -> GetPluginResponse {
        self.call(GetPluginRequest { plugin_id, view: 0 }, "/bare.Bare/Get").await
    }

    pub(crate) async fn list(&mut self) -> ListPluginsResponse {
        self.call(ListPluginsRequest::default(), "/bare.Bare/List").await
    }

    /// Sends a message to all WebSockets.
    pub(crate) async fn publish(&mut self, request: PublishEventRequest) {
        self.call::<_, PublishEventResponse>(request, "/bare.Bare/Publish").await;
    }

    /// Sends a message to one WebSocket, and waits for what comes back.
    pub(crate) async fn call_plugin(&mut self, request: CallPluginRequest) {
        self.call::<_, CallPluginResponse>(request, "/bare.Bare/Call").await;
    }

    /// Everything that is reported from now on.
    pub(crate) async fn listen(&mut self) -> Streaming<PluginEvent> {
        self.0.ready().await.unwrap();
        let path = PathAndQuery::from_static("/bare.Bare/Listen");
        let request = Request::new(ListPluginsRequest::default());
        let answer = self.0.server_streaming(request, path, ProstCodec::default()).await;
        let mut events: Streaming<PluginEvent> = answer.unwrap().into_inner();
        events.message().await.unwrap().unwrap();
        events
    }

    async fn call<Q, R>(&mut self, request: Q, path: &'static str) -> R
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        self.0.ready().await.unwrap();
        let path = PathAndQuery::from_static(path);
        self.0.unary(Request::new(request), path, ProstCodec::<Q, R>::default()).await.unwrap().into_inner()
    }
}
