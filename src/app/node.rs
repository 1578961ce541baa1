//! A node of a cluster: it leads or follows, one after the other, and its ports serve all the time.
//!
//! ```text
//!            nobody leads: take the lease              the lease is lost, or could not be renewed
//! following ───────────────────────────────► leading ─────────────────────────────────────────────► following
//! ```

use std::{
    future::ready,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context;
use axum::{
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    boot::{self, Keys, Setup},
    following,
    manager::{self, News},
    ports::{Answers, Ports},
    reload::Reload,
    role::Role,
};
use crate::{
    boot_time::since_boot,
    cluster::{ClusterToken, Ended, Nodes, unavailable},
    config::Config,
    domain, link,
    listener::App,
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

/// Where anybody is told that the process lives, as `rest` has it.
const LIVENESS: &str = "/healthz";

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

/// What answers now.
#[derive(Clone)]
struct Stage(Arc<RwLock<Answers>>);

impl Stage {
    /// Nobody answers yet.
    fn empty() -> Self {
        Self(Arc::new(RwLock::new(absent())))
    }

    fn set(&self, answers: Answers) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = answers;
    }

    /// What answers as whatever is on the stage when a request comes.
    fn answers(&self) -> Answers {
        let app = |of: fn(&Answers) -> &App| {
            let stage = self.clone();
            App::new(move |request| {
                let app = of(&stage.0.read().unwrap_or_else(PoisonError::into_inner)).clone();
                app.answer(request)
            })
        };
        Answers { clients: app(|on| &on.clients), plugins: app(|on| &on.plugins), scrapes: app(|on| &on.scrapes) }
    }
}

/// What is answered by a node that neither leads nor follows, as between the two.
fn absent() -> Answers {
    let absent = App::new(|request: Request| async move { not_yet(&request) });
    Answers { clients: absent.clone(), plugins: absent.clone(), scrapes: absent }
}

/// Says that the process lives, and of all else that nobody leads.
fn not_yet(request: &Request) -> Response {
    if request.uri().path() == LIVENESS { StatusCode::OK.into_response() } else { unavailable(request) }
}

/// These for plugins alone.
fn for_plugins(answers: &Answers) -> Answers {
    let dialled = answers.plugins.clone();
    let clients = App::new(move |request: Request| match request.uri().path() {
        link::DIALLED | link::PACKAGE => dialled.answer(request),
        _ => Box::pin(ready(not_yet(&request))),
    });
    Answers { clients, plugins: answers.plugins.clone(), scrapes: absent().scrapes }
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
    let stop = shutdown.child_token();
    let options = boot::prepare(&setup.config)?;
    let stage = Stage::empty();
    let serving = ports.serve(stage.answers(), reload, &setup.catalog, stop.clone());
    let mut node = Node { member, setup: &setup, options, stage, stop: stop.clone(), on_ready: Some(on_ready) };
    let playing = async {
        let played = node.play().await;
        // A node that can't begin does not serve.
        stop.cancel();
        played
    };
    let telling = async {
        stop.cancelled().await;
        manager::tell(News::Stopping);
    };
    tokio::join!(playing, serving, telling).0
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
            self.leave();
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
        let role = Role::Leads(leadership.term);
        let mut system = boot::boot(self.setup, (opened, loaded), Some(role), draining.clone()).await?;
        let (keys, store, local) = (std::mem::take(&mut system.keys), system.store.clone(), system.local.clone());
        let runtime = system.has_plugins.then(|| system.parts.runtime.clone());
        let projection = system.handle.projection().clone();
        let head = move || projection.head();
        // Plugins dial as soon as they run; it is not known what they do before they have.
        self.stage.set(self.known_to_nodes(for_plugins(&system.answers), head.clone()));
        let answers = self.known_to_nodes(system.answers.clone(), head);
        let serving = async {
            self.enter(answers, keys);
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
        self.leave();
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
        let (answers, mut follower) = begun?;
        let ending = draining.drop_guard();
        self.enter(self.known_to_nodes(answers, || 0), Keys::default());
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
                    self.leave();
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
    fn enter(&mut self, answers: Answers, keys: Keys) {
        self.stage.set(answers);
        if let Some(on_ready) = self.on_ready.take() {
            on_ready(keys);
        }
    }

    /// Has nobody answer until this node plays its next part.
    fn leave(&self) {
        self.stage.set(self.known_to_nodes(absent(), || 0));
    }

    /// The same for clients and for the other nodes, which are told the revision that this node has.
    fn known_to_nodes(&self, answers: Answers, revision: impl Fn() -> u64 + Send + Sync + 'static) -> Answers {
        let nodes = Arc::new(Nodes::new(self.member.token.clone(), revision));
        let app = answers.clients;
        let clients = App::new(move |request| {
            let (nodes, app) = (nodes.clone(), app.clone());
            async move { nodes.answer(request, |request| app.answer(request)).await }
        });
        Answers { clients, ..answers }
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

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn status(answers: &Answers, path: &str) -> StatusCode {
        answers.clients.answer(Request::builder().uri(path).body(Body::empty()).unwrap()).await.status()
    }

    #[tokio::test]
    async fn a_node_between_two_parts_lives_and_answers_nothing_else() {
        assert_eq!(status(&absent(), "/healthz").await, StatusCode::OK);
        for path in ["/readyz", "/rpc", "/api/plugins"] {
            assert_eq!(status(&absent(), path).await, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        }
    }

    #[tokio::test]
    async fn plugins_are_answered_before_clients_are() {
        let app = App::new(|_| async { StatusCode::ACCEPTED.into_response() });
        let answers = for_plugins(&Answers { clients: app.clone(), plugins: app.clone(), scrapes: app });
        assert_eq!(status(&answers, "/rpc").await, StatusCode::ACCEPTED);
        assert_eq!(status(&answers, "/healthz").await, StatusCode::OK);
        assert_eq!(status(&answers, "/api/plugins").await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
