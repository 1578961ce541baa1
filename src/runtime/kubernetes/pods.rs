//! What is known of the pods of this instance, from one watch for all of them.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::watcher::{self, Event, watcher},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    pod,
    requests::{self, Term},
    status,
};
use crate::domain::{PluginId, RunId};

/// How often all pods are listed anew: a watch may fall silent without an error.
const RELIST: Duration = Duration::from_secs(60);

/// What was seen of the pod of a run.
#[derive(Debug, Clone, Default)]
pub(super) enum Sight {
    #[default]
    Nothing,
    Here(Arc<Pod>),
    /// It is gone, and looked like this before.
    Gone(Arc<Pod>),
}

impl Sight {
    fn here(&self) -> Option<Arc<Pod>> {
        match self {
            Self::Here(pod) => Some(Arc::clone(pod)),
            Self::Nothing | Self::Gone(_) => None,
        }
    }
}

type Sights = HashMap<RunId, watch::Sender<Sight>>;

/// The pods. A run owns its pod for as long as somebody looks at it.
#[derive(Default)]
pub(super) struct Pods {
    sights: Mutex<Sights>,
    /// Changes with each sight.
    news: watch::Sender<()>,
    /// All were listed once.
    listed: watch::Sender<bool>,
    /// Those that nobody owns are deleted.
    is_swept: AtomicBool,
    /// The runs of those that nobody owned when all were listed last.
    suspects: Mutex<HashSet<RunId>>,
    trouble: Mutex<Option<String>>,
}

impl Pods {
    /// Looks at the pod of a run, which it owns meanwhile.
    pub(super) fn look(&self, run: RunId) -> watch::Receiver<Sight> {
        self.sights().entry(run).or_default().subscribe()
    }

    /// Waits until all are known.
    pub(super) async fn listed(&self) {
        // It ends with this only.
        drop(self.listed.subscribe().wait_for(|is_listed| *is_listed).await);
    }

    pub(super) fn sweep_from_now_on(&self) {
        self.is_swept.store(true, Ordering::Relaxed);
    }

    /// Why the cluster does not answer, while it does not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest pod of each plugin.
    pub(super) fn newest(&self) -> Vec<Arc<Pod>> {
        let mut newest: HashMap<PluginId, (RunId, Arc<Pod>)> = HashMap::new();
        for pod in self.here() {
            let Some((plugin, run)) = pod::whose(&pod) else { continue };
            if newest.get(&plugin).is_none_or(|(other, _)| other.as_bytes() < run.as_bytes()) {
                newest.insert(plugin, (run, pod));
            }
        }
        newest.into_values().map(|(_, pod)| pod).collect()
    }

    /// Waits until no other run of this plugin may live.
    pub(super) async fn alone(&self, plugin: PluginId, run: RunId) {
        let mut news = self.news.subscribe();
        let is_in_the_way = |pod: &Arc<Pod>| {
            let is_other = pod::whose(pod).is_some_and(|(its, other)| its == plugin && other != run);
            is_other && !matches!(status::read(pod, true), status::Seen::Over(_))
        };
        while self.here().iter().any(is_in_the_way) && news.changed().await.is_ok() {}
    }

    /// A pod that was made just now; what the watch has seen of it is newer.
    pub(super) fn made(&self, pod: Pod) {
        if let Some((_, run)) = pod::whose(&pod) {
            let mut sights = self.sights();
            if sights.get(&run).is_none_or(|sight| matches!(*sight.borrow(), Sight::Nothing)) {
                put(&mut sights, run, pod);
            }
            drop(sights);
            self.news.send_replace(());
        }
    }

    fn see(&self, pod: Pod) {
        let Some((_, run)) = pod::whose(&pod) else { return };
        put(&mut self.sights(), run, pod);
        self.news.send_replace(());
    }

    fn lose(&self, run: RunId) {
        let mut sights = self.sights();
        let is_owned = sights.get(&run).is_some_and(|sight| {
            sight.send_modify(|sight| {
                if let Sight::Here(pod) = sight {
                    *sight = Sight::Gone(Arc::clone(pod));
                }
            });
            sight.receiver_count() > 0
        });
        if !is_owned {
            sights.remove(&run);
        }
        drop(sights);
        self.news.send_replace(());
    }

