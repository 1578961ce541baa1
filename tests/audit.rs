//! Who did what: the audit trail.

use plugd::api::v1::{
    AuditEvent, CreateTokenRequest, ListAuditEventsRequest, RevokeTokenRequest, Role, RollbackPackageRequest,
    RotateTokenRequest, UpdateConfigurationRequest, UpdateManifestRequest, UpdatePackageRequest,
    audit_event::Principal,
    update_package_request::{Header, Part},
};
use serde_json::json;
use tonic::Code;

use crate::harness::{Api, Body, Plugd, chaos, external_manifest, reason, rest_shim, within};

/// The events that are asked for, oldest first.
async fn audited(plugd: &Plugd, request: ListAuditEventsRequest) -> Vec<AuditEvent> {
    let listed = plugd.api().access().list_audit_events(request).await.unwrap().into_inner();
    let ids: Vec<_> = listed.events.iter().map(|event| event.id).collect();
    assert!(ids.is_sorted_by(|one, other| one > other), "newest first: {ids:?}");
    listed.events.into_iter().rev().collect()
}

async fn all(plugd: &Plugd) -> Vec<AuditEvent> {
    audited(plugd, ListAuditEventsRequest::default()).await
}

/// What was called, about which plugin, and how it ended.
fn told(event: &AuditEvent) -> (&str, &str, &str) {
    let method = event.method.rsplit('/').next().unwrap();
    (method, event.plugin_id.as_deref().unwrap_or_default(), &event.code)
}

fn by(event: &AuditEvent) -> &Principal {
    event.principal.as_ref().unwrap()
}

#[tokio::test]
async fn every_write_is_told_of_with_the_plugin_that_it_was_about() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let configuration = UpdateConfigurationRequest { plugin_id: id.clone(), ..Default::default() };
    api.configurations().update_configuration(configuration).await.unwrap_err();
    api.restart(&id).await.unwrap();
    api.deactivate(&id).await.unwrap();
    update(&api, &id).await;
    let back = RollbackPackageRequest { plugin_id: id.clone(), ..Default::default() };
    within("a rollback", api.packages().rollback_package(back)).await.unwrap();
    api.delete(&id).await.unwrap();
    let outside = api.register(&external_manifest("outside")).await.unwrap().id;
    let manifest = UpdateManifestRequest { plugin_id: outside.clone(), ..Default::default() };
    api.plugins().update_manifest(manifest).await.unwrap_err();
    api.plugins().rotate_token(RotateTokenRequest { plugin_id: outside.clone(), ..Default::default() }).await.unwrap();
    api.delete("nonsense").await.unwrap_err();

    let events = all(&plugd).await;

    let expected = [
        ("InstallPlugin", &*id, "OK"),
        ("SetActiveState", &id, "OK"),
        ("UpdateConfiguration", &id, "INVALID_ARGUMENT"),
        ("RestartPlugin", &id, "OK"),
        ("SetActiveState", &id, "OK"),
        ("UpdatePackage", &id, "OK"),
        ("RollbackPackage", &id, "OK"),
        ("DeletePlugin", &id, "OK"),
        ("RegisterExternalPlugin", &outside, "OK"),
        ("UpdateManifest", &outside, "INVALID_ARGUMENT"),
        ("RotateToken", &outside, "OK"),
        ("DeletePlugin", "", "NOT_FOUND"),
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(events.iter().all(|event| event.address == "127.0.0.1" && event.trace_id.len() == 32), "{events:?}");
    assert!(events.iter().all(|event| (by(event).name.as_str(), by(event).role()) == ("admin.token", Role::Admin)));
    assert_eq!(events[2].reason, "INVALID_ARGUMENT");
}

async fn update(api: &Api, id: &str) {
    let header = Header { plugin_id: id.to_owned(), ..Header::default() };
    let parts = [Part::Header(header), Part::Chunk(chaos(&["print-env"]))];
    let messages = parts.map(|part| UpdatePackageRequest { part: Some(part) });
    within("an update", api.packages().update_package(tokio_stream::iter(messages))).await.unwrap();
}

