//! A plugin that notices whether anything of an earlier run of its own lives.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use plugd::api::v1::{Plugin, PluginEvent, ReportedState::Inactive};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::harness::{Api, Plugd, chaos_manifest, state_of, status_of, zipped};

/// Takes a lock, which every process that it starts has too, and says so where somebody has it already. What is done
/// after that is its argument.
const SCRIPT: &str = "#!/bin/sh\nexec 9>>lock\nflock -n 9 || echo $$ >>twice\neval \"$1\"\n";

/// The plugin. All that a run starts holds a lock for as long as it lives: whatever session, parent or environment it has.
pub(super) struct Lone {
    pub(super) id: String,
    folder: PathBuf,
}

impl Lone {
    /// Installs one that runs the example `chaos` with these arguments.
    pub(super) async fn install(plugd: &Plugd, arguments: &str) -> Self {
        Self::install_script(plugd, &format!("exec chaos {arguments}")).await
    }

    /// Installs one that runs this script of the shell.
    pub(super) async fn install_script(plugd: &Plugd, script: &str) -> Self {
        let id = plugd.api().upload(Self::package(script)).await.unwrap().id;
        let folder = plugd.data_dir().join("plugins").join(&id);
        Self { id, folder }
    }

    /// The package of one that runs this script of the shell.
    pub(super) fn package(script: &str) -> Vec<u8> {
        let mut manifest = chaos_manifest(&[script]);
        manifest["command"] = json!("./lone.sh");
        let manifest = manifest.to_string();
        zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("lone.sh", SCRIPT.as_bytes(), 0o755)])
    }

    /// A file of its own.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Nothing of it lives, says the kernel. To be asked while nothing may: a start in that moment would see the lock taken.
    pub(super) fn has_ended(&self) -> bool {
        match File::open(self.file("lock")) {
            Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
            Err(_) => true,
        }
    }

    /// No run of it has begun while anything of another lived.
    #[track_caller]
    pub(super) fn assert_alone(&self) {
        let twice = fs::read_to_string(self.file("twice")).unwrap_or_default();
        assert_eq!(twice, "", "processes that were not alone");
    }

    /// It is inactive, and nothing of it lives.
    #[track_caller]
    pub(super) fn assert_ended(&self, plugin: &Plugin) {
        assert_eq!(state_of(plugin), Inactive);
        assert!(self.has_ended(), "inactive, and something of it lives: {:?}", Plugd::processes_of(&self.id));
        self.assert_alone();
    }

    /// Has it stopped, and sees that it has.
    pub(super) async fn stop(&self, api: &Api) {
        let stopped = api.deactivate(&self.id).await.unwrap();
        self.assert_ended(&stopped);
    }

    /// What a watch said of it: one run at a time, and none of those that it has left behind has a process.
    #[track_caller]
    pub(super) fn assert_one_at_a_time(&self, events: &[PluginEvent]) {
        let mut runs: Vec<(&str, u32)> = Vec::new();
        let of_it = events.iter().filter(|event| event.plugin_id == self.id);
        for status in of_it.map(|event| status_of(event.plugin.as_ref().unwrap())).filter(|one| one.run_id.is_some()) {
            match runs.iter().position(|(run, _)| *run == status.run_id()) {
                Some(at) => assert_eq!(at + 1, runs.len(), "a run that had ended came back: {runs:?}, {status:?}"),
                None => runs.push((status.run_id(), 0)),
            }
            if status.pid() != 0 {
                runs.last_mut().unwrap().1 = status.pid();
            }
        }
        // Of many runs some have the pids of processes that are somebody else's by now.
        let present = runs.pop().map_or(0, |(_, pid)| pid);
        let living: Vec<_> = Plugd::processes_of(&self.id).iter().map(|process| process.pid).collect();
        let is_left = |pid: u32| pid != present && living.contains(&pid);
        assert!(!runs.iter().any(|(_, pid)| is_left(*pid)), "an earlier run lives: {runs:?}");
    }
}
