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
/// then, and one transaction has both. The report that a plugin starts waits for nothing: should plugd die of that, the next one
/// has to know of whom. Nor does one of an external plugin that nobody connects: nothing may follow for long.
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
    reported.run.is_some() && matches!(reported.state, State::Connecting | State::Stopping)
}

/// Pends until then; for ever if there is no such time.
pub(super) async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use jiff::Timestamp;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::domain::{PluginId, Reported, RunId};

    const PLUGIN: PluginId = PluginId::from_bytes([7; 12]);

    fn report(state: State) -> Op {
        report_of(state, Some(RunId::from_bytes([8; 12])))
    }

    fn report_of(state: State, run: Option<RunId>) -> Op {
        let reported = Reported { state, run, ..Reported::inactive(Timestamp::UNIX_EPOCH, 1) };
        Op::Change(Change { what: What::Report { id: PLUGIN, reported: Box::new(reported) }, reply: None })
    }

    fn states(ops: Vec<Op>) -> Vec<State> {
        let state = |op| match op {
            Op::Change(Change { what: What::Report { reported, .. }, .. }) => reported.state,
            _ => panic!("no report"),
        };
        ops.into_iter().map(state).collect()
    }

    fn send(to: &UnboundedSender<Op>, op: Op) {
        to.send(op).ok().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_a_plugin_passes_through_is_stored_with_the_next_one() {
        let (sender, mut ops) = unbounded_channel();
        let mut gathered = Gathered::default();
        for (passing, settled) in [(State::Connecting, State::Active), (State::Stopping, State::Inactive)] {
            send(&sender, report(passing));
            // Something else may happen meanwhile.
            assert!(gathered.gather(&mut ops).now_or_never().is_none());
            send(&sender, report(settled));
            assert!(gathered.gather(&mut ops).now_or_never().unwrap());
            assert_eq!(states(gathered.take()), [passing, settled]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_stored_soon_where_nothing_follows() {
        let (sender, mut ops) = unbounded_channel();
        let (mut gathered, begun) = (Gathered::default(), Instant::now());
        send(&sender, report(State::Connecting));
        assert!(gathered.gather(&mut ops).now_or_never().is_none());
        // Another one does not prolong it.
        tokio::time::advance(PATIENCE / 2).await;
        send(&sender, report(State::Stopping));
        assert!(gathered.gather(&mut ops).await);
        assert!(begun.elapsed() < PATIENCE + PATIENCE / 2);
        assert_eq!(states(gathered.take()), [State::Connecting, State::Stopping]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_else_waits_and_nothing_is_lost_at_the_end() {
        let (sender, mut ops) = unbounded_channel();
        let mut gathered = Gathered::default();
        for state in [State::Starting, State::Restarting, State::Error] {
            send(&sender, report(state));
            assert!(gathered.gather(&mut ops).now_or_never().unwrap(), "{state:?}");
            assert_eq!(states(gathered.take()), [state]);
        }
        send(&sender, report_of(State::Connecting, None));
        assert!(gathered.gather(&mut ops).now_or_never().unwrap(), "who waits to be connected");
        assert_eq!(states(gathered.take()), [State::Connecting]);
        send(&sender, report(State::Stopping));
        let (reply, _answer) = tokio::sync::oneshot::channel();
        send(&sender, Op::Flush(reply));
        assert!(gathered.gather(&mut ops).now_or_never().unwrap());
        assert_eq!(gathered.take().len(), 2);
        send(&sender, report(State::Stopping));
        assert!(gathered.gather(&mut ops).now_or_never().is_none());
        drop(sender);
        assert!(!gathered.gather(&mut ops).await, "nobody can ask any more");
        assert_eq!(states(gathered.take()), [State::Stopping]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_transaction_has_more_than_the_most() {
        let (sender, mut ops) = unbounded_channel();
        let mut gathered = Gathered::default();
        (0..=MAX_BATCH).for_each(|_| send(&sender, report(State::Stopping)));
        assert!(gathered.gather(&mut ops).now_or_never().unwrap());
        assert_eq!(gathered.take().len(), MAX_BATCH);
        assert!(gathered.gather(&mut ops).await);
        assert_eq!(gathered.take().len(), 1);
    }
}
