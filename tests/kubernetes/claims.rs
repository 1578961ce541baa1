//! Claims of volumes for the folders of plugins. The node does not mount them: a plugin has an empty folder here, whatever its
//! claim is bound to.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use plugd::api::v1::ReportedState::{Active, Inactive};
use serde_json::{Value, json};

use crate::{
    cluster::{plugd, steady},
    deployment::{Account, NAMESPACE, pods_of, without_pods},
    harness::{Plugd, eventually_async, packaged, state_of},
};

fn greeter() -> Vec<u8> {
    packaged(&json!({
        "id": "greeter", "author": "plugd", "name": "Greeter", "description": "", "version": "1.0.0", "command": "greeter",
    }))
}

/// A plugd that claims volumes, with the rights that its account has.
async fn claiming(account: &Account) -> Plugd {
    let kubeconfig = account.kubeconfig();
    plugd(&[
        ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ("PLUGD_KUBE_VOLUME_CLAIMS", "by-hand"),
        ("PLUGD_KUBE_VOLUME_SIZE", "64MiB"),
    ])
    .await
}

async fn claims() -> Api<PersistentVolumeClaim> {
    Api::namespaced(Client::try_default().await.unwrap(), NAMESPACE)
}

/// The claims of a plugin.
async fn claims_of(plugin: &str) -> Vec<PersistentVolumeClaim> {
    let selected = ListParams::default().labels(&format!("plugd/plugin={plugin}"));
    claims().await.list(&selected).await.unwrap().items
}

async fn claim_of(plugin: &str) -> PersistentVolumeClaim {
    eventually_async("a claim", async || claims_of(plugin).await.pop()).await
}

/// Gives a claim a volume, as the controller of volumes does, which is not here.
async fn bind(claim: &PersistentVolumeClaim) {
    let uid = claim.metadata.uid.as_ref().unwrap();
    let name = claim.metadata.name.as_ref().unwrap();
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": uid},
        "spec": {
            "capacity": {"storage": "64Mi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "by-hand",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": NAMESPACE, "name": name, "uid": uid},
        },
    }))
    .unwrap();
    let volumes: Api<PersistentVolume> = Api::all(Client::try_default().await.unwrap());
    volumes.create(&PostParams::default(), &volume).await.unwrap();
    let bound = json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": uid},
    });
    patch(name, &bound).await;
}

async fn patch(name: &str, change: &Value) {
    claims().await.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

/// Waits until a plugin's claim is deleted. It is there until nobody uses it, which the controller for that would say.
async fn deleted(plugin: &str) {
    let is_deleted = |claim: &PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_some();
    let look = async || claims_of(plugin).await.iter().all(is_deleted).then_some(());
    eventually_async("the claim is deleted", look).await;
    for claim in claims_of(plugin).await {
        patch(claim.metadata.name.as_ref().unwrap(), &json!({"metadata": {"finalizers": null}})).await;
    }
    assert_eq!(claims_of(plugin).await.len(), 0);
}

#[tokio::test]
async fn a_plugin_has_one_claim_over_all_its_runs_until_it_is_deleted() {
    let _steady = steady().await;
    let account = Account::of_plugd().await;
    let plugd = claiming(&account).await;
    let api = plugd.api();
    let id = api.upload(greeter()).await.unwrap().id;
    api.begin(&id).await;

    let claim = claim_of(&id).await;

    let spec = serde_json::to_value(&claim.spec).unwrap();
    assert_eq!((&spec["storageClassName"], &spec["accessModes"]), (&json!("by-hand"), &json!(["ReadWriteOnce"])));
    assert_eq!(spec["resources"]["requests"]["storage"], (64 << 20).to_string());
    bind(&claim).await;
    for run in 0..2 {
        let plugin = if run == 0 { api.activate(&id).await } else { api.restart(&id).await };
        assert_eq!(state_of(&plugin.unwrap()), Active);
        let volumes = pods_of(&id).await.remove(0).spec.unwrap().volumes.unwrap();
        let used = volumes.iter().find_map(|volume| volume.persistent_volume_claim.as_ref()).unwrap();
        assert_eq!(Some(&used.claim_name), claim.metadata.name.as_ref());
        let now = claims_of(&id).await;
        assert_eq!(now.iter().map(|claim| &claim.metadata.uid).collect::<Vec<_>>(), [&claim.metadata.uid]);
    }
    assert_eq!(state_of(&api.deactivate(&id).await.unwrap()), Inactive);
    without_pods(&id).await;
    assert!(claim_of(&id).await.metadata.deletion_timestamp.is_none(), "who is inactive keeps what it has");
    api.delete(&id).await.unwrap();
    deleted(&id).await;
}

/// As of a plugd that died before it had deleted the claim.
#[tokio::test]
async fn the_claim_of_a_plugin_that_is_deleted_is_swept_and_that_of_one_that_nobody_knows_is_not() {
    let _steady = steady().await;
    let account = Account::of_plugd().await;
    let mut plugd = claiming(&account).await;
    let api = plugd.api();
    let id = api.upload(greeter()).await.unwrap().id;
    api.begin(&id).await;
    let claim = claim_of(&id).await;
    api.delete(&id).await.unwrap();
    deleted(&id).await;
    plugd.sigterm().await;
    let (name, unknown) = (claim.metadata.name.unwrap(), xid_like(&id));
    for (name, plugin) in [(name.clone(), &id), (format!("{name}-unknown"), &unknown)] {
        let mut labels = claim.metadata.labels.clone().unwrap();
        labels.insert("plugd/plugin".to_owned(), plugin.clone());
        let metadata = json!({"name": name, "labels": labels});
        let copy = serde_json::from_value(json!({"metadata": metadata, "spec": claim.spec})).unwrap();
        claims().await.create(&PostParams::default(), &copy).await.unwrap();
    }

    plugd.restart_on_the_same_address().await;

    deleted(&id).await;
    assert!(claim_of(&unknown).await.metadata.deletion_timestamp.is_none());
}

/// The id of a plugin that nobody knows: another's, backwards but for its end, which not all letters can be.
fn xid_like(id: &str) -> String {
    let (start, end) = id.split_at(19);
    start.chars().rev().chain(end.chars()).collect()
}
