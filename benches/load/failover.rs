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
/// How long it may take until another leads and a change is made.
const MOST: Duration = Duration::from_secs(60);

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

/// Sends the leader a signal: the longest time from one change that was made until the next, all through another node, up to the
/// first that was made once another leads. All nodes serve again then.
async fn fail_over(nodes: &mut Nodes, signal: Signal, changed: &str) -> Duration {
    let leader = loop {
        match nodes.leader().await {
            Some(leader) => break leader,
            None => sleep(LOOKS).await,
        }
    };
    let mut client = nodes.all[(leader + 1) % nodes.all.len()].client().await;
    nodes.all[leader].signal(signal);
    let began = Instant::now();
    let (mut last, mut longest) = (began, Duration::ZERO);
    loop {
        assert!(began.elapsed() < MOST, "no other node leads");
        // Before the change: it was made by whoever led then, or by one that came later.
        let is_over = nodes.leader().await.is_some_and(|now| now != leader);
        if let Ok(Ok(_)) = timeout(ANSWER, change(&mut client, changed)).await {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            if is_over {
                break;
            }
        } else {
            sleep(LOOKS).await;
        }
    }
    nodes.all[leader].start_again();
    longest
}
