//! The cluster, and a plugd that runs its plugins there.

use std::{
    env,
    panic::{AssertUnwindSafe, resume_unwind},
    process::{Command, Stdio},
    sync::LazyLock,
};

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
    runtime::wait::{await_condition, conditions},
};
use serde_json::json;
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant, sleep},
};

use crate::harness::{Plugd, repository, within};

/// Held to write by who stops a part of the cluster: the others need it.
static SERVES: LazyLock<RwLock<()>> = LazyLock::new(RwLock::default);

/// The images that the node knows.
const IMAGES: &str =
    "python3=python:test,greeter=programs:test,chaos=programs:test,sleep=nowhere:test,./lone.sh=programs:test";

/// Holds the cluster up.
pub(crate) async fn steady() -> RwLockReadGuard<'static, ()> {
    SERVES.read().await
}

/// Leaves the cluster to who has this, who may stop parts of it.
pub(crate) type Alone = RwLockWriteGuard<'static, ()>;

pub(crate) async fn alone() -> Alone {
    SERVES.write().await
}

/// A plugd with plugins as pods, beside these settings.
pub(crate) async fn plugd(knobs: &[(&str, &str)]) -> Plugd {
    let mut plugd = Plugd::with(&[("PLUGD_RUNTIME_PROVIDER", "none")]).await;
    let url = plugd.url();
    plugd.sigterm().await;
    let kubeconfig = env::var("KUBECONFIG").expect("there is no cluster: run `make test-cluster`");
    let pods = [
        ("PLUGD_RUNTIME_PROVIDER", "kubernetes"),
        ("PLUGD_KUBE_PLUGD_URL", &*url),
        ("PLUGD_KUBE_IMAGE", IMAGES),
        ("PLUGD_KUBE_PLUGD_IMAGE", "plugd:test"),
        ("KUBECONFIG", &*kubeconfig),
        // The host that a pod starts on is busy.
        ("PLUGD_CONNECT_TIMEOUT", "2m"),
        ("PLUGD_KILL_TIMEOUT", "1m"),
    ];
    pods.iter().chain(knobs).for_each(|(name, value)| plugd.set(name, value));
    plugd.restart_on_the_same_address().await;
    plugd
}

async fn api() -> Api<Pod> {
    Api::default_namespaced(Client::try_default().await.unwrap())
}

/// The pods of a plugin.
pub(crate) async fn pods_of(plugin: &str) -> Vec<Pod> {
    let selected = ListParams::default().labels(&format!("plugd/plugin={plugin}"));
    api().await.list(&selected).await.unwrap().items
}

/// Waits until a plugin has no pod.
pub(crate) async fn without_pods(plugin: &str) {
    let gone = async {
        while !pods_of(plugin).await.is_empty() {
            sleep(LOOK).await;
        }
    };
    within("the pods are gone", gone).await;
}

/// How often the cluster is asked again, which tells nobody.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Deletes a pod as somebody would who is not plugd.
pub(crate) async fn delete(pod: &Pod) {
    delete_by(pod, &DeleteParams::default()).await;
}

/// The same of a pod of which somebody knows that it does not run.
pub(crate) async fn force_off(pod: &Pod) {
    delete_by(pod, &DeleteParams::default().grace_period(0)).await;
}

async fn delete_by(pod: &Pod, how: &DeleteParams) {
    api().await.delete(pod.metadata.name.as_deref().unwrap(), how).await.unwrap();
}

/// How long a pod takes to run that somebody else makes. It has as many containers as that of a plugin, which do nothing.
pub(crate) async fn run_bare() -> Duration {
    let container = |name: &str, command: &[&str]| json!({"name": name, "image": "programs:test", "command": command});
    let pod = json!({
        "metadata": {"generateName": "bare-"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "initContainers": [container("first", &["true"])],
            "containers": [container("then", &["sleep", "1000"])],
        },
    });
    let began = Instant::now();
    let pod: Pod = api().await.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let name = pod.metadata.name.clone().unwrap();
    let runs = await_condition(api().await, &name, conditions::is_pod_running());
    within("that a pod runs", runs).await.unwrap();
    let took = began.elapsed();
    delete(&pod).await;
    took
}

/// Does something while the API server is stopped.
pub(crate) async fn without_api<T>(alone: &Alone, during: impl AsyncFnOnce() -> T) -> T {
    disturbed(alone, &["stop", "api"], during, &["start", "api"]).await
}

/// Does something between two commands of the test bed, the second one in any case, even where the first has failed: who comes next
/// needs the cluster.
pub(crate) async fn disturbed<T>(_: &Alone, before: &[&str], during: impl AsyncFnOnce() -> T, after: &[&str]) -> T {
    let both = async {
        testbed(before).await;
        during().await
    };
    let done = AssertUnwindSafe(both).catch_unwind().await;
    testbed(after).await;
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Has the test bed do this.
pub(crate) async fn testbed(what: &[&str]) {
    let mut command = Command::new(repository("tests/kubernetes/testbed"));
    command.args(what).stdin(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    assert!(status.success(), "testbed {what:?}: {status}");
}
