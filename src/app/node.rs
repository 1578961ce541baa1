//! A node of a cluster: it leads or follows, one after the other, and its ports serve all the time.
//!
//! ```text
//!            nobody leads: take the lease              the lease is lost, or could not be renewed
//! following ───────────────────────────────► leading ─────────────────────────────────────────────► following
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    boot::{self, Keys, Setup},
    following,
    manager::{self, News},
    ports::{Answers, Ports},
    presence,
    reload::Reload,
    role::Role,
    stage::Stage,
};
use crate::{
    boot_time::since_boot,
    cluster::{self, ClusterToken, Ended},
    config::{Config, RuntimeProvider},
    domain,
    runtime::{self, Runtime, process::ProcessRuntime},
    store::{self, Leadership, Loaded, Opened, RunOut, Store, StoreError},
    tls::Trust,
};

/// Until something is tried again that failed.
const RETRY: Duration = Duration::from_secs(1);

/// How long it may take to take the lease, and to read what there is: a database that can't be reached any more says nothing.
const TAKE_LEASE: Duration = Duration::from_secs(60);

/// How often a leader looks whether its lease is over: a timer stops while the host is suspended.
const LOOKS: Duration = Duration::from_millis(250);

/// How long what was killed may take to be gone before the lease is handed over.
const KILLED: Duration = Duration::from_secs(1);

/// What makes a plugd a node of a cluster.
#[derive(Clone)]
pub(super) struct Member {
    /// Where the other nodes reach it.
    pub(super) address: String,
    /// What nodes know each other by.
    pub(super) token: ClusterToken,
    /// Whom it trusts to be another node.
    pub(super) trust: Trust,
}

impl Member {
    /// None where this plugd is alone.
    ///
    /// # Errors
    /// The file of the token can't be used.
    pub(super) fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let (Some(address), Some(file)) = (&config.advertise, &config.cluster_token_file) else { return Ok(None) };
        let token = ClusterToken::read(file).with_context(|| format!("the cluster's token {}", file.display()))?;
        // Where nodes ask clients for a certificate, they show each other their own.
        let shown = |file: &Option<PathBuf>| file.clone().filter(|_| config.tls_client_ca.is_some());
        let (certificate, key) = (shown(&config.tls_cert), shown(&config.tls_key));
        let trust = Trust { authority: config.cluster_ca.clone(), is_blind: false, certificate, key };
        Ok(Some(Self { address: address.0.clone(), token, trust }))
    }
}

/// Whether a node of the cluster that these settings are of answers at this address.
///
/// # Errors
/// None does: why not.
pub(crate) async fn reach_node(config: &Config, address: &str) -> anyhow::Result<()> {
    let member = Member::of(config)?.context("these settings are of no cluster")?;
    Ok(cluster::reach(address, &member.token, &member.trust).await?)
}

/// Serves as a node of a cluster until `shutdown`, then hands over if it leads.
///
/// # Errors
/// What is in the way of its first part, and that the last changes could not be stored.
pub(super) async fn serve(
    member: Member,
    setup: Setup,
    (ports, reload): (Ports, Reload<Config>),
    shutdown: CancellationToken,
    on_ready: impl FnOnce(Keys) + Send,
) -> anyhow::Result<()> {
    let (stop, ended) = (shutdown.child_token(), CancellationToken::new());
    let options = boot::prepare(&setup.config)?;
    let has_plugins = setup.config.runtime_provider != RuntimeProvider::None;
    let stage = Stage::empty(member.token.clone(), setup.listener.clone(), has_plugins).await;
    let (this_node, role) = (presence::this_node(member.address.clone(), setup.started), stage.role());
    let (address, telling_nodes) = (options.address.clone(), ended.clone());
    let present = async move { Box::pin(presence::tell(this_node, &address, role, telling_nodes)).await };
    let serving = ports.serve(stage.answers(), reload, &setup.catalog, stop.clone());
    let mut node = Node { member, setup: &setup, options, stage, stop: stop.clone(), on_ready: Some(on_ready) };
    let playing = async {
        let played = node.play().await;
        // A node that can't begin does not serve.
        stop.cancel();
        ended.cancel();
        played
    };
    let telling = async {
        stop.cancelled().await;
        manager::tell(News::Stopping);
    };
    tokio::join!(playing, serving, telling, present).0
}

struct Node<'a, R> {
    member: Member,
    setup: &'a Setup,
    options: store::Options,
    stage: Stage,
    stop: CancellationToken,
    /// What is still to be told that it serves.
    on_ready: Option<R>,
}

