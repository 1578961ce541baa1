//! What the writer is asked for, gathered for one transaction.

use std::{mem, time::Duration};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};

use crate::{
    domain::State,
    store::batch::{Change, Op, What},
};

/// Changes in one transaction. Enough to share the price of making it durable, few enough to stay short.
pub(super) const MAX_BATCH: usize = 256;

/// How long the report of a state waits that a plugin only passes through. In most starts and stops the next one has come by
/// then, and one transaction has them all.
const PATIENCE: Duration = Duration::from_millis(2);

/// What waits for the next transaction.
#[derive(Default)]
pub(super) struct Gathered {
    ops: Vec<Op>,
    /// Until when it may wait. None while there is nothing.
    until: Option<Instant>,
}

impl Gathered {
    /// Waits until there is something to do now. False if nobody can ask for anything any more. Nothing is lost if this is
    /// dropped and called again.
    pub(super) async fn gather(&mut self, from: &mut UnboundedReceiver<Op>) -> bool {
        loop {
            let room = MAX_BATCH - self.ops.len();
            tokio::select! {
                taken = from.recv_many(&mut self.ops, room) => {
                    if taken == 0 || self.ops.len() == MAX_BATCH || !self.ops.iter().all(may_wait) {
                        return taken > 0;
                    }
                    self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
                }
                () = passed(self.until) => return true,
            }
        }
    }

    /// What is to be done now, in its order.
    pub(super) fn take(&mut self) -> Vec<Op> {
        self.until = None;
        mem::take(&mut self.ops)
    }
}

fn may_wait(op: &Op) -> bool {
    let Op::Change(Change { what: What::Report { reported, .. }, .. }) = op else { return false };
    matches!(reported.state, State::Starting | State::Connecting | State::Stopping)
}

async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
