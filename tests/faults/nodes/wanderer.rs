//! A watcher that changes the node at random, wherever it is, and goes on by its cursor.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use plugd::api::v1::{PluginEvent, WatchStateRequest};
use tokio::time::timeout;

use super::assert_is_of_an_outage;
use crate::harness::{Api, Cursor, within};

/// The longest that it stays at a node, whether that says anything or not.
const STAY: Duration = Duration::from_millis(200);

/// What a change was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) revision: u64,
    pub(super) id: String,
    pub(super) generation: u64,
}

impl Seen {
    pub(super) fn of(event: &PluginEvent) -> Self {
        let generation = event.plugin.as_ref().unwrap().generation;
        Self { revision: event.revision, id: event.plugin_id.clone(), generation }
    }
}

/// The watcher, and everything that it has seen.
pub(super) struct Wanderer<'a> {
    nodes: &'a [Api],
    cursor: Cursor,
    pub(super) seen: Vec<Seen>,
}

impl<'a> Wanderer<'a> {
    /// One that sees what comes after this, at these nodes.
    pub(super) fn after(cursor: Cursor, nodes: &'a [Api]) -> Self {
        Self { nodes, cursor, seen: Vec::new() }
    }

    /// Goes from node to node until it is told to end.
    pub(super) async fn wander(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            self.stay().await;
        }
    }

    /// Goes on until it has seen this revision.
    pub(super) async fn reach(&mut self, revision: u64) {
        let reached = async {
            while self.cursor.revision < revision {
                self.stay().await;
            }
        };
        within("a watcher that sees everything", reached).await;
    }

    /// Watches at any node, for any time.
    async fn stay(&mut self) {
        let node = rand::random_range(0..self.nodes.len());
        let _ = timeout(rand::random_range(Duration::ZERO..STAY), self.watch(node)).await;
    }

    /// The watch itself fails on a gap, and on what was seen already. Where it is refused or ends, nothing more is to be seen there.
    async fn watch(&mut self, node: usize) {
        let request = WatchStateRequest { start: Some(self.cursor.start()), ..Default::default() };
        let ended = match self.nodes[node].watch(request).await {
            Err(refused) => refused,
            Ok(mut watch) => loop {
                match watch.event().await {
                    Err(ended) => break ended,
                    Ok(event) => {
                        self.cursor = Cursor::parse(&event.cursor);
                        self.seen.push(Seen::of(&event));
                    }
                }
            },
        };
        assert_is_of_an_outage(&ended);
        pending().await
    }
}
