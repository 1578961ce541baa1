//! A plugin that notices whether another run of its own lives.

use std::{fs, fs::File};

use k8s_openapi::api::core::v1::Pod;
use plugd::api::v1::ReportedState::{Active, Inactive};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    cluster::{pods_of, without_pods},
    harness::{Plugd, state_of, status_of, zipped},
};

/// Takes a lock of its host for as long as anything of the run lives, and says so where another has it. That misses no moment,
/// as would what is written every few milliseconds. It takes a moment to end, so that there is something to be missed.
const SCRIPT: &[u8] = b"#!/bin/sh
exec 9>>\"$1/lock\"
flock -n 9 || echo $$ >>\"$1/twice\"
trap 'sleep 0.5' TERM
greeter &
wait $!
wait
";

/// The plugin.
pub(crate) struct Lone {
    pub(crate) id: String,
    folder: TempDir,
}

impl Lone {
    pub(crate) async fn install(plugd: &Plugd) -> Self {
        // Not in the folder for temporary files: a pod has its own in that place.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let manifest = json!({
            "id": "lone", "author": "plugd", "name": "Lone", "description": "", "version": "1.0.0", "command": "./lone.sh",
            "args": [folder.path()],
        });
        let manifest = manifest.to_string();
        let package = zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("lone.sh", SCRIPT, 0o755)]);
        Self { id: plugd.api().upload(package).await.unwrap().id, folder }
    }

    /// Has it run, which it does in one pod; returns its run.
    pub(crate) async fn start(&self, plugd: &Plugd) -> String {
        let plugin = plugd.api().activate(&self.id).await.unwrap();
        assert_eq!(state_of(&plugin), Active);
        let run = status_of(&plugin).run_id.clone().unwrap();
        let running: Vec<_> = pods_of(&self.id).await.into_iter().filter(runs).collect();
        let names: Vec<_> = running.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        assert_eq!(names, [format!("plugd-{}-{run}", self.id)]);
        self.assert_alone();
        run
    }

    /// Has it stop, after which nothing of it lives, and nothing is left of it.
    pub(crate) async fn stop(&self, plugd: &Plugd) {
        let plugin = plugd.api().deactivate(&self.id).await.unwrap();
        assert_eq!(state_of(&plugin), Inactive);
        without_pods(&self.id).await;
        let lock = File::open(self.folder.path().join("lock")).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("something of it lives");
        self.assert_alone();
    }

    /// No run of it has begun while anything of another lived.
    #[track_caller]
    pub(crate) fn assert_alone(&self) {
        let twice = fs::read_to_string(self.folder.path().join("twice")).unwrap_or_default();
        assert_eq!(twice, "", "runs that were not alone");
    }
}

/// Whether the plugin runs in this pod.
pub(crate) fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.filter_map(|status| status.state.as_ref()).any(|state| state.running.is_some())
}