#[tokio::test]
async fn tokens_are_told_of_by_their_ids_and_no_secret_ever_is() {
    let plugd = Plugd::start().await;
    let (token_id, secret) = plugd.api().create_token("soon gone", Role::Viewer).await;
    plugd.api_as(Some(&secret)).access().create_token(CreateTokenRequest::default()).await.unwrap_err();
    let revoke = RevokeTokenRequest { token_id: token_id.clone() };
    plugd.api().access().revoke_token(revoke.clone()).await.unwrap();
    plugd.api().access().revoke_token(revoke).await.unwrap_err();
    plugd.api_as(Some(&secret)).delete("nobody").await.unwrap_err();

    let events = all(&plugd).await;

    let ends: Vec<_> = events.iter().map(|event| (told(event).0, event.reason.as_str())).collect();
    let expected = [
        ("CreateToken", ""),
        ("CreateToken", "PERMISSION_DENIED"),
        ("RevokeToken", ""),
        ("RevokeToken", "TOKEN_NOT_FOUND"),
    ];
    assert_eq!(ends, expected, "nothing of who has no good token");
    assert_eq!(events[0].token_id(), token_id);
    let viewer = Principal { token_id: token_id.clone(), name: "soon gone".to_owned(), role: Role::Viewer.into() };
    assert_eq!(by(&events[1]), &viewer, "though it is revoked");
    assert!(!format!("{events:?}").contains(&secret));
}

