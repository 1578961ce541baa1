//! The cluster, and a plugd that runs its plugins there.

use std::{
    env,
    process::{Command, Stdio},
    sync::LazyLock,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use tokio::{
    sync::{RwLock, RwLockReadGuard},
    time::{Duration, sleep},
};

use crate::harness::{Plugd, repository, within};

/// Held to write by who stops the API server: the others need it.
static SERVES: LazyLock<RwLock<()>> = LazyLock::new(RwLock::default);

/// The images that the node knows.
const IMAGES: &str = "python3=python:test,greeter=programs:test,chaos=programs:test,sleep=nowhere:test";

/// Holds the API server up.
pub(crate) async fn steady() -> RwLockReadGuard<'static, ()> {
    SERVES.read().await
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
    api().await.delete(pod.metadata.name.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
}

/// Makes the pod of another run of the same plugin, that no plugd knows of.
pub(crate) async fn double(pod: &Pod) -> Pod {
    let run = "00000000000000000000";
    let mut double = Pod { metadata: Default::default(), spec: pod.spec.clone(), status: None };
    let mut labels = pod.metadata.labels.clone().unwrap();
    labels.insert("plugd/run".to_owned(), run.to_owned());
    double.metadata.labels = Some(labels);
    double.metadata.name = Some(format!("plugd-double-{}", pod.metadata.uid.as_ref().unwrap()));
    if let Some(spec) = &mut double.spec {
        spec.node_name = None;
    }
    api().await.create(&PostParams::default(), &double).await.unwrap()
}

/// Does something while the API server is stopped.
pub(crate) async fn without_api<T>(during: impl AsyncFnOnce() -> T) -> T {
    let _alone = SERVES.write().await;
    testbed("api-down").await;
    let done = during().await;
    testbed("api-up").await;
    done
}

async fn testbed(what: &'static str) {
    let run = move || {
        let mut command = Command::new(repository("tests/kubernetes/testbed"));
        command.arg(what).stdin(Stdio::null()).status()
    };
    let status = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(status.success(), "testbed {what}: {status}");
}
