//! Who may do what.

use plugd::api::v1::{
    CreateTokenRequest, InstallPluginRequest, ListPluginsRequest, ListTokensRequest, PluginView, PublishEventRequest,
    RevokeTokenRequest, Role, WatchStateRequest,
    install_plugin_request::{Header, Part},
};
use serde_json::json;
use tokio_stream::StreamExt;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Body, Plugd, external_manifest, reason, within};

const GARBAGE: [Option<&str>; 3] = [None, Some(""), Some("sdpak_nobodynobodynobodynobodynobodynobodynobodynobody")];

#[track_caller]
fn assert_unauthenticated(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
}

#[track_caller]
fn assert_denied(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn without_a_credential_every_call_is_unauthenticated() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    for token in GARBAGE {
        let api = plugd.api_as(token);
        assert_unauthenticated(&api.list().await.unwrap_err());
        assert_unauthenticated(&api.activate(&id).await.unwrap_err());
        assert_unauthenticated(&api.upload(b"garbage".to_vec()).await.unwrap_err());
        assert_unauthenticated(&api.watch(WatchStateRequest::default()).await.err().unwrap());
        assert_unauthenticated(&api.access().list_tokens(ListTokensRequest::default()).await.unwrap_err());
        assert_unauthenticated(&api.bus().publish_event(PublishEventRequest::default()).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_viewer_reads_and_watches_and_changes_nothing() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (_, token) = plugd.api().create_token("viewer", Role::Viewer).await;
    let (api, rest) = (plugd.api_as(Some(&token)), plugd.rest_as(Some(&token)));

    assert_eq!(api.list().await.unwrap().len(), 1);
    api.get(&id).await.unwrap();
    api.watch(WatchStateRequest::default()).await.unwrap();
    api.logs(&id).await;
    assert_eq!(rest.list().await.len(), 1);

    assert_denied(&api.activate(&id).await.unwrap_err());
    assert_denied(&api.delete(&id).await.unwrap_err());
    assert_denied(&api.restart(&id).await.unwrap_err());
    assert_denied(&api.upload(b"garbage".to_vec()).await.unwrap_err());
    assert_denied(&api.bus().publish_event(PublishEventRequest::default()).await.unwrap_err());
    assert_denied(&api.access().list_tokens(ListTokensRequest::default()).await.unwrap_err());
    assert_eq!(rest.set_active(&id, "active").await.problem(403)["error"], "permission_denied");
    rest.delete(&format!("/api/plugins/{id}")).await.problem(403);
}

#[tokio::test]
async fn a_host_has_the_bus_and_nothing_else() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (_, token) = plugd.api().create_token("host", Role::Host).await;
    let (api, rest) = (plugd.api_as(Some(&token)), plugd.rest_as(Some(&token)));

    let event = PublishEventRequest { name: "EventThreadPublished".to_owned(), payload: None };
    api.bus().publish_event(event).await.unwrap();

    assert_denied(&api.list().await.unwrap_err());
    assert_denied(&api.activate(&id).await.unwrap_err());
    assert_denied(&api.watch(WatchStateRequest::default()).await.err().unwrap());
    rest.get("/api/plugins").await.problem(403);
}

#[tokio::test]
async fn a_revoked_token_is_useless_at_once() {
    let plugd = Plugd::start().await;
    let (token_id, token) = plugd.api().create_token("soon gone", Role::Admin).await;
    let api = plugd.api_as(Some(&token));
    api.list().await.unwrap();

    plugd.api().access().revoke_token(RevokeTokenRequest { token_id }).await.unwrap();

    assert_unauthenticated(&api.list().await.unwrap_err());
    plugd.rest_as(Some(&token)).get("/api/plugins").await.problem(401);
}

#[tokio::test]
async fn too_many_bad_tokens_are_refused_until_later_and_a_good_one_never_is() {
    let plugd = Plugd::start().await;
    let (bad, rest) = (plugd.api_as(Some("bad")), plugd.rest_as(Some("bad")));
    let over_grpc = async {
        loop {
            let refused = bad.list().await.unwrap_err();
            if refused.code() != Code::Unauthenticated {
                return refused;
            }
        }
    };
    let refused = within("the limit", over_grpc).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_FAILED_ATTEMPTS"));
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay.as_secs() < 60, "{delay:?}");
    let over_rest = async {
        loop {
            let refused = rest.get("/api/plugins").await;
            if refused.status != 401 {
                return refused;
            }
        }
    };
    let refused = within("the limit of both", over_rest).await;
    assert_eq!(refused.problem(429)["error"], "too_many_failed_attempts");
    let delay: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&delay), "{delay}");

    plugd.api().list().await.unwrap();
    let cookie = ["cookie: storyden-session=bad"];
    plugd.rest().send("GET", "/api/plugins", Body::None, &cookie).await.expect(200);
}

