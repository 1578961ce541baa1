//! Clients that write through every node while something happens, and a watcher beside them.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use plugd::api::v1::RotateTokenRequest;
use tokio::{join, time::timeout};

use super::{
    assert_is_of_an_outage,
    wanderer::{Seen, Wanderer},
};
use crate::{
    faults::{resumed, tell_times},
    harness::{Api, Cluster, Cursor, eventually, external_manifest, within},
};

/// Clients, each of which writes through one node after the other.
const CLIENTS: usize = 50;

/// How long a client waits for an answer: a node that is frozen gives none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest that a client waits after an answer. Fifty that tried again at once would take all the time that there is.
const REST: Duration = Duration::from_millis(200);

/// The clients' plugins, one for each, and what was seen of the last time that they wrote.
pub(super) struct Load {
    ids: Vec<String>,
    cursor: Cursor,
    seen: Vec<Seen>,
    pauses: Vec<Duration>,
}

/// A change that was acknowledged, and when.
#[derive(Debug)]
struct Acknowledged {
    change: Seen,
    at: Instant,
}

/// How far the clients are.
#[derive(Default)]
struct Course {
    acknowledged: AtomicUsize,
    /// Each is to have one more change acknowledged, and to end.
    is_over: AtomicBool,
}

impl Load {
    /// Clients of these nodes.
    pub(super) async fn on(cluster: &Cluster) -> Self {
        let mut ids = Vec::new();
        for client in 0..CLIENTS {
            ids.push(cluster.api(0).register(&external_manifest(&format!("written-{client}"))).await.unwrap().id);
        }
        Self { ids, cursor: Cursor::default(), seen: Vec::new(), pauses: Vec::new() }
    }

    /// Has something happen while they write, and a watcher changes the node at random. All can write in the end, no change
    /// that was acknowledged is lost, and the watcher sees every revision once, in order.
    pub(super) async fn beside<T>(&mut self, cluster: &Cluster, leader: usize, happens: impl Future<Output = T>) -> T {
        let nodes: Vec<Api> = (0..cluster.nodes.len()).map(|node| cluster.api(node)).collect();
        self.cursor = nodes[leader].live().await.cursor;
        let mut watcher = Wanderer::after(self.cursor.clone(), &nodes);
        let (course, have_written) = (Course::default(), AtomicBool::new(false));
        let writing = async {
            let happening = async {
                let all = || (course.acknowledged.load(Ordering::Relaxed) >= CLIENTS).then_some(());
                eventually("clients that write", all).await;
                let happened = happens.await;
                course.is_over.store(true, Ordering::Relaxed);
                happened
            };
            let clients = join_all(self.ids.iter().map(|id| write(&nodes, id, &course)));
            let written = join!(clients, happening);
            have_written.store(true, Ordering::Relaxed);
            written
        };
        let (acknowledged, happened) = join!(writing, watcher.wander(&have_written)).0;
        let acknowledged: Vec<_> = acknowledged.into_iter().flatten().collect();
        watcher.reach(acknowledged.iter().map(|one| one.change.revision).max().unwrap()).await;
        let seen: BTreeSet<_> = watcher.seen.iter().collect();
        let lost: Vec<_> = acknowledged.iter().filter(|one| !seen.contains(&one.change)).collect();
        assert!(lost.is_empty(), "acknowledged, and not made: {lost:?}");
        self.seen = watcher.seen;
        self.pauses.push(longest_pause(&acknowledged));
        happened
    }

    /// Every node tells the same of what was seen last.
    pub(super) async fn assert_is_the_same_everywhere(&self, cluster: &Cluster) {
        let last = self.seen.last().unwrap().revision;
        for node in &cluster.nodes {
            let told = resumed(node, &self.cursor).await.until(|event| event.revision >= last).await;
            assert_eq!(told.iter().map(Seen::of).collect::<Vec<_>>(), self.seen);
        }
    }

    /// Tells how long no change was made, each time.
    pub(super) fn tell(&self, scenario: &str) {
        tell_times(scenario, &self.pauses);
    }
}

/// Changes a plugin again and again, through each node in turn, until it is told to end and can.
async fn write(nodes: &[Api], id: &str, course: &Course) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    let writing = async {
        for node in nodes.iter().cycle() {
            let is_over = course.is_over.load(Ordering::Relaxed);
            let request = RotateTokenRequest { plugin_id: id.to_owned(), ..Default::default() };
            // In the end all nodes answer, however busy the host is.
            let patience = if is_over { Duration::MAX } else { PATIENCE };
            match timeout(patience, node.plugins().rotate_token(request)).await {
                Ok(Ok(answer)) => {
                    let plugin = answer.into_inner().plugin.unwrap();
                    let change = Seen { revision: plugin.revision, id: id.to_owned(), generation: plugin.generation };
                    acknowledged.push(Acknowledged { change, at: Instant::now() });
                    course.acknowledged.fetch_add(1, Ordering::Relaxed);
                    if is_over {
                        break;
                    }
                }
                Ok(Err(refused)) => assert_is_of_an_outage(&refused),
                // It may be made yet.
                Err(_) => {}
            }
            let _ = timeout(rand::random_range(Duration::ZERO..REST), pending::<()>()).await;
        }
    };
    within("a client that can write in the end", writing).await;
    acknowledged
}

/// The longest time between one acknowledged change and the next.
fn longest_pause(acknowledged: &[Acknowledged]) -> Duration {
    let mut times: Vec<_> = acknowledged.iter().map(|one| one.at).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}