#[tokio::test]
async fn the_trail_is_for_administrators_and_its_pages_for_the_filters_that_they_were_made_for() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (viewer_id, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let as_viewer = plugd.api_as(Some(&viewer));
    as_viewer.delete(&id).await.unwrap_err();
    as_viewer.delete(&id).await.unwrap_err();
    as_viewer.restart(&id).await.unwrap_err();
    as_viewer.deactivate(&id).await.unwrap_err();
    let request = ListAuditEventsRequest::default();
    let refused = plugd.api_as(Some(&viewer)).access().list_audit_events(request.clone()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));

    let of_viewer = ListAuditEventsRequest { principal_token_id: Some(viewer_id), page_size: 2, ..request.clone() };
    let first = plugd.api().access().list_audit_events(of_viewer.clone()).await.unwrap().into_inner();
    let next = ListAuditEventsRequest { page_token: first.next_page_token.clone(), ..of_viewer.clone() };
    let second = plugd.api().access().list_audit_events(next.clone()).await.unwrap().into_inner();
    let ids: Vec<_> = first.events.iter().chain(&second.events).map(|event| event.id).collect();
    assert_eq!((ids, second.next_page_token.as_str()), (vec![5, 4, 3], ""));

    let of_other = ListAuditEventsRequest { principal_token_id: None, ..next };
    for wrong in [
        of_other,
        ListAuditEventsRequest { page_size: -1, ..request.clone() },
        ListAuditEventsRequest { plugin_id: Some("nothing".into()), ..request.clone() },
        ListAuditEventsRequest { principal_token_id: Some("nobody".into()), ..request.clone() },
        ListAuditEventsRequest { method: Some("GetPlugin".into()), ..request.clone() },
    ] {
        let refused = plugd.api().access().list_audit_events(wrong.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong:?}");
    }
    let of_plugin = ListAuditEventsRequest { plugin_id: Some(id), ..request.clone() };
    assert_eq!(audited(&plugd, of_plugin).await.iter().map(|event| event.id).collect::<Vec<_>>(), [1]);
    let of_method = ListAuditEventsRequest { method: Some("CreateToken".into()), ..request };
    assert_eq!(audited(&plugd, of_method).await.iter().map(|event| event.id).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn what_is_done_over_rest_is_told_of_its_caller() {
    let plugd = Plugd::start().await;
    let id = plugd.rest().install(chaos(&["tame"])).await;
    let (viewer_id, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let traced = ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"];
    let body = Body::Json(json!({"active": "active"}));
    plugd.rest().send("PATCH", &format!("/api/plugins/{id}/active"), body, &traced).await.expect(200);
    plugd.rest_as(Some(&viewer)).delete(&format!("/api/plugins/{id}")).await.problem(403);
    plugd.rest_as(Some(&viewer)).get(&format!("/api/plugins/{id}")).await.expect(200);
    plugd.rest_as(Some("stranger")).delete(&format!("/api/plugins/{id}")).await.problem(401);

    let events = all(&plugd).await;

    let expected = [
        ("InstallPlugin", &*id, "OK"),
        ("CreateToken", "", "OK"),
        ("SetActiveState", &id, "OK"),
        ("DeletePlugin", "", "PERMISSION_DENIED"),
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(events.iter().all(|event| event.address == "127.0.0.1"), "{events:?}");
    assert_eq!(events[2].trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((by(&events[3]).token_id.as_str(), by(&events[3]).role()), (viewer_id.as_str(), Role::Viewer));
}

/// Through a shim, and a proxy before it, an address is believed that a trusted proxy names.
#[tokio::test]
async fn the_address_of_a_caller_comes_through_the_proxies_that_are_trusted() {
    for (trusted, address) in [("127.0.0.1", "192.0.2.7"), ("192.0.2.9", "127.0.0.1")] {
        let plugd = Plugd::with(&[("PLUGD_TRUSTED_PROXIES", trusted)]).await;
        let (_shim, rest) = rest_shim(&plugd).await;
        for rest in [rest, plugd.rest()] {
            let forwarded = ["x-forwarded-for: \u{fc}, 1.1.1.1, 192.0.2.7"];
            rest.send("DELETE", "/api/plugins/9m4e2mr0ui3e8a215n4g", Body::None, &forwarded).await.problem(404);
        }
        let addresses: Vec<_> = all(&plugd).await.into_iter().map(|event| event.address).collect();
        assert_eq!(addresses, [address; 2]);
    }
}

#[tokio::test]
async fn the_trail_survives_a_stop_and_keeps_what_it_is_told_to_keep() {
    let mut plugd = Plugd::with(&[("PLUGD_AUDIT_KEEP", "20")]).await;
    let id = plugd.api().install(&["tame"]).await;
    for _ in 0..30 {
        plugd.api().delete("nobody").await.unwrap_err();
    }
    let (status, _) = plugd.sigterm().await;
    assert!(status.success(), "{status}");
    plugd.restart().await;
    let kept = all(&plugd).await;
    assert!((20..=22).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().id, 31);
    plugd.api().delete(&id).await.unwrap();
    assert_eq!(
        all(&plugd).await.last().map(|event| (event.id, told(event).0.to_owned())),
        Some((32, "DeletePlugin".to_owned()))
    );
}

/// Who goes away before the answer has changed something all the same.
#[tokio::test]
async fn a_caller_who_does_not_wait_for_the_answer_is_told_of() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["hang"]).await;
    let (api, plugin) = (plugd.api(), id.clone());
    let mut watch = plugd.api().live().await;
    let call = tokio::spawn(async move { api.activate(&plugin).await });
    watch.until(|event| event.plugin_id == id).await;
    call.abort();
    let cancelled = async {
        loop {
            let of_plugin = ListAuditEventsRequest { plugin_id: Some(id.clone()), ..Default::default() };
            let events = audited(&plugd, of_plugin).await;
            if let [_, event] = &events[..] {
                return (told(event).0.to_owned(), event.code.clone());
            }
        }
    };
    let found = within("the event of a call that was given up", cancelled).await;
    assert_eq!(found, ("SetActiveState".to_owned(), "CANCELLED".to_owned()));
}
