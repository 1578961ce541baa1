//! `--plugin-uids`: a user for each plugin, told by the process and kept by the folder.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use plugd::api::v1::ReportedState::Active;
use rustix::process::geteuid;

use crate::harness::{Plugd, QUICK, state_of, status_of};

/// The user of the process of this plugin, which is active.
async fn user_of(plugd: &Plugd, id: &str) -> u32 {
    let plugin = plugd.api().get(id).await.unwrap();
    assert_eq!(state_of(&plugin), Active);
    fs::metadata(format!("/proc/{}", status_of(&plugin).pid.unwrap())).unwrap().uid()
}

#[tokio::test]
async fn each_plugin_has_its_user_also_after_a_restart() {
    if !geteuid().is_root() {
        eprintln!("skipped: this needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let plugins = folder.path().join("plugins");
    let own = [("PLUGD_PLUGIN_UIDS", "61000-61009"), ("PLUGD_PLUGIN_DIR", plugins.to_str().unwrap())];
    let mut plugd = Plugd::with(&[QUICK, &own].concat()).await;
    let api = plugd.api();
    let ids = [api.run(&["tame"]).await, api.run(&["tame"]).await];
    let users = [user_of(&plugd, &ids[0]).await, user_of(&plugd, &ids[1]).await];
    assert_eq!(users, [61000, 61001]);
    let owner = fs::metadata(plugins.join(&ids[1])).unwrap();
    assert_eq!((owner.uid(), owner.mode() & 0o777), (61001, 0o700));

    plugd.kill_9().await;
    plugd.restart().await;

    // They are started again by themselves; to ask for it waits for that.
    for (id, user) in ids.iter().zip(users) {
        plugd.api().activate(id).await.unwrap();
        assert_eq!(user_of(&plugd, id).await, user);
    }
}
