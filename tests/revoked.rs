//! A token that is revoked, or whose time is up, ends the streams that were opened with it.

use plugd::api::v1::{
    CreateTokenRequest,
    ReportedState::Inactive,
    RevokeTokenRequest, Role, ServeHostRequest, ServeHostResponse,
    serve_host_request::{Message, Register},
};
use tokio_stream::StreamExt;
use tonic::{Code, Status, Streaming};

use crate::harness::{Api, LogStream, Plugd, Rest, Sse, Watch, reason, rest_shim, within};

/// Every kind of stream that there is.
struct Streams {
    watch: Watch,
    logs: LogStream,
    serving: Streaming<ServeHostResponse>,
    /// Watches and logs through REST: in plugd, and in a process of its own.
    events: Vec<(Sse, Sse)>,
}

impl Streams {
    /// Opens them all; they are about this plugin.
    async fn open(id: &str, api: &Api, rests: &[Rest]) -> Self {
        let mut events = Vec::new();
        for rest in rests {
            let mut watch = rest.stream("/api/plugins/watch", &[]);
            watch.until(|event| event.name == "snapshot_end").await;
            let mut logs = rest.stream(&format!("/api/plugins/{id}/logs"), &[]);
            assert!(logs.head().await[0].contains(" 200"), "it is open");
            events.push((watch, logs));
        }
        Self { watch: api.live().await, logs: api.logs(id).await, serving: serve(api).await, events }
    }

    /// Waits until they all have ended for want of a good token.
    async fn end(mut self) {
        assert_ended(&self.watch.end().await);
        assert_ended(&self.logs.end().await.unwrap_err());
        assert_ended(&within("the end of what an application is told", last(&mut self.serving)).await);
        for (mut watch, mut logs) in self.events {
            let last = watch.until(|event| event.name == "error").await.pop().unwrap();
            assert_eq!(last.json()["error"], "unauthenticated");
            assert_eq!(watch.event().await, None);
            logs.until(|event| event.name == "end").await;
            assert_eq!(logs.event().await, None);
        }
    }
}

#[track_caller]
fn assert_ended(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
}

/// Serves as an application, and returns once plugd knows.
async fn serve(api: &Api) -> Streaming<ServeHostResponse> {
    let register = Message::Register(Register { methods: vec!["*".to_owned()] });
    let messages = tokio_stream::iter([ServeHostRequest { message: Some(register) }]).chain(tokio_stream::pending());
    let mut serving = within("serving", api.bus().serve_host(messages)).await.unwrap().into_inner();
    within("the registration", serving.message()).await.unwrap().expect("that it is registered");
    serving
}

async fn last(serving: &mut Streaming<ServeHostResponse>) -> Status {
    loop {
        if let Err(status) = serving.message().await {
            return status;
        }
    }
}

#[tokio::test]
async fn streams_end_when_their_token_is_revoked() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let (token_id, token) = plugd.api().create_token("soon gone", Role::Admin).await;
    let (_shim, shim) = rest_shim(&plugd).await;
    let rests = [plugd.rest_as(Some(&token)), shim.with_token(&token)];
    let streams = Streams::open(&id, &plugd.api_as(Some(&token)), &rests).await;
    let mut other = plugd.api().live().await;

    plugd.api().access().revoke_token(RevokeTokenRequest { token_id }).await.unwrap();

    streams.end().await;
    plugd.api().deactivate(&id).await.unwrap();
    other.until_state(&id, Inactive).await;
}

#[tokio::test]
async fn streams_end_when_the_time_of_their_token_is_up() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    // Long enough for them all to be opened on a busy host.
    let ttl = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    let request = CreateTokenRequest { name: "short".to_owned(), role: Role::Admin.into(), ttl };
    let token = plugd.api().access().create_token(request).await.unwrap().into_inner().secret;
    let streams = Streams::open(&id, &plugd.api_as(Some(&token)), &[plugd.rest_as(Some(&token))]).await;
    streams.end().await;
}
