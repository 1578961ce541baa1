//! Packages: installs, updates, and which bytes are kept (CONTRACT 3.9, 3.10). Ways back: `way_back`. A disk that hangs:
//! `store::packages`.

use std::{
    fs::{self, File},
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::timeout;

use super::{setup::*, world::*};
use crate::{
    domain::{Reason, State},
    store::GRACE,
    supervisor::packages::SWEEP_INTERVAL,
};

/// CONTRACT 3.2 (a), 3.9.
#[tokio::test(start_paused = true)]
async fn an_installed_package_is_inactive_and_comes_back_byte_for_byte() {
    let setup = Setup::new(Behaviour::Connects).await;
    assert_eq!((setup.plugin.reported.state, version(&setup.plugin)), (State::Inactive, "1"));
    let (_, bytes) = setup.packages.download(setup.plugin.id).await.unwrap();
    assert_eq!(bytes, archive("1"));
    setup.world.shut_down().await;
}

/// CONTRACT 3.10: an inactive plugin stays inactive.
#[tokio::test(start_paused = true)]
async fn an_update_of_an_inactive_plugin_starts_nothing() {
    let setup = Setup::new(Behaviour::Connects).await;
    let updated = setup.update(archive("2")).await.unwrap();
    assert_eq!((updated.reported.state, version(&updated)), (State::Inactive, "2"));
    assert_eq!(updated.desired.previous_digest(), setup.plugin.desired.package);
    assert_eq!(setup.world.runtime.starts.load(Ordering::SeqCst), 0);
    assert_eq!(setup.packages.download(setup.plugin.id).await.unwrap().1, archive("2"));
    setup.world.shut_down().await;
}

/// CONTRACT 3.10: the call waits until the new package runs.
#[tokio::test(start_paused = true)]
async fn an_update_of_an_active_plugin_is_a_new_run() {
    let setup = Setup::new(Behaviour::Connects).await;
    let before = setup.activate().await;
    let after = setup.update(archive("2")).await.unwrap();
    assert_eq!((after.reported.state, version(&after)), (State::Active, "2"));
    assert_ne!(after.reported.run, before.reported.run);
    setup.world.shut_down().await;
}

/// CONTRACT 3.10, with its title; checked before anything is stored.
#[tokio::test(start_paused = true)]
async fn a_package_of_another_plugin_is_refused_and_changes_nothing() {
    let setup = Setup::new(Behaviour::Connects).await;
    let error = setup.update(archive_of("other", "2")).await.unwrap_err();
    assert_eq!(error.reason, Reason::ManifestIdMismatch);
    assert_eq!(error.message, "The uploaded package must have the same manifest ID as the installed plugin.");
    assert_eq!((setup.get(), setup.kept()), (setup.plugin.clone(), 1));
    setup.world.shut_down().await;
}

/// CONTRACT 3.10: what is no archive is refused before anything is stopped.
#[tokio::test(start_paused = true)]
async fn what_is_no_package_is_refused_and_the_plugin_runs_on() {
    let setup = Setup::new(Behaviour::Connects).await;
    let before = setup.activate().await;
    let error = setup.update(Bytes::from_static(b"PK nonsense")).await.unwrap_err();
    assert_eq!(error.reason, Reason::InvalidPackage);
    assert_eq!(setup.get().reported.run, before.reported.run);
    setup.world.shut_down().await;
}

/// CONTRACT 3.9, 3.10: external ⇒ 400, before the package is looked at; unknown ⇒ 404.
#[tokio::test(start_paused = true)]
async fn external_and_unknown_plugins_have_no_package() {
    let setup = Setup::new(Behaviour::Connects).await;
    let external = setup.world.handle.register_external(mk_manifest(), None).await.unwrap();
    for (id, reason) in [(external.id, Reason::ExternalPlugin), (xid::new().into(), Reason::PluginNotFound)] {
        let updated = setup.packages.update(id, Bytes::new(), "test").await.unwrap_err();
        let downloaded = setup.packages.download(id).await.unwrap_err();
        let rolled_back = setup.packages.roll_back(id, "test", WAIT).await.unwrap_err();
        assert_eq!([updated.reason, downloaded.reason, rolled_back.reason], [reason; 3]);
    }
    setup.world.shut_down().await;
}

/// CONTRACT 3.10: an active-but-errored plugin is revived by a fixed package.
#[tokio::test(start_paused = true)]
async fn a_good_package_revives_a_plugin_in_error() {
    let setup = Setup::new(Behaviour::CannotSpawn).await;
    let handle = setup.world.handle.clone();
    handle.set_active(setup.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap_err();
    setup.world.behave(Behaviour::Connects);
    assert_eq!(setup.update(archive("2")).await.unwrap().reported.state, State::Active);
    setup.world.shut_down().await;
}

/// Only the present package and the one before are kept.
#[tokio::test(start_paused = true)]
async fn packages_that_nobody_can_go_back_to_are_swept() {
    let setup = Setup::new(Behaviour::Connects).await;
    for version in ["2", "3", "4"] {
        setup.update(archive(version)).await.unwrap();
        assert_eq!(setup.swept().await, 2);
    }
    assert_eq!(version(&setup.roll_back().await.unwrap()), "1", "the others were never proven");
    setup.world.handle.delete(setup.plugin.id, "test").await.unwrap();
    assert_eq!(setup.swept().await, 0);
    setup.world.shut_down().await;
}

/// The same package once more must not become its own predecessor.
#[tokio::test(start_paused = true)]
async fn the_same_package_again_keeps_the_one_before() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.update(archive("2")).await.unwrap();
    let again = setup.update(archive("2")).await.unwrap();
    assert_eq!(again.desired.previous_digest(), setup.plugin.desired.package);
    setup.world.shut_down().await;
}

/// Nothing is committed that could not be started.
#[tokio::test(start_paused = true)]
async fn an_update_whose_bytes_can_not_be_stored_changes_nothing() {
    let setup = Setup::new(Behaviour::Connects).await;
    let before = setup.activate().await;
    let away = setup.package_folder().with_extension("away");
    fs::rename(setup.package_folder(), &away).unwrap();
    fs::write(setup.package_folder(), "no folder").unwrap();
    assert_eq!(setup.update(archive("2")).await.unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!((setup.get().desired.clone(), setup.get().reported.run), (before.desired.clone(), before.reported.run));
    fs::remove_file(setup.package_folder()).unwrap();
    fs::rename(&away, setup.package_folder()).unwrap();
    setup.begin_update(archive("2")).await.unwrap();
    setup.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_sent_no_packages() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.world.store.is_away.store(true, Ordering::SeqCst);
    let installed = setup.packages.install(archive_of("other", "1"), None).await.unwrap_err();
    let updated = setup.update(archive("2")).await.unwrap_err();
    assert_eq!([installed.reason, updated.reason], [Reason::StoreUnavailable; 2]);
    assert_eq!(setup.kept(), 1, "the one of the first installation");
    setup.world.store.is_away.store(false, Ordering::SeqCst);
    setup.world.shut_down().await;
}

#[tokio::test]
async fn what_a_failed_update_has_stored_is_swept() {
    let setup = Setup::new(Behaviour::Connects).await;
    let hang = setup.store.hang_next();
    let deletion = async {
        hang.began.await.unwrap();
        setup.world.handle.delete(setup.plugin.id, "test").await.unwrap();
        hang.release.send(()).unwrap();
    };
    let (updated, ()) = tokio::join!(setup.update(archive("2")), deletion);
    assert_eq!(updated.unwrap_err().reason, Reason::PluginNotFound);
    assert_eq!(setup.kept(), 2);
    assert_eq!(setup.swept().await, 0);
    setup.world.shut_down().await;
}

/// The commit of the other plugin may have been made after all.
#[tokio::test]
async fn nothing_is_swept_before_the_store_is_back() {
    let setup = Setup::new(Behaviour::Connects).await;
    let hang = setup.store.hang_next();
    let outage = async {
        hang.began.await.unwrap();
        setup.world.store.is_away.store(true, Ordering::SeqCst);
        hang.release.send(()).unwrap();
    };
    let (installed, ()) = tokio::join!(setup.packages.install(archive_of("other", "1"), None), outage);
    assert_eq!(installed.unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!(setup.swept().await, 2);
    setup.world.store.is_away.store(false, Ordering::SeqCst);
    assert_eq!(setup.swept().await, 1);
    setup.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_that_was_committed_after_all_is_kept() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.world.store.is_uncertain.store(true, Ordering::SeqCst);
    setup.update(archive("2")).await.unwrap_err();
    setup.world.store.is_uncertain.store(false, Ordering::SeqCst);
    assert_eq!(setup.swept().await, 2);
    assert_eq!(version(&setup.get()), "2");
    assert_eq!(setup.packages.download(setup.plugin.id).await.unwrap().1, archive("2"));
    setup.world.shut_down().await;
}

#[tokio::test]
async fn an_update_goes_on_when_its_caller_leaves() {
    let setup = Setup::new(Behaviour::Connects).await;
    let hang = setup.store.hang_next();
    tokio::select! {
        _ = setup.packages.update(setup.plugin.id, archive("2"), "test") => panic!("the disk hangs"),
        began = hang.began => began.unwrap(),
    }
    hang.release.send(()).unwrap();
    setup.until(|plugin| version(plugin) == "2").await;
    assert_eq!(setup.swept().await, 2);
    setup.world.shut_down().await;
}

/// Its bytes are there, and the commit of the plugin that refers to them takes its time.
#[tokio::test(start_paused = true)]
async fn a_package_is_not_swept_while_its_commit_is_under_way() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.world.store.begin_to_doubt();
    setup.world.store.hangs.store(true, Ordering::SeqCst);
    let stored = async {
        eventually(|| setup.kept() == 2).await;
        setup.swept().await
    };
    tokio::select! {
        _ = setup.update(archive("2")) => panic!("the commit hangs"),
        kept = timeout(Duration::from_secs(20), stored) => assert_eq!(kept.unwrap(), 2),
    }
    setup.world.shut_down().await;
}

/// kill -9 in the middle of an upload leaves a package that nobody refers to.
#[tokio::test(start_paused = true)]
async fn packages_are_swept_again_and_again() {
    let setup = Setup::new(Behaviour::Connects).await;
    let sweeping = tokio::spawn(setup.packages.clone().keep_swept());
    for _ in 0..3 {
        let lost = setup.package_folder().join(format!("sha256-{}", "a".repeat(64)));
        File::create(&lost).unwrap().set_modified(SystemTime::now() - GRACE).unwrap();
        tokio::time::advance(SWEEP_INTERVAL).await;
        eventually(|| !lost.exists()).await;
    }
    assert_eq!(setup.kept(), 1);
    sweeping.abort();
    setup.world.shut_down().await;
}
