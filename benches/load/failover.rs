//! How long nobody can change anything once the leader of a cluster has gone.

use std::time::{Duration, Instant};

use plugd::api::v1::ActiveState;
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::{
    figures::{Goal, Report, Rounds, Row, ms},
    nodes::{Nodes, change},
    plugins::{install_many, register, set},
};

/// How often the leader goes in each way.
const TIMES: usize = 20;

/// How often it is looked whether another leads.
const LOOKS: Duration = Duration::from_millis(5);
/// How long a node may take to answer: one that has just gone may never.
const ANSWER: Duration = Duration::from_millis(500);

/// The ways in which it goes, and the longest that another may take then, in milliseconds.
const WAYS: [(&str, Signal, f64); 2] = [
    ("kill -9 of the leader: no change for", Signal::KILL, 10_000.0),
    ("SIGTERM of it: no change for", Signal::TERM, 1_000.0),
];

pub(crate) async fn measure(report: &mut Report) {
    let mut nodes = Nodes::start().await;
    let client = nodes.all[0].client().await;
    // It runs a plugin, which it has to end before another may lead.
    let running = install_many(&client, 1).await.swap_remove(0);
    set(client.clone(), &running, ActiveState::Active).await;
    let changed = register(client).await.id;
    for (way, signal, most) in WAYS {
        let mut times = Rounds::default();
        for _ in 0..TIMES {
            times.add(vec![ms(fail_over(&mut nodes, signal, &changed).await)]);
        }
        for (name, part, goal) in
            [("p50", 0.5, Goal::Seen), ("p90", 0.9, Goal::Seen), ("longest", 1.0, Goal::AtMost(most))]
        {
            let what = format!("{way}, {name}");
            report.rows.push(Row { what, unit: "ms", plugd: times.quantile(part), limit: None, goal });
        }
    }
}

/// Sends the leader a signal: how long it took from the last change that was made until the next, both through another node. All
/// nodes serve again then.
async fn fail_over(nodes: &mut Nodes, signal: Signal, changed: &str) -> Duration {
    let leader = loop {
        match nodes.leader().await {
            Some(leader) => break leader,
            None => sleep(LOOKS).await,
        }
    };
    let mut client = nodes.all[(leader + 1) % nodes.all.len()].client().await;
    nodes.all[leader].signal(signal);
    let (mut last, mut was_refused) = (Instant::now(), false);
    let time = loop {
        match timeout(ANSWER, change(&mut client, changed)).await {
            Ok(Ok(_)) if was_refused => break last.elapsed(),
            // One that is to stop still answers.
            Ok(Ok(_)) => last = Instant::now(),
            _ => {
                was_refused = true;
                sleep(LOOKS).await;
            }
        }
    };
    nodes.all[leader].start_again();
    time
}
