//! Nodes of a cluster: the leader is killed, frozen and asked to stop; in [`database`], it loses the database.

mod database;
mod load;
mod wanderer;

use std::{error::Error, future::pending, time::Duration};

use plugd::api::v1::{Plugin, ReportedState::Active};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{join, time::timeout};
use tonic::{Code, Status};

use self::load::Load;
use super::{repeat, rounds};
use crate::harness::{Cluster, Plugd, eventually_async, kill_9, role, state_of, status_of};

/// Nodes of a cluster.
const NODES: usize = 3;

/// All of them.
const ALL: [usize; NODES] = [0, 1, 2];

/// The others of these nodes.
fn others(node: usize) -> Vec<usize> {
    ALL.into_iter().filter(|other| *other != node).collect()
}

/// Waits until a plugin is active, as this node sees it. No run of it has met another by then.
async fn active(cluster: &Cluster, node: usize, id: &str) -> Plugin {
    let is_active = async || {
        let plugin = cluster.api(node).get(id).await.ok()?;
        (state_of(&plugin) == Active).then_some(plugin)
    };
    let plugin = eventually_async("an active plugin", is_active).await;
    cluster.runs_alone().await;
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

/// No node tells anything else than that it may be tried again. What is of this side has a source: a connection that broke.
fn assert_is_of_an_outage(status: &Status) {
    assert!(status.code() == Code::Unavailable || status.source().is_some(), "{status}");
}

/// Asks a node to stop, and does not wait for that.
fn terminate(node: &Plugd) {
    kill_process(Pid::from_raw(node.pid().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
}

#[tokio::test]
async fn the_leader_is_killed_while_clients_write_through_every_node() {
    let scenario = "kill -9 of the leader while 50 clients write through all nodes";
    let mut cluster = Cluster::start(NODES).await;
    let id = cluster.run_lone(0).await;
    let mut load = Load::on(&cluster).await;
    repeat(scenario, rounds(2, 100), async |_| {
        let leader = cluster.led_by_one_of(&ALL).await;
        active(&cluster, leader, &id).await;
        let kill = async {
            kill_9(cluster.nodes[leader].pid());
            active(&cluster, cluster.led_by_one_of(&others(leader)).await, &id).await;
        };
        load.beside(&cluster, leader, kill).await;
        cluster.nodes[leader].lost().await;
        cluster.nodes[leader].restart().await;
        load.assert_is_the_same_everywhere(&cluster).await;
    })
    .await;
    load.tell(scenario);
}

#[tokio::test]
async fn the_leader_is_asked_to_stop() {
    let scenario = "SIGTERM of the leader while 50 clients write through all nodes: it hands over";
    let mut cluster = Cluster::start(NODES).await;
    let id = cluster.run_lone(0).await;
    let mut load = Load::on(&cluster).await;
    repeat(scenario, rounds(2, 50), async |_| {
        let leader = cluster.led_by_one_of(&ALL).await;
        let before = restarts(&active(&cluster, leader, &id).await);
        let stop = async {
            terminate(&cluster.nodes[leader]);
            active(&cluster, cluster.led_by_one_of(&others(leader)).await, &id).await
        };
        let plugin = load.beside(&cluster, leader, stop).await;
        assert_eq!(restarts(&plugin), before, "it is answered as soon as it dials: {:?}", status_of(&plugin));
        assert!(cluster.nodes[leader].ended().await.success());
        cluster.nodes[leader].restart().await;
        load.assert_is_the_same_everywhere(&cluster).await;
    })
    .await;
    load.tell(scenario);
}

#[tokio::test]
async fn the_leader_is_suspended_for_longer_than_its_lease() {
    // By `make test`, until another leads.
    let asleep = Duration::from_secs(rounds(0, 30).try_into().unwrap());
    let scenario = "SIGSTOP of the leader for 30 s, or until another leads, and its waking";
    let cluster = Cluster::start(NODES).await;
    let id = cluster.run_lone(0).await;
    let mut load = Load::on(&cluster).await;
    repeat(scenario, rounds(1, 20), async |_| {
        let leader = cluster.led_by_one_of(&ALL).await;
        active(&cluster, leader, &id).await;
        let freeze = async {
            cluster.nodes[leader].suspend();
            let succeeded = async {
                let next = cluster.led_by_one_of(&others(leader)).await;
                active(&cluster, next, &id).await;
                assert_eq!(cluster.nodes[leader].runs_of(&id).len(), 0, "what it ran has ended, though it is frozen");
                next
            };
            let (next, _) = join!(succeeded, timeout(asleep, pending::<()>()));
            cluster.nodes[leader].resume();
            follows(&cluster, leader, next).await;
            active(&cluster, leader, &id).await;
            assert_eq!(cluster.nodes[leader].runs_of(&id).len(), 0);
        };
        load.beside(&cluster, leader, freeze).await;
        load.assert_is_the_same_everywhere(&cluster).await;
    })
    .await;
    load.tell(scenario);
}
