//! `kill -9` of plugd at each step of a pod: what of it there is in the cluster, and what plugd has heard of that.

use axum::http::Method;
use k8s_openapi::api::core::v1::Pod;
use plugd::api::v1::ActiveState;
use tokio::time::sleep;

use crate::{
    cluster::{LOOK, plugd, pods_of, steady, without_pods},
    gate::{
        At::{Answer, Request},
        Gate,
    },
    harness::{Knobs, Plugd, eventually_async, repeat, rounds},
    lone::{Lone, runs},
};

pub(crate) const KNOBS: Knobs = &[("PLUGD_BACKOFF", "20ms"), ("PLUGD_STABLE_CRASH_BACKOFF", "20ms")];

/// When plugd is killed.
enum Step {
    /// Once a request of this method is on its way, or its answer.
    Held(Method, crate::gate::At),
    /// Once the pods of the plugin are like this. They are looked at now and then, and a busy host may be further by the next look:
    /// so what comes after the moment that is meant must be like this, too.
    Seen(fn(&[Pod]) -> bool),
}

use Step::{Held, Seen};

/// A plugd with a plugin, and the way to the cluster that it has.
struct Place {
    gate: Gate,
    plugd: Plugd,
    plugin: Lone,
}

impl Place {
    async fn new() -> Self {
        let gate = Gate::open().await;
        let plugd = plugd(&[KNOBS, &[("KUBECONFIG", &gate.kubeconfig())]].concat()).await;
        let plugin = Lone::install(&plugd).await;
        Self { gate, plugd, plugin }
    }

    /// Desires this of the plugin, and kills plugd at that step of it. The next one begins.
    async fn kill_at(&mut self, step: &Step, desired: ActiveState) {
        let held = match step {
            Held(method, at) => Some(self.gate.hold(method.clone(), *at)),
            Seen(_) => None,
        };
        self.plugd.api().desire(&self.plugin.id, desired).await.unwrap();
        match (step, held) {
            (Seen(is_seen), _) => {
                let look = async || is_seen(&pods_of(&self.plugin.id).await).then_some(());
                eventually_async("such pods", look).await;
                self.plugd.kill_9().await;
            }
            (Held(..), held) => {
                let mut held = held.unwrap();
                held.reached().await;
                self.plugd.kill_9().await;
            }
        }
        self.plugd.restart_on_the_same_address().await;
    }
}

/// Kills plugd while it starts a plugin, which then comes to run once.
async fn while_it_starts(scenario: &str, step: Step) {
    let _steady = steady().await;
    let mut place = Place::new().await;
    repeat(&format!("kill -9 of plugd {scenario}"), rounds(1, 20), async |_| {
        place.kill_at(&step, ActiveState::Active).await;
        place.plugin.start(&place.plugd).await;
        place.plugin.stop(&place.plugd).await;
    })
    .await;
}

/// Kills plugd while it stops a plugin, which then comes to be stopped.
async fn while_it_stops(scenario: &str, step: Step) {
    let _steady = steady().await;
    let mut place = Place::new().await;
    repeat(&format!("kill -9 of plugd {scenario}"), rounds(1, 20), async |_| {
        place.plugin.start(&place.plugd).await;
        place.kill_at(&step, ActiveState::Inactive).await;
        place.plugin.stop(&place.plugd).await;
    })
    .await;
}

#[tokio::test]
async fn plugd_that_is_killed_before_a_pod_is_made_makes_another() {
    while_it_starts("before the API server has its pod", Held(Method::POST, Request)).await;
}

#[tokio::test]
async fn plugd_that_is_killed_before_it_hears_of_its_pod_goes_on_with_it() {
    while_it_starts("before it hears that there is its pod", Held(Method::POST, Answer)).await;
}

#[tokio::test]
async fn plugd_that_is_killed_while_its_pod_is_prepared_goes_on_with_it() {
    // Any pod: the first look mostly finds one that is prepared, and one that runs already is as good.
    while_it_starts("while its pod is prepared", Seen(|pods| !pods.is_empty())).await;
}

#[tokio::test]
async fn plugd_that_is_killed_as_soon_as_its_pod_runs_goes_on_with_it() {
    while_it_starts("as soon as its pod runs", Seen(|pods| pods.iter().any(runs))).await;
}

#[tokio::test]
async fn plugd_that_is_killed_before_it_has_a_pod_deleted_has_it_deleted() {
    while_it_stops("before the API server has its deletion", Held(Method::DELETE, Request)).await;
}

#[tokio::test]
async fn plugd_that_is_killed_before_it_hears_of_a_deletion_knows_of_it() {
    while_it_stops("before it hears of its deletion", Held(Method::DELETE, Answer)).await;
}

#[tokio::test]
async fn plugd_that_is_killed_while_a_pod_ends_waits_for_that() {
    // Or when there is none any more: it may have ended since the last look.
    let ends = Seen(|pods| pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()));
    while_it_stops("while its pod ends", ends).await;
}

/// The request was on its way for so long that another plugd has begun.
#[tokio::test]
async fn a_pod_that_is_made_late_never_runs_its_plugin() {
    let _steady = steady().await;
    let mut place = Place::new().await;
    repeat("a request for a pod that arrives after the next plugd", rounds(1, 4), async |_| {
        let Place { gate, plugd, plugin } = &mut place;
        let mut held = gate.hold(Method::POST, Request);
        plugd.api().begin(&plugin.id).await;
        held.reached().await;
        plugd.kill_9().await;
        plugd.restart_on_the_same_address().await;
        let run = plugin.start(plugd).await;
        held.release();
        let is_late = |pod: &Pod| !pod.metadata.name.as_ref().is_some_and(|name| name.ends_with(&run));
        eventually_async("the late pod", async || pods_of(&plugin.id).await.iter().any(is_late).then_some(())).await;
        // It is swept.
        let late = async || {
            let pods = pods_of(&plugin.id).await;
            assert!(!pods.iter().any(|pod| is_late(pod) && runs(pod)), "{pods:?}");
            (!pods.iter().any(is_late)).then_some(())
        };
        eventually_async("its end", late).await;
        assert_eq!(plugin.start(plugd).await, run);
        plugin.stop(plugd).await;
    })
    .await;
}

#[tokio::test]
async fn plugd_that_is_killed_during_a_restart_comes_to_run_its_plugin_once() {
    let _steady = steady().await;
    let mut place = Place::new().await;
    place.plugin.start(&place.plugd).await;
    repeat("kill -9 of plugd at some moment of a restart", rounds(2, 40), async |round| {
        let Place { plugd, plugin, .. } = &mut place;
        let (api, id) = (plugd.api(), plugin.id.clone());
        let restart = tokio::spawn(async move { drop(api.restart(&id).await) });
        // A moment later in each round.
        sleep(LOOK / 2 * u32::try_from(round).unwrap()).await;
        plugd.kill_9().await;
        restart.await.unwrap();
        plugd.restart_on_the_same_address().await;
        plugin.start(plugd).await;
    })
    .await;
    place.plugin.stop(&place.plugd).await;
    without_pods(&place.plugin.id).await;
}
