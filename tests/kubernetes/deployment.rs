//! What `packaging/kubernetes` makes of a cluster, and what plugd may do there.

use std::{env, fs, path::PathBuf};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, sync::OnceCell};

use crate::{
    cluster::steady,
    harness::{Cluster, Output, Plugd, Run, eventually_async, program, repository},
    service::Service,
};

/// The namespace of all of it.
pub(crate) const NAMESPACE: &str = "plugd";

/// Where it is.
const MANIFESTS: &str = "packaging/kubernetes";

/// Has the cluster have it. Nobody here makes pods of its Deployment.
pub(crate) async fn deploy() {
    static DEPLOYED: OnceCell<()> = OnceCell::const_new();
    let deploying = async || {
        kubectl(&["apply", "--filename", &format!("{MANIFESTS}/namespace.yaml")]).await;
        let applied = asked(&["apply", "--kustomize", MANIFESTS]).await;
        applied.text();
        // Of what is there already nobody is warned again. On a busy host kubectl also says that it had to wait.
        assert!(!applied.stderr.lines().any(|line| line.starts_with("Warning:")), "{}", applied.stderr);
        // What an operator adds who wants volumes, as some tests do.
        kubectl(&["--namespace", NAMESPACE, "apply", "--filename", &format!("{MANIFESTS}/claims.yaml")]).await;
    };
    DEPLOYED.get_or_init(deploying).await;
}

/// What kubectl prints, as an administrator of the cluster; it must succeed.
pub(crate) async fn kubectl(args: &[&str]) -> String {
    asked(args).await.text().to_owned()
}

async fn asked(args: &[&str]) -> Output {
    let mut kubectl = command(&env::var("KUBECONFIG").expect("there is no cluster: run `make test-cluster`"));
    kubectl.args(args).run().await
}

fn command(kubeconfig: &str) -> Command {
    let mut kubectl = program("kubectl");
    kubectl.current_dir(repository("")).env("KUBECONFIG", kubeconfig);
    kubectl
}

/// The account that it gives plugd, with the rights that it has by that.
pub(crate) struct Account(TempDir);

impl Account {
    pub(crate) async fn of_plugd() -> Self {
        deploy().await;
        let account = Self(tempfile::tempdir().unwrap());
        fs::copy(env::var("KUBECONFIG").unwrap(), account.kubeconfig()).unwrap();
        let token = kubectl(&["--namespace", NAMESPACE, "create", "token", "plugd"]).await;
        account.configure(&["set-credentials", "admin", "--token", token.trim()]).await;
        account.configure(&["set-context", "--current", "--namespace", NAMESPACE]).await;
        account
    }

    /// The file that says who it is.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.path().join("kubeconfig")
    }

    async fn configure(&self, args: &[&str]) {
        let kubeconfig = self.kubeconfig();
        command(kubeconfig.to_str().unwrap()).arg("config").args(args).run().await.text();
    }
}

/// The settings of plugd in the Deployment, but for those that are the cluster's to fill in.
async fn settings() -> Vec<(String, String)> {
    deploy().await;
    let deployment = kubectl(&["--namespace", NAMESPACE, "get", "deployment", "plugd", "--output", "json"]).await;
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let variables = deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).unwrap();
    let text = |variable: &Value, name: &str| Some(variable.get(name)?.as_str()?.to_owned());
    variables.iter().filter_map(|variable| Some((text(variable, "name")?, text(variable, "value")?))).collect()
}

/// plugd with these settings and rights, one on each of these addresses of one database, where plugins dial this Service.
pub(crate) async fn cluster_of(urls: &[String], account: &Account, service: &Service) -> Cluster {
    let (kubeconfig, url) = (account.kubeconfig(), service.url());
    let settings = settings().await;
    let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let here = [
        ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ("PLUGD_KUBE_PLUGD_URL", &url),
        // The host that a pod starts on is busy.
        ("PLUGD_CONNECT_TIMEOUT", "2m"),
        ("PLUGD_KILL_TIMEOUT", "1m"),
    ];
    let cluster = Cluster::with(urls, &given.chain(here).collect::<Vec<_>>()).await;
    service.lead_to(cluster.nodes.iter().map(Plugd::address));
    cluster
}

/// The pods of a plugin.
pub(crate) async fn pods_of(plugin: &str) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(Client::try_default().await.unwrap(), NAMESPACE);
    pods.list(&ListParams::default().labels(&format!("plugd/plugin={plugin}"))).await.unwrap().items
}

/// Waits until a plugin has no pod.
pub(crate) async fn without_pods(plugin: &str) {
    eventually_async("the pods are gone", async || pods_of(plugin).await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_api_server_takes_the_manifests_and_finds_them_as_strict_as_pods_must_be() {
    let _steady = steady().await;
    deploy().await;
    assert!(
        !kubectl(&["kustomize", MANIFESTS]).await.contains("persistentvolumeclaims"),
        "rights that nobody asked for"
    );
    let said = kubectl(&["apply", "--dry-run=server", "--kustomize", MANIFESTS]).await;
    assert!(said.lines().count() >= 8 && said.lines().all(|line| line.ends_with("(server dry run)")), "{said}");
}

#[tokio::test]
async fn plugd_may_do_with_pods_and_claims_of_its_namespace_what_it_does_and_nothing_else() {
    let _steady = steady().await;
    deploy().await;
    let may = async |what: &str, namespace: &str| {
        let account = format!("system:serviceaccount:{NAMESPACE}:plugd");
        let mut args = vec!["auth", "can-i", "--as", &account, "--namespace", namespace];
        args.extend(what.split(' '));
        match String::from_utf8(asked(&args).await.stdout).unwrap().trim() {
            "yes" => true,
            "no" => false,
            said => panic!("{what}: {said:?}"),
        }
    };
    let used = ["create pods", "delete pods", "list pods", "watch pods", "get pods --subresource=log"];
    for what in used.iter().chain(&["create persistentvolumeclaims", "delete persistentvolumeclaims"]) {
        // A moment passes until the API server knows of a role that it has just been given.
        eventually_async(what, async || may(what, NAMESPACE).await.then_some(())).await;
        assert!(!may(what, "default").await, "{what} elsewhere");
    }
    let unused = ["get secrets", "update pods", "create pods --subresource=exec", "get persistentvolumeclaims"];
    for what in unused.iter().chain(&["create serviceaccounts --subresource=token", "list nodes"]) {
        assert!(!may(what, NAMESPACE).await, "{what}");
    }
}
