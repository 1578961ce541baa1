//! Packages that nobody refers to do not stay.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use plugd::api::v1::{DeletePluginRequest, ReportedState::Stopping};

use crate::harness::{Plugd, eventually};

/// The files of packages.
fn packages(plugd: &Plugd) -> Vec<String> {
    plugd.files().into_iter().filter(|name| name.starts_with("packages/sha256-")).collect()
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

/// Longer than a package may lie there without a plugin.
const LONG: Duration = Duration::from_secs(2 * 3600);

/// As if these packages had been stored long ago.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let file = File::options().append(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - LONG).unwrap();
    }
}

/// What a kill in the middle of an upload leaves is taken away by a later start, and nothing else.
#[tokio::test]
async fn a_start_sweeps_old_packages_that_no_plugin_refers_to() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    plugd.kill_9().await;
    let folder = plugd.data_dir().join("packages");
    let lose = |digit: &str| fs::write(folder.join(format!("sha256-{}", digit.repeat(64))), "of an upload").unwrap();
    lose("a");
    age(&folder);
    lose("b");
    assert_eq!(packages(&plugd).len(), 3);

    plugd.restart().await;

    let is_kept = |name: &String| !name.ends_with("aaaa");
    eventually("the sweep", || packages(&plugd).iter().all(is_kept).then_some(())).await;
    assert_eq!(packages(&plugd).len(), 2, "what is young may be needed yet");
    plugd.api().activate(&id).await.unwrap();
}

/// The address of a database is forgotten at one start, or changed: neither deletes what the other needs.
#[tokio::test]
async fn two_databases_of_one_folder_keep_each_others_packages() {
    let mut plugd = Plugd::start().await;
    let [own, other] =
        ["plugd.db", "other.db"].map(|file| format!("sqlite://{}", plugd.data_dir().join(file).display()));
    let first = plugd.api().run(&["tame"]).await;
    plugd.sigterm().await;
    fs::write(plugd.data_dir().join("other.db"), "").unwrap();
    plugd.set("PLUGD_DATABASE_URL", &other);
    plugd.restart_with_token("admin.token.new").await;
    let second = plugd.api().run(&["stubborn"]).await;
    let passing = plugd.api().run(&["tame"]).await;
    plugd.api().delete(&passing).await.unwrap();
    let kept = packages(&plugd);

    let starts =
        [(&other, "admin.token.new", &second), (&own, "admin.token", &first), (&other, "admin.token.new", &second)];
    for (database, token, plugin) in starts {
        plugd.sigterm().await;
        age(&plugd.data_dir().join("packages"));
        plugd.set("PLUGD_DATABASE_URL", database);
        plugd.restart_with_token(token).await;
        eventually("the warning", || plugd.said().contains("another database has packages").then_some(())).await;
        plugd.api().activate(plugin).await.unwrap();
        assert_eq!(packages(&plugd), kept);
    }
}
