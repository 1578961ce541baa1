//! Nodes of a cluster: the leader is killed, frozen, asked to stop, and cut off from the database.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use plugd::api::v1::{Plugin, ReportedState::Active, RotateTokenRequest};
use tokio::{join, time::timeout};
use tonic::Code;

use super::{repeat, resumed, rounds};
use crate::harness::{
    Cluster, Plugd, Server, Way, eventually, eventually_async, external_manifest, reason, role, state_of, status_of,
    within,
};

/// Nodes of a cluster.
const NODES: usize = 3;

/// Clients that write, each through one node after the other.
const CLIENTS: usize = 6;

/// The others of these nodes.
fn others(node: usize) -> Vec<usize> {
    (0..NODES).filter(|other| *other != node).collect()
}

/// Waits until a plugin is active, as this node sees it. No run of it has met another by then.
async fn active(cluster: &Cluster, node: usize, id: &str) -> Plugin {
    let is_active = async || {
        let plugin = cluster.api(node).get(id).await.ok()?;
        (state_of(&plugin) == Active).then_some(plugin)
    };
    let plugin = eventually_async("an active plugin", is_active).await;
    cluster.assert_alone();
    plugin
}

fn restarts(plugin: &Plugin) -> u32 {
    status_of(plugin).restart_count
}

/// Waits until a node says that it follows another.
async fn follows(cluster: &Cluster, node: usize, leader: usize) {
    let words = format!("this node follows {}", cluster.nodes[leader].url());
    let says = async || role(&cluster.nodes[node]).await.filter(|role| role.starts_with(&words));
    eventually_async("a follower", says).await;
}

/// Changes a plugin again and again, through each node in turn, until it is told to end. Answers with the last generation that
/// was acknowledged.
async fn write(cluster: &Cluster, id: &str, is_over: &AtomicBool) -> u64 {
    let mut acknowledged = 0;
    for turn in 0_usize.. {
        let request = RotateTokenRequest { plugin_id: id.to_owned(), ..Default::default() };
        let answer = within("an answer", cluster.api(turn % NODES).plugins().rotate_token(request)).await;
        match answer {
            Ok(answer) => {
                let generation = answer.into_inner().plugin.unwrap().generation;
                assert!(generation > acknowledged, "a change was lost: {generation} after {acknowledged}");
                acknowledged = generation;
            }
            // A connection that broke in the middle has a code of its own.
            Err(error) => assert!([Code::Unavailable, Code::Unknown].contains(&error.code()), "{error}"),
        }
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        // Not as fast as refusals can be given.
        let _ = timeout(Duration::from_millis(5), pending::<()>()).await;
    }
    acknowledged
}

