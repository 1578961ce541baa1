//! Packages that nobody refers to do not stay.

use std::{fs, path::Path};

use plugd::api::v1::{DeletePluginRequest, ReportedState::Stopping, plugin_event::Kind};

use crate::harness::{Plugd, eventually};

/// A client that goes away cancels no clean-up.
#[tokio::test]
async fn a_deletion_whose_client_goes_away_leaves_nothing_for_long() {
    let mut plugd = Plugd::with(&[("PLUGD_GRACE", "1s")]).await;
    let api = plugd.api();
    let id = api.run(&["stubborn"]).await;
    let mut watch = api.live().await;
    let mut plugins = api.plugins();
    let request = DeletePluginRequest { plugin_id: id.clone(), if_generation: None };
    let deletion = tokio::spawn(async move { plugins.delete_plugin(request).await });
    watch.until_state(&id, Stopping).await;

    deletion.abort();

    watch.until(|event| event.plugin_id == id && event.kind() == Kind::Removed).await;
    let is_its_own = |name: &String| name.contains(&id);
    eventually("its files are gone", || (!plugd.files().iter().any(is_its_own)).then_some(())).await;
    assert_eq!(plugd.packages().len(), 1);
    plugd.sigterm().await;
    plugd.age_packages();
    plugd.restart().await;
    eventually("the package is swept", || plugd.packages().is_empty().then_some(())).await;
}

/// What a kill in the middle of an upload leaves is taken away by a later start, and nothing else.
#[tokio::test]
async fn a_start_sweeps_old_packages_that_no_plugin_refers_to() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    plugd.kill_9().await;
    let package = plugd.data_dir().join(plugd.packages().remove(0));
    let beside = |name: &str| package.parent().unwrap().join(name);
    let lose = |digit: &str| fs::write(beside(&format!("sha256-{}", digit.repeat(64))), "of an upload").unwrap();
    lose("a");
    fs::write(beside("unfinished-1"), "of an upl").unwrap();
    plugd.age_packages();
    lose("b");
    assert_eq!(plugd.packages().len(), 4);

    plugd.restart().await;

    eventually("the sweep", || (plugd.packages().len() == 2).then_some(())).await;
    let kept = |path: &Path| path.exists();
    assert!(kept(&package) && kept(&beside(&format!("sha256-{}", "b".repeat(64)))), "what is young may be needed yet");
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
    assert_eq!(plugd.packages().len(), 3, "the second database has the first one's package too, for a while");

    let starts =
        [(&other, "admin.token.new", &second), (&own, "admin.token", &first), (&other, "admin.token.new", &second)];
    for (database, token, plugin) in starts {
        plugd.sigterm().await;
        plugd.age_packages();
        plugd.set("PLUGD_DATABASE_URL", database);
        plugd.restart_with_token(token).await;
        eventually("the sweep", || (plugd.packages().len() == 2).then_some(())).await;
        plugd.api().activate(plugin).await.unwrap();
    }
}