    fn here(&self) -> Vec<Arc<Pod>> {
        self.sights().values().filter_map(|sight| sight.borrow().here()).collect()
    }

    fn runs(&self) -> HashSet<RunId> {
        let sights = self.sights();
        sights.iter().filter(|(_, sight)| sight.borrow().here().is_some()).map(|(run, _)| *run).collect()
    }

    /// The pods that nobody owns, by their runs.
    fn unowned(&self) -> Vec<(RunId, Arc<Pod>)> {
        let mut sights = self.sights();
        sights.retain(|_, sight| sight.receiver_count() > 0 || sight.borrow().here().is_some());
        let unowned = sights.iter().filter(|(_, sight)| sight.receiver_count() == 0);
        unowned.filter_map(|(run, sight)| Some((*run, sight.borrow().here()?))).collect()
    }

    /// The pods that nobody owns, and that nobody owned a list earlier. A plugd that was suspended while another took its place
    /// owns none of that one's pods, and finds out in between that it is no longer its turn.
    fn to_sweep(&self) -> Vec<Arc<Pod>> {
        let unowned = self.unowned();
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *suspects, unowned.iter().map(|(run, _)| *run).collect());
        unowned.into_iter().filter(|(run, _)| before.contains(run)).map(|(_, pod)| pod).collect()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &trouble) {
            (None, Some(why)) => tracing::warn!("the cluster does not answer; what runs goes on: {why}"),
            (Some(_), None) => tracing::info!("the cluster answers again"),
            _ => {}
        }
        *known = trouble;
    }

    fn sights(&self) -> MutexGuard<'_, Sights> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(sights: &mut Sights, run: RunId, mut pod: Pod) {
    // Who wrote which field: more than all the rest.
    pod.metadata.managed_fields = None;
    sights.entry(run).or_default().send_replace(Sight::Here(Arc::new(pod)));
}

/// Keeps what is known of the pods up to date, and deletes those that nobody owns until plugd is `draining`: what is not owned
/// then has only lost its owner.
pub(super) async fn watch(
    api: Api<Pod>,
    selector: String,
    (pods, term): (Arc<Pods>, Arc<Term>),
    draining: CancellationToken,
) {
    loop {
        let events = watcher(api.clone(), watcher::Config::default().labels(&selector));
        let sweep = || {
            if pods.is_swept.load(Ordering::Relaxed) {
                tokio::spawn(sweep((api.clone(), Arc::clone(&term)), Arc::clone(&pods), draining.clone()));
            }
        };
        // It ends by this deadline only.
        drop(timeout(RELIST, hear(events, &pods, sweep)).await);
    }
}

async fn hear(events: impl Stream<Item = watcher::Result<Event<Pod>>>, pods: &Pods, sweep: impl Fn()) {
    let mut events = pin!(events);
    let mut missing = HashSet::new();
    while let Some(event) = events.next().await {
        // That a list begins is no answer yet.
        if !matches!(event, Ok(Event::Init)) {
            pods.set_trouble(event.as_ref().err().map(ToString::to_string));
        }
        match event {
            // One that is made while they are listed may not be among them.
            Ok(Event::Init) => missing = pods.runs(),
            Ok(Event::InitApply(pod)) => {
                if let Some((_, run)) = pod::whose(&pod) {
                    missing.remove(&run);
                }
                pods.see(pod);
            }
            Ok(Event::InitDone) => {
                std::mem::take(&mut missing).into_iter().for_each(|run| pods.lose(run));
                pods.listed.send_replace(true);
                sweep();
            }
            Ok(Event::Apply(pod)) => pods.see(pod),
            Ok(Event::Delete(pod)) => {
                let run = pod::whose(&pod).map(|(_, run)| run);
                pods.see(pod);
                run.into_iter().for_each(|run| pods.lose(run));
            }
            Err(_) => sleep(requests::AGAIN).await,
        }
    }
}

