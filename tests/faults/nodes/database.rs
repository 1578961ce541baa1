//! The nodes lose the database, or one of them does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::timeout};
use tonic::Code;

use super::{ALL, NODES, active, follows, load::Load};
use crate::{
    faults::{repeat, rounds},
    harness::{Cluster, Plugd, Server, Way, eventually, eventually_async, external_manifest, reason, role},
};

/// It hears of no end of its connections: nothing comes any more.
#[tokio::test]
async fn the_leader_is_cut_off_from_the_database() {
    let scenario = "black hole between the leader and PostgreSQL while 50 clients write through all nodes";
    let database = Server::shared().database().await;
    let way = Way::to(&database);
    let mut cluster = Cluster::over(&[way.url(), database.url()]).await;
    let id = cluster.run_lone(0).await;
    let mut load = Load::on(&cluster).await;
    repeat(scenario, rounds(1, 20), async |_| {
        active(&cluster, cluster.led_by_one_of(&[0]).await, &id).await;
        let cut = async {
            way.open(false);
            active(&cluster, cluster.led_by_one_of(&[1]).await, &id).await;
            assert_eq!(cluster.nodes[0].runs_of(&id).len(), 0);
            way.open(true);
            follows(&cluster, 0, 1).await;
        };
        load.beside(&cluster, 0, cut).await;
        load.assert_is_the_same_everywhere(&cluster).await;
        lead_again(&mut cluster).await;
    })
    .await;
    load.tell(scenario);
}

/// Has the first node, of two, take over from the other.
async fn lead_again(cluster: &mut Cluster) {
    let (status, _) = cluster.nodes[1].sigterm().await;
    assert!(status.success());
    cluster.led_by_one_of(&[0]).await;
    cluster.nodes[1].restart().await;
}

/// How long a change takes, about.
const A_CHANGE: Duration = Duration::from_millis(30);

/// How long a leader goes on at least without the database: its lease lasts 5 s, the last renewal may be a second old, and another
/// before the end of it plugins are ended.
const GOES_ON: Duration = Duration::from_secs(3);

/// It hears of no end of them, but can make others. Nothing is asked of it until it has: so it notices by its next renewal, or, every
/// other time, in the middle of a change, of which the database keeps a lock. Where the host is so busy that the leader could not
/// go on, nothing is to be seen; that may not be always.
#[tokio::test]
async fn connections_of_the_leader_to_the_database_break_unnoticed() {
    let database = Server::shared().database().await;
    let way = Way::to(&database);
    let mut cluster = Cluster::over(&[way.url(), database.url()]).await;
    let id = cluster.run_lone(0).await;
    let mut went_on = [0; 2];
    repeat("connections to PostgreSQL that carry nothing any more: no plugin ends", rounds(6, 40), async |round| {
        // A host that is too busy may have had the other lead.
        if cluster.led_by_one_of(&[0, 1]).await == 1 {
            lead_again(&mut cluster).await;
        }
        active(&cluster, 0, &id).await;
        let before = (role(&cluster.nodes[0]).await, cluster.nodes[0].runs_of(&id));
        let change = async |name: &str| {
            let manifest = external_manifest(&format!("{name}-{round}"));
            cluster.api(0).register(&manifest).await.ok()
        };
        let is_in_the_middle = round % 2 == 1;
        if is_in_the_middle {
            let _ = timeout(rand::random_range(Duration::ZERO..A_CHANGE), change("broken")).await;
        }
        let (made, lost) = (way.made(), Instant::now());
        way.lose();
        eventually("another connection", || (way.made() > made).then_some(())).await;
        eventually_async("a change", async || change("made").await).await;
        if lost.elapsed() < GOES_ON {
            assert_eq!((role(&cluster.nodes[0]).await, cluster.nodes[0].runs_of(&id)), before);
            went_on[usize::from(is_in_the_middle)] += 1;
        }
    })
    .await;
    assert_ne!(went_on, [0; 2], "it never went on");
}

#[tokio::test]
async fn the_database_is_restarted_while_clients_write_through_every_node() {
    let scenario = "PostgreSQL restarted while 50 clients write through all nodes";
    let server = Server::start();
    let cluster = Cluster::on(&server.database().await, NODES).await;
    let id = cluster.run_lone(0).await;
    let mut load = Load::on(&cluster).await;
    repeat(scenario, rounds(2, 50), async |_| {
        let leader = cluster.led_by_one_of(&ALL).await;
        active(&cluster, leader, &id).await;
        let before = (role(&cluster.nodes[leader]).await, cluster.nodes[leader].runs_of(&id));
        let restart = async {
            let server = Arc::clone(&server);
            let restarted = spawn_blocking(move || {
                server.stop();
                server.restart();
            });
            restarted.await.unwrap();
            active(&cluster, cluster.led_by_one_of(&ALL).await, &id).await;
        };
        load.beside(&cluster, leader, restart).await;
        let after = (role(&cluster.nodes[leader]).await, cluster.nodes[leader].runs_of(&id));
        assert!(before.0 != after.0 || before.1 == after.1, "a leader that could go on has ended a plugin");
        load.assert_is_the_same_everywhere(&cluster).await;
    })
    .await;
    load.tell(scenario);
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
