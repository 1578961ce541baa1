//! Several plugd on one PostgreSQL: what each node answers. What happens when one goes is in `faults::nodes`.

use plugd::api::v1::{
    ListAuditEventsRequest, ListNodesRequest, ListPluginEventsRequest, ListTokensRequest, Node,
    ReportedState::{Active, Inactive},
    RevokeTokenRequest, Role, RunDoctorRequest, WatchStateRequest,
    finding::Outcome,
};
use tonic::{Code, Status};

use crate::harness::{Api, Cluster, Plugd, Run, cli, eventually_async, reason, role, state_of};

/// The nodes that this one tells of.
async fn nodes(api: &Api) -> Result<Vec<Node>, Status> {
    Ok(api.about().list_nodes(ListNodesRequest {}).await?.into_inner().nodes)
}

/// The same once they are like this.
async fn nodes_when(api: &Api, what: &str, is_so: impl Fn(&[Node]) -> bool) -> Vec<Node> {
    eventually_async(what, async || nodes(api).await.ok().filter(|nodes| is_so(nodes))).await
}

fn addresses(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.address.as_str()).collect()
}

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

#[tokio::test]
async fn every_node_tells_of_all_who_leads_and_how_far_each_is() {
    let cluster = Cluster::start(3).await;
    let id = cluster.api(0).install(&["tame"]).await;
    let head = cluster.api(0).get(&id).await.unwrap().revision;
    let mut expected: Vec<_> = cluster.nodes.iter().map(Plugd::url).collect();
    expected.sort_unstable();
    for node in 0..3 {
        let (_, viewer) = cluster.api(node).create_token("viewer", Role::Viewer).await;
        let api = cluster.nodes[node].api_as(Some(&viewer));
        let is_so = |found: &[Node]| found.len() == 3 && found.iter().all(|node| node.revision >= Some(head));
        let found = nodes_when(&api, "all nodes", is_so).await;
        assert_eq!(addresses(&found), expected);
        assert!(found.iter().all(|node| node.is_present && node.version == env!("CARGO_PKG_VERSION")), "{found:?}");
        let leads: Vec<_> = found.iter().filter_map(|node| Some((node.address.as_str(), node.term?))).collect();
        assert_eq!(leads, [(cluster.nodes[0].url().as_str(), 1)]);
    }
    let (_, host) = cluster.api(0).create_token("host", Role::Host).await;
    let refused = nodes(&cluster.nodes[0].api_as(Some(&host))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let told = cli(&cluster.nodes[1], &["server", "-o", "json"]).run().await.json();
    let told = told["nodes"].as_array().unwrap();
    assert_eq!(told.iter().map(|node| node["address"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    let table = cli(&cluster.nodes[2], &["server"]).run().await;
    assert!(table.text().contains("leads, term 1") && table.text().contains("follows"), "{table:?}");
    let page = cluster.nodes[2].rest().get("/server").await;
    let page = String::from_utf8_lossy(&page.bytes).into_owned();
    assert!(expected.iter().all(|address| page.contains(address.as_str())), "{page}");
}

#[tokio::test]
async fn a_node_that_is_killed_is_missed_and_one_that_is_stopped_is_forgotten() {
    let mut cluster = Cluster::start(3).await;
    let urls: Vec<_> = cluster.nodes.iter().map(Plugd::url).collect();
    let asked = cluster.api(1);
    nodes_when(&asked, "all nodes", |found| found.len() == 3).await;
    cluster.nodes[2].sigterm().await;
    let left = nodes_when(&asked, "its end", |found| found.len() == 2).await;
    assert!(!addresses(&left).contains(&urls[2].as_str()), "{left:?}");

    cluster.nodes[0].kill_9().await;
    let is_so = |found: &[Node]| found.iter().any(|node| !node.is_present);
    let found = nodes_when(&asked, "that it is missed", is_so).await;
    let missed: Vec<_> = found.iter().filter(|node| !node.is_present).collect();
    assert_eq!(missed.iter().map(|node| &node.address).collect::<Vec<_>>(), [&urls[0]]);
    let seconds = |node: &Node| node.seen_time.as_ref().unwrap().seconds;
    assert!(seconds(missed[0]) < seconds(&found[0]), "{found:?}");
    let leads = |found: &[Node]| found.iter().any(|node| node.address == urls[1] && node.term == Some(2));
    nodes_when(&asked, "the next leader", leads).await;
}

#[tokio::test]
async fn a_plugd_that_is_alone_tells_of_no_nodes() {
    let plugd = Plugd::start().await;
    assert_eq!(nodes(&plugd.api()).await.unwrap(), []);
    let told = cli(&plugd, &["server", "-o", "json"]).run().await.json();
    assert_eq!(told["nodes"], serde_json::json!([]));
}

#[tokio::test]
async fn the_doctor_looks_whether_each_node_is_reached_where_it_says() {
    let cluster = Cluster::start(2).await;
    nodes_when(&cluster.api(1), "both nodes", |found| found.len() == 2).await;
    let examined = async |node: usize| {
        let answer = cluster.api(node).about().run_doctor(RunDoctorRequest {}).await.unwrap().into_inner();
        let of_nodes = answer.findings.into_iter().filter(|finding| finding.subject.starts_with("node "));
        of_nodes.map(|finding| (finding.subject.clone(), finding.outcome(), finding.found)).collect::<Vec<_>>()
    };
    let found = examined(0).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|(_, outcome, _)| *outcome == Outcome::Ok), "{found:?}");

    cluster.nodes[1].suspend();
    let found = examined(0).await;
    cluster.nodes[1].resume();
    let of_frozen = found.iter().find(|(subject, ..)| subject.ends_with(&cluster.nodes[1].url())).unwrap();
    assert_ne!(of_frozen.1, Outcome::Ok, "{of_frozen:?}");
}
