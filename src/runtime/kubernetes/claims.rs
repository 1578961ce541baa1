//! Claims of volumes, in which the folders of plugins outlive their pods: one for each plugin, from its first start to its deletion.

use std::{collections::BTreeMap, io, time::Duration};

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api,
    api::{ListParams, ObjectMeta},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Inner, Volumes, pod,
    requests::{self, Term},
};
use crate::domain::{Failure, PluginId};

/// How long the deletion of a claim may be tried at a time.
const DELETION: Duration = Duration::from_secs(60);

/// Why nothing is done any more.
const OTHER_LEADS: &str = "another plugd may lead by now";

/// Makes the claim of a plugin, unless it has one.
///
/// # Errors
/// The cluster refuses it, or has not answered by the deadline.
pub(super) async fn make(inner: &Inner, plugin: PluginId, deadline: Instant) -> Result<(), Failure> {
    let Some(volumes) = &inner.options.volumes else { return Ok(()) };
    let wanted = mk_claim(&inner.options.instance, plugin, volumes);
    requests::make((&inner.claims, &inner.term), &wanted, ("claim of a volume", deadline)).await.map(drop)
}

/// The claim of a plugin.
fn mk_claim(instance: &str, plugin: PluginId, volumes: &Volumes) -> PersistentVolumeClaim {
    let metadata = ObjectMeta {
        name: Some(pod::claim(instance, plugin)),
        labels: Some(pod::labels(instance, plugin).into()),
        ..ObjectMeta::default()
    };
    let size = BTreeMap::from([("storage".to_owned(), Quantity(volumes.bytes.to_string()))]);
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        resources: Some(VolumeResourceRequirements { requests: Some(size), limits: None }),
        storage_class_name: Some(volumes.class.clone()),
        ..PersistentVolumeClaimSpec::default()
    };
    PersistentVolumeClaim { metadata, spec: Some(spec), status: None }
}

/// The plugins of this instance that have a claim. While nobody answers it is asked again.
///
/// # Errors
/// The cluster refuses to say, or another plugd may lead by now.
pub(super) async fn plugins(
    (api, term): (&Api<PersistentVolumeClaim>, &Term),
    instance: &str,
) -> io::Result<Vec<PluginId>> {
    let selected = ListParams::default().labels(&pod::selector(instance));
    while !term.is_over() {
        match timeout(requests::LIMIT, api.list_metadata(&selected)).await {
            Ok(Ok(claims)) => return Ok(claims.iter().filter_map(|claim| pod::plugin_of(&claim.metadata)).collect()),
            Ok(Err(kube::Error::Api(refusal))) if !requests::is_busy(&refusal) => {
                return Err(io::Error::other(format!("the cluster does not tell of claims: {}", refusal.message)));
            }
            answer => {
                tracing::debug!(?answer, "the cluster does not tell of claims yet");
                sleep(requests::AGAIN).await;
            }
        }
    }
    Err(io::Error::other(OTHER_LEADS))
}

/// Deletes the claim of a plugin of which nothing runs.
///
/// # Errors
/// That has not been done in time.
pub(super) async fn delete(
    (api, term): (Api<PersistentVolumeClaim>, &Term),
    instance: &str,
    plugin: PluginId,
) -> io::Result<()> {
    let name = pod::claim(instance, plugin);
    let left = format!("the claim {name} is not deleted yet: it is tried again within the hour");
    match timeout(DELETION, requests::delete((api, term), name, None)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(io::Error::other(OTHER_LEADS)),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, left)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_of_one_plugin_of_one_instance() {
        let plugin = PluginId::from_bytes([1; 12]);
        let volumes = Volumes { class: "fast".to_owned(), bytes: 1024 };
        let claim = serde_json::to_value(mk_claim("here", plugin, &volumes)).unwrap();
        let labels = json!({
            "app.kubernetes.io/managed-by": "plugd", "plugd/instance": "here", "plugd/plugin": plugin.to_string(),
        });
        assert_eq!(claim["metadata"], json!({"name": format!("plugd-here-{plugin}"), "labels": labels}));
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1024"}},
        });
        assert_eq!(claim["spec"], spec);
    }
}
