//! Several plugd on one PostgreSQL: what each node answers. What happens when one goes is in `faults::nodes`.

use plugd::api::v1::{
    ListAuditEventsRequest, ListPluginEventsRequest, ListTokensRequest,
    ReportedState::{Active, Inactive},
    RevokeTokenRequest, Role, WatchStateRequest,
};
use tonic::Code;

use crate::harness::{Cluster, reason, role, state_of};

#[tokio::test]
async fn every_node_reads_what_the_leader_does() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.api(0);
    let id = leader.run(&["tame"]).await;
    let plugin = leader.get(&id).await.unwrap();
    for node in [1, 2] {
        let api = cluster.api(node);
        let mut watch = api.watch(WatchStateRequest::default()).await.unwrap();
        let seen = watch.snapshot().await;
        if !seen.iter().any(|plugin| plugin.id == id && state_of(plugin) == Active) {
            watch.until_state(&id, Active).await;
        }
        let found = api.get(&id).await.unwrap();
        assert_eq!((found.id, found.generation), (plugin.id.clone(), plugin.generation));
        assert_eq!(api.list().await.unwrap().len(), 1);
        let past = ListPluginEventsRequest { plugin_id: Some(id.clone()), ..Default::default() };
        assert!(!api.plugins().list_plugin_events(past).await.unwrap().into_inner().events.is_empty());
        let rest = cluster.nodes[node].rest();
        assert_eq!(rest.get("/readyz").await.status, 200);
        let role = role(&cluster.nodes[node]).await.unwrap();
        assert!(role.starts_with(&format!("this node follows {}", cluster.nodes[0].url())), "{role}");
    }
}

#[tokio::test]
async fn every_node_does_what_only_the_leader_can() {
    let cluster = Cluster::start(3).await;
    let (one, other) = (cluster.api(1), cluster.api(2));
    let id = one.install(&["tame"]).await;
    assert_eq!(state_of(&one.get(&id).await.unwrap()), Inactive, "who writes at a node reads there what it wrote");
    let active = one.activate(&id).await.unwrap();
    assert_eq!(state_of(&active), Active);
    let read = one.get(&id).await.unwrap();
    assert_eq!((state_of(&read), read.generation), (Active, active.generation));
    other.logs(&id).await.until("connected").await;

    let rest = cluster.nodes[2].rest();
    let answer = rest.set_active(&id, "inactive").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(state_of(&other.get(&id).await.unwrap()), Inactive);
    let refused = other.get("cccccccccccccccccccc").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "PLUGIN_NOT_FOUND"));
    let refused = other.activate("cccccccccccccccccccc").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "PLUGIN_NOT_FOUND"));
    let stranger = cluster.nodes[1].api_as(Some("plugd_nobodys"));
    assert_eq!(stranger.activate(&id).await.unwrap_err().code(), Code::Unauthenticated);
    // What was done through other nodes is in the one trail, with the address of the client.
    let events = one.access().list_audit_events(ListAuditEventsRequest::default()).await.unwrap().into_inner().events;
    assert!(
        events.iter().any(|event| event.method.ends_with("SetActiveState") && event.address == "127.0.0.1"),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_token_is_good_at_every_node_at_once_and_at_none_once_it_is_revoked() {
    let cluster = Cluster::start(2).await;
    let (id, secret) = cluster.api(0).create_token("viewer", Role::Viewer).await;
    let viewer = cluster.nodes[1].api_as(Some(&secret));
    assert_eq!(viewer.list().await.unwrap().len(), 0, "though this node has yet to hear of it");
    let mut watch = viewer.live().await;
    let tokens = cluster.api(1).access().list_tokens(ListTokensRequest::default()).await.unwrap().into_inner().tokens;
    assert!(tokens.iter().any(|token| token.id == id));
    cluster.api(0).access().revoke_token(RevokeTokenRequest { token_id: id }).await.unwrap();
    assert_eq!(watch.end().await.code(), Code::Unauthenticated);
    assert_eq!(viewer.list().await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_token_that_is_revoked_through_a_node_is_good_for_nothing_there_from_then_on() {
    let cluster = Cluster::start(2).await;
    let api = cluster.api(1);
    for _ in 0..5 {
        let (id, secret) = api.create_token("viewer", Role::Viewer).await;
        let viewer = cluster.nodes[1].api_as(Some(&secret));
        viewer.list().await.unwrap();
        api.access().revoke_token(RevokeTokenRequest { token_id: id }).await.unwrap();
        assert_eq!(viewer.list().await.unwrap_err().code(), Code::Unauthenticated);
    }
}

/// Each node is asked in turn where the one before it has ended.
#[tokio::test]
async fn a_watcher_that_changes_the_node_sees_every_revision_once() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.api(0);
    let id = leader.install(&["tame"]).await;
    let mut cursor = leader.live().await.cursor;
    let changing = async {
        for _ in 0..5 {
            leader.activate(&id).await.unwrap();
            leader.deactivate(&id).await.unwrap();
        }
        leader.get(&id).await.unwrap().revision
    };
    let watching = async {
        let mut seen = Vec::new();
        for node in [1, 2, 0].into_iter().cycle().take(12) {
            // The watch itself fails on a gap, and on what was seen already.
            let request = WatchStateRequest { start: Some(cursor.start()), ..Default::default() };
            let mut watch = cluster.api(node).watch(request).await.unwrap();
            seen.push(watch.event().await.unwrap().revision);
            cursor = watch.cursor.clone();
        }
        seen
    };
    let (_, seen) = tokio::join!(changing, watching);
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
}
