//! Plugins as pods of a Kubernetes cluster: a pod a run, which plugd itself makes, watches and deletes.
//!
//! ```text
//! start ─► run ──create, delete──► API server ──list, watch──► pods (what is known of each) ─► run ─► RunEvent
//!                                      └─────log of a pod────► output ─► the plugin's log
//! ```
//!
//! Pods go on without plugd. The next one knows them by their labels, and those of which no run comes are deleted. A pod gets its
//! package and its connection with a token that is good while its run is its plugin's present one: one that nobody knows of, as
//! of a plugd that died while it was made, never runs the plugin.

mod claims;
mod output;
mod pod;
mod pods;
mod requests;
mod run;
mod status;

use std::{io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{EarlierRun, Run, RunEvents, Runtime, StartSpec};
use crate::domain::{
    PluginId, RunId, Secret,
    policy::{Limits, User},
};

pub use pod::{DIGEST_VARIABLE, URL_VARIABLE};
use pods::Pods;
use requests::Term;

/// What an operator decides about pods.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where pods are made; plugd's own namespace when absent.
    pub namespace: Option<String>,
    /// Whose pods they are: different for each plugd that has a database of its own.
    pub instance: String,
    /// The image for each command of a manifest; `*` stands for any other command.
    pub images: Vec<(String, String)>,
    /// plugd's own image, which lays out packages.
    pub plugd_image: String,
    /// Limits of each plugin; a pod has those of memory and processors.
    pub limits: Limits,
    /// Volumes in which plugins' folders outlive their pods; none where they do not.
    pub volumes: Option<Volumes>,
    /// User and group of plugins of which no policy says otherwise.
    pub user: Option<User>,
    /// How many pods may be asked for at once.
    pub max_concurrent_starts: usize,
}

/// What volumes are claimed.
#[derive(Debug, Clone)]
pub struct Volumes {
    /// Their storage class.
    pub class: String,
    /// How much each is to hold.
    pub bytes: u64,
}

/// Takes what the pod of a run prints.
pub trait Printed: Send + Sync {
    /// When the last line that was taken of the run was printed, and how many were taken that were printed then; none if none was.
    ///
    /// # Errors
    /// It can't be read.
    fn last(&self) -> BoxFuture<'_, io::Result<Option<(Timestamp, usize)>>>;

    /// The first lines of the run are about to come.
    fn begin(&self) -> BoxFuture<'_, ()>;

    /// Takes lines in their order, each with its line break unless it goes on in the next one.
    fn write(&self, lines: Vec<(Timestamp, Vec<u8>)>) -> BoxFuture<'_, ()>;

    /// Nothing more comes.
    fn finish(&self) -> BoxFuture<'_, ()>;
}

/// Who takes what a run prints, which must not show the run's token.
pub type PrintedOf = Arc<dyn Fn(PluginId, RunId, &Secret) -> Box<dyn Printed> + Send + Sync>;

/// Runs plugins as pods.
pub struct KubernetesRuntime {
    inner: Arc<Inner>,
    /// What has that of plugins which is on plugd's own host: their logs.
    local: Arc<dyn Runtime>,
    _watch: AbortOnDropHandle<()>,
}

/// What all runs share.
struct Inner {
    api: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
    term: Arc<Term>,
    options: Options,
    pods: Arc<Pods>,
    printed_of: PrintedOf,
    turns: Arc<Semaphore>,
}

impl KubernetesRuntime {
    /// Runs plugins in the cluster that `KUBECONFIG` names, or in which this process is a pod; `local` has their logs. No pod is
    /// deleted for having no run once plugd is `draining`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// There is no such cluster. That one does not answer is none: it may later.
    pub async fn new(
        options: Options,
        (printed_of, local): (PrintedOf, Arc<dyn Runtime>),
        draining: CancellationToken,
    ) -> Result<Self, kube::Error> {
        let mut config = kube::Config::infer().await.map_err(kube::Error::InferConfig)?;
        config.connect_timeout = Some(requests::LIMIT);
        let client = Client::try_from(config)?;
        let namespace = options.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let claims = Api::namespaced(client, &namespace);
        let (pods, term) = (Arc::new(Pods::default()), Arc::new(Term::default()));
        let of = (Arc::clone(&pods), Arc::clone(&term));
        let watch = pods::watch(api.clone(), pod::selector(&options.instance), of, draining);
        let turns = Arc::new(Semaphore::new(options.max_concurrent_starts.max(1)));
        let inner = Arc::new(Inner { api, claims, term, options, pods, printed_of, turns });
        Ok(Self { inner, local, _watch: AbortOnDropHandle::new(tokio::spawn(watch)) })
    }

    /// Why no pod can be made now, in words; none where one can.
    pub fn obstacle(&self) -> Option<String> {
        self.inner.pods.trouble()
    }
}

impl Runtime for KubernetesRuntime {
    /// Must be called within a tokio runtime.
    fn start(&self, spec: StartSpec, events: RunEvents) -> Box<dyn Run> {
        Box::new(run::start(Arc::clone(&self.inner), spec, events))
    }

    fn go_on_until(&self, time: Duration) {
        self.inner.term.go_on_until(time);
    }

    fn outlives_plugd(&self) -> bool {
        true
    }

    fn earlier(&self) -> BoxFuture<'_, Vec<EarlierRun>> {
        Box::pin(async {
            self.inner.pods.listed().await;
            let found = self.inner.pods.newest();
            let earlier = found.into_iter().filter_map(|pod| run::earlier(&self.inner, &pod)).collect();
            // What is owned from here on is owned by those who hear of it.
            self.inner.pods.sweep_from_now_on();
            earlier
        })
    }

    fn kept(&self) -> BoxFuture<'_, io::Result<Vec<PluginId>>> {
        Box::pin(async {
            let mut kept = self.local.kept().await?;
            if self.inner.options.volumes.is_some() {
                let of = (&self.inner.claims, &*self.inner.term);
                kept.extend(claims::plugins(of, &self.inner.options.instance).await?);
            }
            Ok(kept)
        })
    }

    fn remove(&self, plugin: PluginId) -> BoxFuture<'static, io::Result<()>> {
        let (log, inner) = (self.local.remove(plugin), Arc::clone(&self.inner));
        Box::pin(async move {
            let removed = log.await;
            if inner.options.volumes.is_none() {
                return removed;
            }
            claims::delete((inner.claims.clone(), &inner.term), &inner.options.instance, plugin).await.and(removed)
        })
    }
}