impl<R: FnOnce(Keys) + Send> Node<'_, R> {
    /// Plays one part after the other. What fails is tried again, unless it is the first of all.
    async fn play(&mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            let stop = self.stop.clone();
            let Some(taken) = stop.run_until_cancelled(self.take_lease(None)).await else { break };
            let played = match taken {
                Ok(opened) => Box::pin(self.lead(opened)).await,
                Err(StoreError::Led { .. }) => Box::pin(self.follow()).await,
                Err(error) => Err(error).context(format!("the database {} can't be opened", self.options.address)),
            };
            self.stage.leave().await;
            match played {
                Err(error) if self.on_ready.is_some() || self.stop.is_cancelled() => return Err(error),
                Err(error) => {
                    tracing::error!("{error:#}; it is tried again");
                    let _ = self.stop.run_until_cancelled(sleep(RETRY)).await;
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Takes the lease that has run out, or one that was handed over.
    async fn take_lease(&self, run_out: Option<RunOut>) -> Result<(Opened, Loaded), StoreError> {
        let taking = Box::pin(store::open_as_leader(self.options.clone(), self.member.address.clone(), run_out));
        timeout(TAKE_LEASE, taking).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Leads until it has to stop, or can't renew its lease.
    async fn lead(&mut self, (opened, loaded): (Opened, Loaded)) -> anyhow::Result<()> {
        let leadership = loaded.leadership.clone().context("a leader has a lease")?;
        tracing::info!(term = leadership.term, "this node leads");
        let draining = self.stop.child_token();
        // Also where it can't begin: what was started by then lets go of the store, and so of the lease.
        let ending = draining.clone().drop_guard();
        let term = leadership.term;
        let mut system = boot::boot(self.setup, (opened, loaded), Some(term), draining.clone()).await?;
        let (keys, store, local) = (std::mem::take(&mut system.keys), system.store.clone(), system.local.clone());
        let runtime = system.has_plugins.then(|| system.parts.runtime.clone());
        let role = Role::Leads { term, projection: system.handle.projection().clone() };
        // Plugins dial as soon as they run; it is not known what they do before they have.
        self.stage.enter_for_plugins(role.clone(), &system.answers);
        let answers = system.answers.clone();
        let serving = async {
            self.enter(role, answers, keys);
            draining.cancelled().await;
        };
        tokio::select! {
            // What runs hears until when it may go on before anything is started.
            biased;
            // Another may lead: to drop what supervises kills all that runs.
            () = keep_to_lease(leadership, runtime.as_deref()) => {
                tracing::error!("the lease could not be renewed in time, or another node has it: plugins are killed");
            }
            () = system.run(serving, draining.clone()) => {}
        }
        self.stage.leave().await;
        drop(ending);
        let closing = close(store, local);
        if self.stop.is_cancelled() {
            return closing.await.context("the last changes could not be stored");
        }
        tracing::warn!("this node leads no longer");
        tokio::spawn(closing);
        Ok(())
    }

    /// Follows until it has to stop, can lead, or has to read everything anew.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let draining = self.stop.child_token();
        let begun = async {
            let read = store::follow(&self.options).await.context("the database can't be followed")?;
            following::following(self.setup, &self.member, read, draining.clone()).await
        };
        let Some(begun) = self.stop.run_until_cancelled(begun).await else { return Ok(()) };
        let (answers, role, mut follower) = begun?;
        let ending = draining.drop_guard();
        // The first look tells who leads: until then what is for the leader would be refused.
        let looked = follower.catch_up()();
        tokio::select! {
            () = looked => {}
            _ = follower.follow() => {}
        }
        self.enter(role, answers, Keys::default());
        loop {
            let Some(ended) = self.stop.run_until_cancelled(follower.follow()).await else { return Ok(()) };
            if ended == Ended::HistoryEnded {
                return Ok(());
            }
            let taking = self.take_lease(follower.run_out());
            let Some(taken) = self.stop.run_until_cancelled(taking).await else { return Ok(()) };
            match taken {
                Ok(opened) => {
                    // What was read is not kept up to date from here on.
                    self.stage.leave().await;
                    drop((follower, ending));
                    return self.lead(opened).await;
                }
                Err(StoreError::Led { .. }) => {}
                Err(error) => {
                    tracing::warn!(%error, "nobody leads, and this node can't either; it is tried again");
                    let _ = self.stop.run_until_cancelled(sleep(RETRY)).await;
                }
            }
        }
    }

    /// Has this answer from now on, and tells of the first time.
    fn enter(&mut self, role: Role, answers: Answers, keys: Keys) {
        self.stage.enter(role, answers);
        if let Some(on_ready) = self.on_ready.take() {
            on_ready(keys);
        }
    }
}

/// Closes the store of a node that leads no longer. The lease is handed over only if nothing lives that this node has started:
/// else it runs out, by when the keeper has killed it.
async fn close(store: Store, runtime: Option<Arc<ProcessRuntime>>) -> domain::Result<()> {
    let has_ended = match runtime {
        Some(runtime) => runtime.ended(KILLED).await,
        None => true,
    };
    if has_ended {
        return store.close().await;
    }
    tracing::error!("something that plugins started can't be killed: the lease is not handed over, but runs out");
    store.close_keeping_lease().await
}

/// Has plugins go on as long as nobody else can lead; returns when that time is over.
async fn keep_to_lease(leadership: Leadership, runtime: Option<&dyn Runtime>) {
    let mut good_until = leadership.good_until;
    loop {
        let end = good_until.borrow_and_update().saturating_sub(runtime::KILL_MARGIN);
        if let Some(runtime) = runtime {
            runtime.go_on_until(end);
        }
        let left = end.saturating_sub(since_boot());
        let is_over = tokio::select! {
            changed = good_until.changed() => changed.is_err(),
            () = sleep(left.min(LOOKS)) => left.is_zero(),
        };
        if is_over {
            return;
        }
    }
}
