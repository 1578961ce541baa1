//! Messages between plugins and the application.

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
use tonic::{Code, Streaming};

use crate::harness::{Api, Plugd, reason, within};

fn fields(value: &Value) -> Option<prost_types::Struct> {
    Some(to_struct(value.as_object().unwrap()).unwrap())
}

#[tokio::test]
async fn an_event_reaches_the_plugins_that_consume_it_contract_12() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let publish = async |name: &str| {
        let payload = fields(&json!({"id": "9m4e2mr0ui3e8a215n4g"}));
        let answer = api.bus().publish_event(PublishEventRequest { name: name.to_owned(), payload }).await.unwrap();
        (answer.get_ref().matched, answer.get_ref().accepted)
    };

    assert_eq!(publish("EventThreadPublished").await, (1, 1));
    assert_eq!(publish("EventNobodyConsumes").await, (0, 0));

    let event = api.logs(&id).await.find("request event ").await;
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event, json!({"event": "EventThreadPublished", "id": "9m4e2mr0ui3e8a215n4g"}));
    let bad = PublishEventRequest { name: "not a name".to_owned(), payload: None };
    assert_eq!(api.bus().publish_event(bad).await.unwrap_err().code(), Code::InvalidArgument);
}

async fn call(api: &Api, id: &str, method: &str, params: &Value) -> Result<Value, tonic::Status> {
    let timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request =
        CallPluginRequest { plugin_id: id.to_owned(), method: method.to_owned(), params: fields(params), timeout };
    let answer = within("a call", api.bus().call_plugin(request)).await?.into_inner();
    Ok(Value::Object(from_struct(&answer.result.unwrap())))
}

#[tokio::test]
async fn a_call_returns_what_the_plugin_answers() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let params = json!({"arguments": {"text": "hi"}});
    assert_eq!(reason(&call(&api, &id, "robot_tool_call", &params).await.unwrap_err()), "PLUGIN_NOT_CONNECTED");
    api.activate(&id).await.unwrap();

    let result = call(&api, &id, "robot_tool_call", &params).await.unwrap();
    assert_eq!(result["output"], json!({"text": "hi"}));
    let failed = call(&api, &id, "no_such_method", &json!({})).await.unwrap_err();
    assert_eq!((failed.code(), reason(&failed).as_str()), (Code::FailedPrecondition, "PLUGIN_CALL_FAILED"));
    assert!(failed.message().contains("-32601"), "{failed}");
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_its_deadline_and_when_the_plugin_is_gone() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let deaf = api.run(&["deaf"]).await;
    let late = call(&api, &deaf, "robot_tool_call", &json!({})).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "PLUGIN_CALL_TIMED_OUT"));
}

#[tokio::test]
async fn methods_that_nobody_serves_are_answered_with_32601_contract_11_4() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["ask", "no_such_method"]).await;
    let failure = api.logs(&id).await.find("failure ").await;
    assert!(failure.contains("-32601"), "{failure}");
    let id = api.run(&["ask", "robot_run"]).await;
    let result: Value = serde_json::from_str(&api.logs(&id).await.find("result ").await).unwrap();
    assert!(result["error"].is_string() && result["session_id"].is_string(), "{result}");
}

#[tokio::test]
async fn an_application_serves_what_plugins_call_and_its_end_fails_what_is_open() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (mut host, mut calls) = serve(&api, &["robot_run", "look_up"]).await;

    let id = api.run(&["ask", "robot_run"]).await;
    let call = next_call(&mut calls).await;
    assert_eq!(
        (call.plugin_id.as_str(), call.method.as_str(), call.manifest_id.as_str()),
        (id.as_str(), "robot_run", "chaos")
    );
    let outcome = from_host::reply::Outcome::Result(fields(&json!({"session_id": "s"})).unwrap());
    reply(&mut host, &call.call_id, outcome).await;
    let result: Value = serde_json::from_str(&api.logs(&id).await.find("result ").await).unwrap();
    assert_eq!(result, json!({"method": "robot_run", "session_id": "s"}));

    let id = api.run(&["ask", "look_up"]).await;
    next_call(&mut calls).await;
    drop((host, calls));
    api.logs(&id).await.find("failure ").await;
}

async fn serve(api: &Api, methods: &[&str]) -> (mpsc::Sender<ServeHostRequest>, Streaming<ServeHostResponse>) {
    let (sender, receiver) = mpsc::channel(8);
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    let register = from_host::Message::Register(from_host::Register { methods });
    sender.send(ServeHostRequest { message: Some(register) }).await.unwrap();
    let mut calls = within("serving", api.bus().serve_host(ReceiverStream::new(receiver))).await.unwrap().into_inner();
    let first = within("registration", calls.message()).await.unwrap().unwrap();
    assert!(matches!(first.message, Some(to_host::Message::Registered(_))), "{first:?}");
    (sender, calls)
}

async fn next_call(calls: &mut Streaming<ServeHostResponse>) -> to_host::Call {
    match within("a call", calls.message()).await.unwrap().unwrap().message {
        Some(to_host::Message::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

async fn reply(host: &mut mpsc::Sender<ServeHostRequest>, call_id: &str, outcome: from_host::reply::Outcome) {
    let reply = from_host::Reply { call_id: call_id.to_owned(), outcome: Some(outcome) };
    host.send(ServeHostRequest { message: Some(from_host::Message::Reply(reply)) }).await.unwrap();
}