#[tokio::test]
async fn the_leader_is_killed_while_clients_write_through_every_node() {
    let mut cluster = Cluster::start(NODES).await;
    let id = cluster.run_lone(0).await;
    let mut written = Vec::new();
    for number in 0..CLIENTS {
        written.push(cluster.api(0).register(&external_manifest(&format!("written-{number}"))).await.unwrap().id);
    }
    repeat("kill -9 of the leader, under load", rounds(2, 100), async |_| {
        let leader = cluster.led_by_one_of(&[0, 1, 2]).await;
        active(&cluster, leader, &id).await;
        let cursor = cluster.api(leader).live().await.cursor;
        let is_over = AtomicBool::new(false);
        let load = join_all(written.iter().map(|id| write(&cluster, id, &is_over)));
        let kill = async {
            // While some are under way.
            let _ = timeout(Duration::from_millis(200), pending::<()>()).await;
            crate::harness::kill_9(cluster.nodes[leader].pid());
            let next = cluster.led_by_one_of(&others(leader)).await;
            active(&cluster, next, &id).await;
            is_over.store(true, Ordering::Relaxed);
            next
        };
        let (acknowledged, next) = join!(load, kill);
        cluster.nodes[leader].lost().await;
        cluster.nodes[leader].restart().await;
        for (id, acknowledged) in written.iter().zip(acknowledged) {
            let found = cluster.api(next).get(id).await.unwrap().generation;
            assert!(found >= acknowledged, "an acknowledged change is lost: {found}, {acknowledged}");
        }
        // The watch itself fails on a gap; at a node that followed all the time it is the same history.
        let last = cluster.api(next).live().await.cursor.revision;
        for node in 0..NODES {
            resumed(&cluster.nodes[node], &cursor).await.until(|event| event.revision >= last).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_leader_is_asked_to_stop() {
    let mut cluster = Cluster::start(2).await;
    let id = cluster.run_lone(0).await;
    repeat("SIGTERM of the leader: it hands over", rounds(2, 50), async |_| {
        let leader = cluster.led_by_one_of(&[0, 1]).await;
        let before = restarts(&active(&cluster, leader, &id).await);
        let (status, _) = cluster.nodes[leader].sigterm().await;
        assert!(status.success());
        let next = cluster.led_by_one_of(&[1 - leader]).await;
        let plugin = active(&cluster, next, &id).await;
        assert_eq!(restarts(&plugin), before, "it is answered as soon as it dials");
        cluster.nodes[leader].restart().await;
    })
    .await;
}

#[tokio::test]
async fn the_leader_is_suspended_for_longer_than_its_lease() {
    let cluster = Cluster::start(2).await;
    let id = cluster.run_lone(0).await;
    repeat("SIGSTOP of the leader until another leads, and its waking", rounds(1, 20), async |_| {
        let leader = cluster.led_by_one_of(&[0, 1]).await;
        active(&cluster, leader, &id).await;
        cluster.nodes[leader].suspend();
        let next = cluster.led_by_one_of(&[1 - leader]).await;
        active(&cluster, next, &id).await;
        assert_eq!(cluster.nodes[leader].runs_of(&id).len(), 0, "what it ran has ended, though it is frozen");
        cluster.nodes[leader].resume();
        follows(&cluster, leader, next).await;
        active(&cluster, leader, &id).await;
        assert_eq!(cluster.nodes[leader].runs_of(&id).len(), 0);
    })
    .await;
}

/// It hears of no end of its connections: nothing comes any more.
#[tokio::test]
async fn the_leader_is_cut_off_from_the_database() {
    let database = Server::shared().database().await;
    let way = Way::to(&database);
    let mut cluster = Cluster::over(&[way.url(), database.url()]).await;
    let id = cluster.run_lone(0).await;
    repeat("black hole between the leader and PostgreSQL", rounds(1, 20), async |_| {
        active(&cluster, cluster.led_by_one_of(&[0]).await, &id).await;
        way.open(false);
        active(&cluster, cluster.led_by_one_of(&[1]).await, &id).await;
        assert_eq!(cluster.nodes[0].runs_of(&id).len(), 0);
        way.open(true);
        follows(&cluster, 0, 1).await;
        let (status, _) = cluster.nodes[1].sigterm().await;
        assert!(status.success());
        active(&cluster, cluster.led_by_one_of(&[0]).await, &id).await;
        cluster.nodes[1].restart().await;
    })
    .await;
}

/// It hears of no end of them, but can make others.
#[tokio::test]
async fn connections_of_the_leader_to_the_database_break_unnoticed() {
    let database = Server::shared().database().await;
    let way = Way::to(&database);
    let cluster = Cluster::over(&[way.url(), database.url()]).await;
    let id = cluster.run_lone(0).await;
    active(&cluster, 0, &id).await;
    repeat("connections to PostgreSQL that carry nothing any more: no plugin ends", rounds(2, 20), async |round| {
        let (before, manifest) = (cluster.nodes[0].runs_of(&id), external_manifest(&format!("round-{round}")));
        way.lose();
        let written = async || cluster.api(0).register(&manifest).await.ok();
        eventually_async("a change", written).await;
        assert_eq!(cluster.nodes[0].runs_of(&id), before);
        assert_eq!(cluster.leader_among(&[0, 1]).await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_database_is_gone_for_longer_than_a_lease() {
    let server = Server::start();
    let cluster = Cluster::on(&server.database().await, 2).await;
    let id = cluster.run_lone(0).await;
    repeat("PostgreSQL gone for longer than a lease", rounds(1, 10), async |_| {
        let leader = cluster.led_by_one_of(&[0, 1]).await;
        active(&cluster, leader, &id).await;
        server.stop();
        let ended = || Plugd::processes_of(&id).is_empty().then_some(());
        eventually("the end of what may not be the only one", ended).await;
        let refused = async || cluster.api(1 - leader).list().await.err();
        let refused = eventually_async("a follower that has read nothing for long", refused).await;
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
        server.restart();
        let next = cluster.led_by_one_of(&[0, 1]).await;
        active(&cluster, next, &id).await;
        active(&cluster, 1 - next, &id).await;
    })
    .await;
}
