//! What it costs to ask a node that follows, beside the leader; and how soon watchers at other nodes hear of a change.

use std::time::Instant;

use tokio::join;

use crate::{
    external,
    figures::{Goal, ROUNDS, Report, Rounds, ms},
    nodes::{NODES, Nodes, change},
    plugins::register,
    server::{Bare, Plugd},
    unary,
    watch::{self, ACTIVE, UNSPECIFIED, Watchers, events},
};

/// Changes of a round, one after the other.
const CHANGES: usize = 200;

/// Watchers at each node: five thousand together, but for those that are no ten on a connection.
const WATCHERS: usize = 1670;

pub(crate) async fn measure(report: &mut Report) {
    let nodes = Nodes::start().await;
    let (leader, follower) = (&nodes.all[0], &nodes.all[1]);
    reads(leader, follower, report).await;
    changes(leader, follower, report).await;
    news(leader, follower, report).await;
    watchers(&nodes, report).await;
}

async fn reads(leader: &Plugd, follower: &Plugd, report: &mut Report) {
    // Who writes at a node reads there what it wrote.
    let id = register(follower.client().await).await.id;
    let at = async |node| (unary::clients(node).await, unary::get(id.clone()));
    let (of_follower, of_leader) = unary::in_turn(at(follower).await, at(leader).await).await;
    let limit = Some(("the leader", &of_leader));
    report.median(("GetPlugin at a follower, 8 x 32 in flight", "/s"), &of_follower, limit, Goal::Rate(0.95));
}

async fn changes(leader: &Plugd, follower: &Plugd, report: &mut Report) {
    let (mut of_follower, mut of_leader) = (Rounds::default(), Rounds::default());
    let id = register(leader.client().await).await.id;
    for _ in 0..ROUNDS {
        of_follower.add(change_times(follower, &id).await);
        of_leader.add(change_times(leader, &id).await);
    }
    let goals = [Goal::Above(1.0), Goal::Seen];
    report.times("a change through a follower", &of_follower, ("the leader", &of_leader), goals);
}

async fn change_times(node: &Plugd, id: &str) -> Vec<f64> {
    let (mut client, mut times) = (node.client().await, Vec::new());
    for _ in 0..CHANGES {
        let began = Instant::now();
        change(&mut client, id).await.unwrap();
        times.push(ms(began.elapsed()));
    }
    times
}

async fn news(leader: &Plugd, follower: &Plugd, report: &mut Report) {
    let (mut of_follower, mut of_leader) = (Rounds::default(), Rounds::default());
    let id = register(leader.client().await).await.id;
    for _ in 0..ROUNDS {
        of_follower.add(news_times(leader, follower, &id).await);
        of_leader.add(news_times(leader, leader, &id).await);
    }
    let goals = [Goal::Seen, Goal::AtMost(50.0)];
    let what = "a change until a watcher at another node has it";
    report.times(what, &of_follower, ("at the leader", &of_leader), goals);
}

/// From before the leader is asked for a change until a watcher at a node hears of it.
async fn news_times(leader: &Plugd, node: &Plugd, id: &str) -> Vec<f64> {
    let (mut client, mut frames) = (leader.client().await, watch::open(node.client().await).await);
    let (mut generation, mut times) = (change(&mut client, id).await.unwrap().generation, Vec::new());
    for _ in 0..CHANGES {
        generation += 1;
        let began = Instant::now();
        let heard = async {
            // What was reported of an earlier change comes, too.
            let is_heard = |plugin: plugd::api::v1::Plugin| plugin.generation == generation;
            while !events(&mut frames).await.unwrap().into_iter().any(|event| event.plugin.is_some_and(is_heard)) {}
            began.elapsed()
        };
        let (changed, heard) = join!(change(&mut client, id), heard);
        changed.unwrap();
        times.push(ms(heard));
    }
    times
}

async fn watchers(nodes: &Nodes, report: &mut Report) {
    let (bare, leader) = (Bare::start(), &nodes.all[0]);
    let plugin = register(leader.client().await).await;
    let (url, bare_url) = (external::url(leader, &plugin), format!("ws://{}/connect", bare.address()));
    let (mut watchers, mut bare_watchers) = (Watchers::new(), Watchers::new());
    for node in &nodes.all {
        watchers.watch(node, WATCHERS).await;
    }
    bare_watchers.listen(&bare, NODES * WATCHERS).await;
    let (mut of_nodes, mut of_bare) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        of_nodes.add(watchers.reports(&url, ACTIVE).await);
        of_bare.add(bare_watchers.reports(&bare_url, UNSPECIFIED).await);
    }
    let what = format!("a report until {} watchers at {NODES} nodes have it", NODES * WATCHERS);
    report.times(&what, &of_nodes, ("bare broadcast", &of_bare), [Goal::Seen, Goal::Times(1.5)]);
}