async fn sweep((api, term): (Api<Pod>, Arc<Term>), pods: Arc<Pods>, draining: CancellationToken) {
    for pod in pods.to_sweep() {
        let name = pod.metadata.name.clone().unwrap_or_default();
        if draining.is_cancelled() {
            return;
        }
        tracing::info!(pod = name, "deleting a pod that no run owns");
        let deleted = requests::delete((api.clone(), &term), name, Some(pod::grace_of(&pod)));
        drop(timeout(RELIST, deleted).await);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    const RUNS: [RunId; 3] = [RunId::from_bytes([1; 12]), RunId::from_bytes([2; 12]), RunId::from_bytes([3; 12])];
    const PLUGIN: PluginId = PluginId::from_bytes([9; 12]);

    fn mk_pod(run: RunId) -> Pod {
        let labels = json!({"plugd/plugin": PLUGIN.to_string(), "plugd/run": run.to_string()});
        serde_json::from_value(json!({"metadata": {"name": run.to_string(), "labels": labels}})).unwrap()
    }

    async fn heard(pods: &Pods, events: Vec<Event<Pod>>) {
        hear(stream::iter(events.into_iter().map(Ok)), pods, || ()).await;
    }

    fn is_here(sight: &watch::Receiver<Sight>) -> bool {
        matches!(*sight.borrow(), Sight::Here(_))
    }

    #[tokio::test]
    async fn what_a_list_does_not_have_is_gone_unless_it_was_made_meanwhile() {
        let pods = Pods::default();
        let [kept, lost, made] = RUNS;
        let sights = RUNS.map(|run| pods.look(run));
        heard(&pods, vec![Event::Apply(mk_pod(kept)), Event::Apply(mk_pod(lost))]).await;

        heard(&pods, vec![Event::Init, Event::InitApply(mk_pod(kept)), Event::Apply(mk_pod(made)), Event::InitDone])
            .await;

        assert_eq!(sights.each_ref().map(is_here), [true, false, true]);
        assert!(
            matches!(&*sights[1].borrow(), Sight::Gone(pod) if *pod.metadata.name.as_ref().unwrap() == lost.to_string())
        );
        pods.listed().await;
    }

    #[tokio::test]
    async fn a_pod_is_owned_for_as_long_as_somebody_looks_at_it() {
        let pods = Pods::default();
        let owned = pods.look(RUNS[0]);
        heard(&pods, vec![Event::Apply(mk_pod(RUNS[0])), Event::Apply(mk_pod(RUNS[1]))]).await;
        let unowned = || pods.unowned().into_iter().map(|(run, _)| run).collect::<Vec<_>>();
        assert_eq!(unowned(), [RUNS[1]]);
        assert_eq!([pods.to_sweep().len(), pods.to_sweep().len()], [0, 1], "not before it was nobody's twice");
        drop(owned);
        assert_eq!(unowned().len(), 2);
        heard(&pods, RUNS.map(|run| Event::Delete(mk_pod(run))).into()).await;
        assert!(pods.sights().is_empty(), "what is gone and nobody's is forgotten");
    }

    #[tokio::test]
    async fn of_several_pods_of_a_plugin_the_newest_is_its_run_and_the_others_are_in_the_way() {
        let pods = Pods::default();
        heard(&pods, vec![Event::Apply(mk_pod(RUNS[1])), Event::Apply(mk_pod(RUNS[0]))]).await;
        let newest: Vec<_> = pods.newest().iter().filter_map(|pod| pod::whose(pod)).collect();
        assert_eq!(newest, [(PLUGIN, RUNS[1])]);
        assert!(timeout(Duration::ZERO, pods.alone(PLUGIN, RUNS[2])).await.is_err());
        heard(&pods, vec![Event::Delete(mk_pod(RUNS[0])), Event::Delete(mk_pod(RUNS[1]))]).await;
        pods.alone(PLUGIN, RUNS[2]).await;
    }

    #[test]
    fn what_the_watch_has_seen_of_a_pod_is_newer_than_the_answer_that_it_was_made() {
        let pods = Pods::default();
        let sight = pods.look(RUNS[0]);
        pods.see(mk_pod(RUNS[0]));
        pods.lose(RUNS[0]);
        pods.made(mk_pod(RUNS[0]));
        assert!(matches!(*sight.borrow(), Sight::Gone(_)));
    }
}
