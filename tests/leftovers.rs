//! Packages that nobody refers to do not stay.

use std::fs;

use plugd::api::v1::{DeletePluginRequest, ReportedState::Stopping};

use crate::harness::{Plugd, eventually};

/// The files of packages.
fn packages(plugd: &Plugd) -> Vec<String> {
    plugd.files().into_iter().filter(|name| name.starts_with("packages/")).collect()
}

/// A client that goes away cancels no clean-up.
#[tokio::test]
async fn a_deletion_whose_client_goes_away_leaves_no_package() {
    let plugd = Plugd::with(&[("PLUGD_GRACE", "1s")]).await;
    let api = plugd.api();
    let id = api.run(&["stubborn"]).await;
    assert_eq!(packages(&plugd).len(), 1);
    let mut watch = api.live().await;
    let mut plugins = api.plugins();
    let request = DeletePluginRequest { plugin_id: id.clone() };
    let deletion = tokio::spawn(async move { plugins.delete_plugin(request).await });
    watch.until_state(&id, Stopping).await;

    deletion.abort();

    eventually("the package is deleted", || packages(&plugd).is_empty().then_some(())).await;
    assert!(api.get(&id).await.is_err());
}

/// What a kill in the middle of an upload leaves is taken away by the next start, and nothing else.
#[tokio::test]
async fn a_start_sweeps_packages_that_no_plugin_refers_to() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let needed = packages(&plugd);
    plugd.kill_9().await;
    let folder = plugd.data_dir().join("packages");
    fs::write(folder.join(format!("sha256-{}", "a".repeat(64))), "of an upload").unwrap();
    assert_eq!(packages(&plugd).len(), needed.len() + 1);

    plugd.restart().await;

    eventually("the sweep", || (packages(&plugd) == needed).then_some(())).await;
    plugd.api().activate(&id).await.unwrap();
}
