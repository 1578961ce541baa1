//! The application's end of the bus.

use std::time::Duration;

use plugd::api::{
    json::{from_struct, to_struct},
    v1::{
        CallPluginRequest, PublishEventRequest, ServeHostRequest, ServeHostResponse, serve_host_request as from_host,
        serve_host_response as to_host,
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::harness::{Api, within};

fn fields(value: &Value) -> prost_types::Struct {
    to_struct(value.as_object().unwrap()).unwrap()
}

/// Publishes an event; how many plugins matched and how many had room.
pub(crate) async fn publish(api: &Api, name: &str, payload: &Value) -> (u32, u32) {
    try_publish(api, name, payload).await.unwrap()
}

/// The same, which may be refused.
pub(crate) async fn try_publish(api: &Api, name: &str, payload: &Value) -> Result<(u32, u32), Status> {
    let request = PublishEventRequest { name: name.to_owned(), payload: Some(fields(payload)) };
    let answer = within("a publication", api.bus().publish_event(request)).await?.into_inner();
    Ok((answer.matched, answer.accepted))
}

/// Calls a plugin.
pub(crate) async fn call_plugin(
    api: &Api,
    id: &str,
    (method, params): (&str, Value),
    timeout: Duration,
) -> Result<Value, Status> {
    let request = CallPluginRequest {
        plugin_id: id.to_owned(),
        method: method.to_owned(),
        params: Some(fields(&params)),
        timeout: prost_types::Duration::try_from(timeout).ok(),
    };
    let answer = within("a call", api.bus().call_plugin(request)).await?.into_inner();
    Ok(Value::Object(from_struct(&answer.result.unwrap())))
}

/// An application that serves.
pub(crate) struct Application {
    sender: mpsc::Sender<ServeHostRequest>,
    stream: Streaming<ServeHostResponse>,
}

impl Application {
    /// Serves these methods from now on.
    pub(crate) async fn serve(api: &Api, methods: &[&str]) -> Self {
        let (sender, receiver) = mpsc::channel(8);
        let methods = methods.iter().map(|method| (*method).to_owned()).collect();
        let register = from_host::Message::Register(from_host::Register { methods });
        sender.send(ServeHostRequest { message: Some(register) }).await.unwrap();
        let serving = within("serving", api.bus().serve_host(ReceiverStream::new(receiver))).await;
        let mut application = Self { sender, stream: serving.unwrap().into_inner() };
        let first = application.message().await;
        assert!(matches!(first, to_host::Message::Registered(_)), "{first:?}");
        application
    }

    async fn message(&mut self) -> to_host::Message {
        within("a message", self.stream.message()).await.unwrap().unwrap().message.unwrap()
    }

    /// The next call.
    pub(crate) async fn call(&mut self) -> to_host::Call {
        match self.message().await {
            to_host::Message::Call(call) => call,
            other => panic!("not a call: {other:?}"),
        }
    }

    /// The call that nobody waits for any longer.
    pub(crate) async fn cancelled(&mut self) -> String {
        match self.message().await {
            to_host::Message::Cancelled(cancelled) => cancelled.call_id,
            other => panic!("not a cancellation: {other:?}"),
        }
    }

    /// Answers a call.
    pub(crate) async fn reply(&self, call: &to_host::Call, result: &Value) {
        self.conclude(call, from_host::reply::Outcome::Result(fields(result))).await;
    }

    /// Fails a call.
    pub(crate) async fn fail(&self, call: &to_host::Call, code: i32, message: &str) {
        let failure = from_host::RpcError { code, message: message.to_owned() };
        self.conclude(call, from_host::reply::Outcome::Error(failure)).await;
    }

    async fn conclude(&self, call: &to_host::Call, outcome: from_host::reply::Outcome) {
        let reply = from_host::Reply { call_id: call.call_id.clone(), outcome: Some(outcome) };
        let message = Some(from_host::Message::Reply(reply));
        self.sender.send(ServeHostRequest { message }).await.unwrap();
    }

    /// Answers every call with this result, to which `by` is added.
    pub(crate) fn answer_as(mut self, name: &'static str) {
        tokio::spawn(async move {
            while let Ok(Some(message)) = self.stream.message().await {
                if let Some(to_host::Message::Call(call)) = message.message {
                    self.reply(&call, &json!({"by": name})).await;
                }
            }
        });
    }
}
