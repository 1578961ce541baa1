//! `docs/kubernetes.md` is followed, but for what needs pods of a Deployment: a plugd beside the cluster is in their place.

use std::{env, os::unix::fs::symlink};

use crate::{
    cluster::steady,
    deployment::{Account, NAMESPACE, cluster_of, kubectl, without_pods},
    harness::{Reader, Server, follow_as, repository},
    service::Service,
};

#[tokio::test]
async fn the_page_is_followed_to_a_plugin_in_a_pod() {
    let _steady = steady().await;
    let account = Account::of_plugd().await;
    let service = Service::start().await;
    let database = Server::shared().database().await;
    let cluster = cluster_of(&[database.url()], &account, &service).await;
    let (reader, plugd) = (Reader::new(), &cluster.nodes[0]);
    symlink(repository("packaging"), reader.folder.path().join("packaging")).unwrap();
    // That of an earlier reader.
    kubectl(&["--namespace", NAMESPACE, "delete", "secret", "plugd", "--ignore-not-found"]).await;
    let kubeconfig = env::var("KUBECONFIG").unwrap();
    let variables = [
        ("KUBECONFIG", &*kubeconfig),
        ("DATABASE", &database.url()),
        ("PLUGD_SERVER", &plugd.url()),
        ("PLUGD_TOKEN", plugd.token()),
    ];

    follow_as(&reader, "kubernetes.md", &variables).await;

    let api = plugd.api();
    let id = api.list().await.unwrap().remove(0).id;
    api.delete(&id).await.unwrap();
    without_pods(&id).await;
}
