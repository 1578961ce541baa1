//! Several plugd on one PostgreSQL, with plugins as pods: with the settings of the manifests, and the rights that they give plugd.

use plugd::api::v1::ReportedState::{Active, Inactive};
use serde_json::json;

use crate::{
    cluster::steady,
    deployment::{Account, cluster_of, pods_of, without_pods},
    harness::{Plugd, Server, eventually_async, message_of, role, state_of, status_of, zipped},
    service::Service,
};

/// Counts in its log, beside a plugin that dials again when its connection is lost.
const SCRIPT: &[u8] =
    b"#!/bin/sh\nn=0\nwhile echo $n; do n=$((n + 1)); sleep 0.05; done &\nexec greeter >/dev/null 2>&1\n";

fn counter() -> Vec<u8> {
    let manifest = json!({
        "id": "counter", "author": "plugd", "name": "Counter", "description": "", "version": "1.0.0", "command": "./count.sh",
    });
    zipped(&[("manifest.json", manifest.to_string().as_bytes(), 0o644), ("count.sh", SCRIPT, 0o755)])
}

/// What a node has printed of the plugin, up to this number: all from the first on, once each.
async fn assert_logged(node: &Plugd, id: &str, last: u32) {
    let lines = node.api().logs(id).await.until(&last.to_string()).await;
    let numbers: Vec<u32> = lines.iter().map(|line| line.text.parse().unwrap()).collect();
    assert_eq!(numbers, (0..=last).collect::<Vec<_>>());
}

/// Waits until a node knows whom it follows.
async fn follows(node: &Plugd) {
    let says = async || role(node).await.filter(|role| role.starts_with("this node follows http"));
    eventually_async("a follower", says).await;
}

#[tokio::test]
async fn pods_and_their_logs_go_on_when_another_node_leads() {
    let _steady = steady().await;
    let account = Account::of_plugd().await;
    let service = Service::start().await;
    let database = Server::shared().database().await;
    let mut cluster = cluster_of(&[database.url(), database.url()], &account, &service).await;
    follows(&cluster.nodes[1]).await;
    let id = cluster.api(1).upload(counter()).await.unwrap().id;
    let before = cluster.api(1).activate(&id).await.unwrap();
    assert_eq!(state_of(&before), Active);
    let pods = pods_of(&id).await;
    let mut last = 20;

    for is_killed in [true, false, true] {
        let leader = cluster.led_by_one_of(&[0, 1]).await;
        assert_logged(&cluster.nodes[leader], &id, last).await;
        if is_killed {
            cluster.nodes[leader].kill_9().await;
        } else {
            cluster.nodes[leader].sigterm().await;
        }
        let next = cluster.led_by_one_of(&[1 - leader]).await;

        let after = cluster.api(next).activate(&id).await.unwrap();
        assert_eq!((state_of(&after), &status_of(&after).run_id), (Active, &status_of(&before).run_id));
        assert_eq!((message_of(&after), status_of(&after).restart_count), ("", 0));
        assert_eq!(pods_of(&id).await.iter().map(|pod| &pod.metadata.uid).collect::<Vec<_>>(), [&pods[0].metadata.uid]);
        last += 100;
        assert_logged(&cluster.nodes[next], &id, last).await;
        cluster.nodes[leader].restart().await;
        follows(&cluster.nodes[leader]).await;
    }

    let leader = cluster.led_by_one_of(&[0, 1]).await;
    let stopped = cluster.api(1 - leader).deactivate(&id).await.unwrap();
    assert_eq!(state_of(&stopped), Inactive);
    without_pods(&id).await;
}