/// It may take ten minutes to come: long enough for whoever stole the token.
#[tokio::test]
async fn a_package_that_is_under_way_when_its_token_is_revoked_is_not_taken() {
    let plugd = Plugd::start().await;
    let (token_id, token) = plugd.api().create_token("soon gone", Role::Admin).await;
    let begin = InstallPluginRequest { part: Some(Part::Header(Header::default())) };
    let unfinished = tokio_stream::iter([begin]).chain(tokio_stream::pending());
    let api = plugd.api_as(Some(&token));
    let upload = tokio::spawn(async move { api.plugins().install_plugin(unfinished).await });
    plugd.api().access().revoke_token(RevokeTokenRequest { token_id }).await.unwrap();
    assert_unauthenticated(&within("the upload's end", upload).await.unwrap().unwrap_err());
}

#[tokio::test]
async fn the_last_administrators_token_cannot_be_revoked() {
    let plugd = Plugd::start().await;
    let mut access = plugd.api().access();
    let tokens = access.list_tokens(ListTokensRequest::default()).await.unwrap().into_inner().tokens;
    let admins: Vec<_> = tokens.iter().filter(|token| token.role() == Role::Admin).collect();
    let [first] = &admins[..] else { panic!("{tokens:?}") };

    let refused = access.revoke_token(RevokeTokenRequest { token_id: first.id.clone() }).await.unwrap_err();

    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "LAST_ADMIN_TOKEN"));
    plugd.api().list().await.unwrap();
}

#[tokio::test]
async fn a_token_stops_working_when_its_time_is_up() {
    let plugd = Plugd::start().await;
    let ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = CreateTokenRequest { name: "short".to_owned(), role: Role::Viewer.into(), ttl };
    let secret = plugd.api().access().create_token(request).await.unwrap().into_inner().secret;
    let api = plugd.api_as(Some(&secret));
    let refused = async {
        loop {
            if let Err(status) = api.list().await {
                return status;
            }
        }
    };
    assert_unauthenticated(&within("expiry", refused).await);
}

#[tokio::test]
async fn only_administrators_see_the_token_of_an_external_plugin() {
    let plugd = Plugd::start().await;
    let registered = plugd.api().register(&external_manifest("outside")).await.unwrap();
    assert!(registered.token().starts_with("sdprt_"));
    let (_, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;

    let (admin, reader) = (plugd.api(), plugd.api_as(Some(&viewer)));
    assert_eq!(admin.get_as(&registered.id, PluginView::Full).await.unwrap().token, registered.token);
    assert_eq!(admin.get(&registered.id).await.unwrap().token, None, "only who asks for it");
    assert_eq!(reader.get(&registered.id).await.unwrap().token, None);
    let refused = reader.get_as(&registered.id, PluginView::Full).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    let listed = ListPluginsRequest { view: PluginView::Full.into(), ..Default::default() };
    assert_eq!(
        admin.plugins().list_plugins(listed.clone()).await.unwrap().into_inner().plugins[0].token,
        registered.token
    );
    assert_eq!(reader.plugins().list_plugins(listed).await.unwrap_err().code(), Code::PermissionDenied);
    let shown = plugd.rest_as(Some(&viewer)).list().await;
    assert_eq!(shown[0]["connection"], json!({"mode": "external"}));
    let request = WatchStateRequest::default();
    for api in [admin, reader] {
        let mut watch = api.watch(request.clone()).await.unwrap();
        assert_eq!(watch.snapshot().await[0].token, None, "never in a watch");
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_gone_when_another_is_made() {
    let plugd = Plugd::start().await;
    let mut access = plugd.api().access();
    let ttl = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let request = CreateTokenRequest { name: "short".to_owned(), role: Role::Viewer.into(), ttl };
    access.create_token(request).await.unwrap();
    let is_gone = async {
        loop {
            plugd.api().create_token("another", Role::Viewer).await;
            let tokens = access.list_tokens(ListTokensRequest { page_size: 1000, ..Default::default() }).await.unwrap();
            if tokens.into_inner().tokens.iter().all(|token| token.name != "short") {
                return;
            }
        }
    };
    within("the removal", is_gone).await;
}
