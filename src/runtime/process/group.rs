//! Everything that a run consists of: the leader's group and session, and what left them but carries the run in its
//! environment. Watched until nothing is left.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{Inner, pidfd::Pidfd, spawner::Leader};
use crate::{
    domain::Exit,
    runtime::process_table::{MAX_WATCHED, Process, RunKey, to_pid},
};

/// What the supervisor has ordered. Only ever raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Run,
    Stop,
    Kill,
}

/// How long until the table of processes is read again where that failed, for want of descriptors most likely.
const RETRY: Duration = Duration::from_millis(100);

/// How long whoever left the group is looked for when an order is carried out.
const LOOK: Duration = Duration::from_secs(2);

/// Looks in a row that must find nobody: one pass over `/proc` can miss a process that is made meanwhile.
const PROOFS: u32 = 2;

/// The members of a run that the last look found.
pub(super) type Members = Arc<Mutex<Vec<Process>>>;

/// A run whose process was created.
pub(super) struct Group {
    inner: Arc<Inner>,
    key: RunKey,
    leader: Leader,
    members: Members,
}

impl Group {
    pub(super) fn new(inner: &Arc<Inner>, key: RunKey, leader: Leader, members: Members) -> Self {
        let group = Self { inner: Arc::clone(inner), key, leader, members };
        group.publish(Process::read(group.leader.record.pid).into_iter().flatten().collect());
        group
    }

    /// Carries out orders and returns when nothing of the run is left. Tells when the leader is gone.
    pub(super) async fn watch(self, mut orders: watch::Receiver<Order>, exited: impl FnOnce(Exit)) {
        exited(self.await_leader(&mut orders).await);
        self.await_rest(&mut orders).await;
        self.leader.reap();
    }

    async fn await_leader(&self, orders: &mut watch::Receiver<Order>) -> Exit {
        loop {
            tokio::select! {
                status = self.leader_status() => return to_exit(status),
                // The sender is gone only after it has ordered to kill.
                Ok(()) = orders.changed() => self.carry_out_latest(orders).await,
            }
        }
    }

    /// How the leader ended; `None` when that can't be told.
    async fn leader_status(&self) -> Option<WaitIdStatus> {
        loop {
            let ended = self.leader.descriptor().and_then(Pidfd::new);
            match &ended {
                Ok(pidfd) => pidfd.ended().await,
                Err(error) => {
                    tracing::warn!(plugin = %self.key.plugin, %error, "cannot watch the process; looking again");
                    sleep(RETRY).await;
                }
            }
            match self.leader.status() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(plugin = %self.key.plugin, %error, "the exit status is lost");
                    return None;
                }
            }
        }
    }

    async fn await_rest(&self, orders: &mut watch::Receiver<Order>) {
        let mut proofs = 0;
        while proofs < PROOFS {
            match self.members().await {
                Ok(members) if members.is_empty() => proofs += 1,
                Ok(members) => {
                    proofs = 0;
                    self.await_members(&members, orders).await;
                }
                Err(error) => {
                    tracing::warn!(plugin = %self.key.plugin, %error, "cannot list processes; trying again");
                    tokio::select! {
                        () = sleep(RETRY) => {}
                        Ok(()) = orders.changed() => self.carry_out_latest(orders).await,
                    }
                }
            }
        }
    }

    /// Waits until some of these are gone, or an order came and was carried out.
    async fn await_members(&self, members: &[Process], orders: &mut watch::Receiver<Order>) {
        if *orders.borrow() == Order::Kill {
            signal_each(members, Signal::KILL);
        }
        let ends = members.iter().take(MAX_WATCHED).map(async |member| match Pidfd::of(member) {
            Ok(Some(pidfd)) => pidfd.ended().await,
            Ok(None) => {}
            Err(_) => sleep(RETRY).await,
        });
        tokio::select! {
            _ = join_all(ends) => {}
            Ok(()) = orders.changed() => self.carry_out_latest(orders).await,
        }
    }

    /// Signals the group at once, then whoever left it.
    async fn carry_out_latest(&self, orders: &mut watch::Receiver<Order>) {
        let signal = match *orders.borrow_and_update() {
            Order::Run => return,
            Order::Stop => self.inner.options.stop_signal,
            Order::Kill => Signal::KILL,
        };
        if let Err(error) = self.leader.signal_group(signal) {
            tracing::warn!(plugin = %self.key.plugin, %error, "cannot signal the group");
        }
        self.signal_strays(signal, orders).await;
    }

    /// Signals whoever left the group, unless a newer order, which does that too, comes before they are found.
    async fn signal_strays(&self, signal: Signal, orders: &watch::Receiver<Order>) {
        let deadline = Instant::now() + LOOK;
        while !orders.has_changed().unwrap_or(false) {
            match self.members().await {
                Ok(mut members) => {
                    members.retain(|member| member.group != self.leader.record.pgid);
                    return signal_each(&members, signal);
                }
                Err(error) if Instant::now() >= deadline => {
                    return tracing::error!(plugin = %self.key.plugin, %error, "cannot look for strays");
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// The members that live now.
    async fn members(&self) -> io::Result<Vec<Process>> {
        let table = self.inner.process_table.get().await?;
        let leader = self.leader.record.pid;
        // plugd may be the host's first process, or a subreaper: then these are its to reap.
        for zombie in table.adopted_zombies(leader).filter_map(to_pid) {
            let _ = waitid(WaitId::Pid(zombie), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        let members = table.members(leader, self.key);
        self.publish(members.clone());
        Ok(members)
    }

    fn publish(&self, members: Vec<Process>) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
    }
}

fn signal_each(members: &[Process], signal: Signal) {
    for member in members {
        if let Err(error) = member.signal(signal) {
            tracing::warn!(pid = member.pid, %error, "cannot signal");
        }
    }
}

fn to_exit(status: Option<WaitIdStatus>) -> Exit {
    Exit {
        code: status.as_ref().and_then(WaitIdStatus::exit_status),
        signal: status.as_ref().and_then(WaitIdStatus::terminating_signal),
    }
}
