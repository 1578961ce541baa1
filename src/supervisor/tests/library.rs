//! Packages: updates, rollbacks, and which bytes are kept (CONTRACT 3.9, 3.10).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::{shop::*, world::*};
use crate::{
    domain::{Plugin, Reason, State},
    supervisor::Wait,
};

/// CONTRACT 3.2 (a), 3.9.
#[tokio::test(start_paused = true)]
async fn an_installed_package_is_inactive_and_comes_back_byte_for_byte() {
    let shop = Shop::new(Behaviour::Connects).await;
    assert_eq!((shop.plugin.reported.state, version(&shop.plugin)), (State::Inactive, "1"));
    let (_, bytes) = shop.library.download(shop.plugin.id).await.unwrap();
    assert_eq!(bytes, archive("1"));
    shop.world.shut_down().await;
}

/// CONTRACT 3.10: an inactive plugin stays inactive.
#[tokio::test(start_paused = true)]
async fn an_update_of_an_inactive_plugin_starts_nothing() {
    let shop = Shop::new(Behaviour::Connects).await;
    let updated = shop.update(archive("2")).await.unwrap();
    assert_eq!((updated.reported.state, version(&updated)), (State::Inactive, "2"));
    assert_eq!(updated.desired.previous_package, shop.plugin.desired.package);
    assert_eq!(shop.world.runtime.starts.load(Ordering::SeqCst), 0);
    assert_eq!(shop.library.download(shop.plugin.id).await.unwrap().1, archive("2"));
    shop.world.shut_down().await;
}

/// CONTRACT 3.10: the call waits until the new package runs.
#[tokio::test(start_paused = true)]
async fn an_update_of_an_active_plugin_is_a_new_run() {
    let shop = Shop::new(Behaviour::Connects).await;
    let before = shop.activate().await;
    let after = shop.update(archive("2")).await.unwrap();
    assert_eq!((after.reported.state, version(&after)), (State::Active, "2"));
    assert_ne!(after.reported.run, before.reported.run);
    shop.world.shut_down().await;
}

/// CONTRACT 3.10, with its title; checked before anything is stored.
#[tokio::test(start_paused = true)]
async fn a_package_of_another_plugin_is_refused_and_changes_nothing() {
    let shop = Shop::new(Behaviour::Connects).await;
    let error = shop.update(archive_of("other", "2")).await.unwrap_err();
    assert_eq!(error.reason, Reason::ManifestIdMismatch);
    assert_eq!(error.message, "The uploaded package must have the same manifest ID as the installed plugin.");
    assert_eq!((shop.get(), shop.kept()), (shop.plugin.clone(), 1));
    shop.world.shut_down().await;
}

/// CONTRACT 3.10: what is no archive is refused before anything is stopped.
#[tokio::test(start_paused = true)]
async fn what_is_no_package_is_refused_and_the_plugin_runs_on() {
    let shop = Shop::new(Behaviour::Connects).await;
    let before = shop.activate().await;
    let error = shop.update(Bytes::from_static(b"PK nonsense")).await.unwrap_err();
    assert_eq!(error.reason, Reason::InvalidPackage);
    assert_eq!(shop.get().reported.run, before.reported.run);
    shop.world.shut_down().await;
}

/// CONTRACT 3.9, 3.10: external ⇒ 400, before the package is looked at; unknown ⇒ 404.
#[tokio::test(start_paused = true)]
async fn external_and_unknown_plugins_have_no_package() {
    let shop = Shop::new(Behaviour::Connects).await;
    let external = shop.world.handle.register_external(mk_manifest()).await.unwrap();
    for (id, reason) in [(external.id, Reason::ExternalPlugin), (xid::new().into(), Reason::PluginNotFound)] {
        let updated = shop.library.update(id, Bytes::new(), "test", WAIT).await.unwrap_err();
        let downloaded = shop.library.download(id).await.unwrap_err();
        let rolled_back = shop.library.roll_back(id, "test", WAIT).await.unwrap_err();
        assert_eq!([updated.reason, downloaded.reason, rolled_back.reason], [reason; 3]);
    }
    shop.world.shut_down().await;
}

/// CONTRACT 3.10: an active-but-errored plugin is revived by a fixed package.
#[tokio::test(start_paused = true)]
async fn a_good_package_revives_a_plugin_in_error() {
    let shop = Shop::new(Behaviour::CannotSpawn).await;
    let handle = shop.world.handle.clone();
    handle.set_active(shop.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap_err();
    shop.world.behave(Behaviour::Connects);
    assert_eq!(shop.update(archive("2")).await.unwrap().reported.state, State::Active);
    shop.world.shut_down().await;
}

/// plugd's own decision: `RollbackPackage` does it by hand, and once more goes forth again.
#[tokio::test(start_paused = true)]
async fn a_rollback_swaps_the_package_with_the_one_before() {
    let shop = Shop::new(Behaviour::Connects).await;
    assert_eq!(shop.roll_back().await.unwrap_err().reason, Reason::NoPreviousPackage);
    shop.activate().await;
    shop.update(archive("2")).await.unwrap();
    for expected in ["1", "2", "1"] {
        let plugin = shop.roll_back().await.unwrap();
        assert_eq!((plugin.reported.state, version(&plugin)), (State::Active, expected));
    }
    assert_eq!(shop.kept(), 2);
    shop.world.shut_down().await;
}

/// Only the present package and the one before are kept.
#[tokio::test(start_paused = true)]
async fn packages_that_nobody_can_go_back_to_are_deleted() {
    let shop = Shop::new(Behaviour::Connects).await;
    for version in ["2", "3", "4"] {
        shop.update(archive(version)).await.unwrap();
        shop.keeps(2).await;
    }
    let deleted = shop.world.handle.delete(shop.plugin.id).await.unwrap();
    shop.library.collect([deleted.desired.package, deleted.desired.previous_package].into_iter().flatten()).await;
    assert_eq!(shop.kept(), 0);
    shop.world.shut_down().await;
}

/// The same package once more must not become its own predecessor.
#[tokio::test(start_paused = true)]
async fn the_same_package_again_keeps_the_one_before() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let again = shop.update(archive("2")).await.unwrap();
    assert_eq!(again.desired.previous_package, shop.plugin.desired.package);
    shop.world.shut_down().await;
}

/// plugd's own decision: the supervisor says when an update was never stable, and only then.
#[tokio::test(start_paused = true)]
async fn a_failed_update_is_announced_and_the_caller_is_told_why() {
    let mut shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::Exits(7));
    let error = shop.update(archive("2")).await.unwrap_err();
    assert_eq!((error.reason, &*error.metadata["message"]), (Reason::PluginFailed, "exit status 7"));
    assert_eq!(shop.world.failed_updates.try_recv().unwrap(), shop.plugin.id);
    shop.world.behave(Behaviour::Connects);
    let back = shop.roll_back().await.unwrap();
    assert_eq!((back.reported.state, version(&back)), (State::Active, "1"));
    shop.world.shut_down().await;
}

/// What was stable and fails later is the plugin's own failure: its update is not taken back.
#[tokio::test(start_paused = true)]
async fn a_package_that_was_stable_once_is_not_taken_back() {
    let mut shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.update(archive("2")).await.unwrap();
    let mut records = shop.world.handle.slot(shop.plugin.id).unwrap().subscribe();
    let is_proven = |plugin: &Option<Arc<Plugin>>| plugin.as_ref().is_some_and(|plugin| plugin.reported.is_proven);
    tokio::time::timeout(Duration::from_secs(60), records.wait_for(is_proven)).await.unwrap().unwrap();
    shop.world.behave(Behaviour::CannotSpawn);
    let handle = shop.world.handle.clone();
    let error = handle.restart(shop.plugin.id, "test", WAIT).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginFailed);
    assert!(shop.world.failed_updates.try_recv().is_err());
    shop.world.shut_down().await;
}

/// A rollback that fails too is not rolled back: the two packages would take turns for ever.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_ends_in_error() {
    let mut shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::CannotSpawn);
    shop.update(archive("2")).await.unwrap_err();
    shop.world.failed_updates.try_recv().unwrap();
    assert_eq!(shop.roll_back().await.unwrap_err().reason, Reason::PluginFailed);
    assert!(shop.world.failed_updates.try_recv().is_err());
    assert_eq!(shop.get().reported.state, State::Error);
    shop.world.shut_down().await;
}

/// An update that was taken back never looks like one that succeeded, however late its caller looks.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_update_was_taken_back_meanwhile_is_not_told_that_it_worked() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::Hangs);
    let meanwhile = async {
        let mut records = shop.world.handle.slot(shop.plugin.id).unwrap().subscribe();
        let hangs = |p: &Plugin| version(p) == "2" && p.reported.state == State::Connecting;
        records.wait_for(|p| p.as_ref().is_some_and(|p| hangs(p))).await.unwrap();
        shop.world.behave(Behaviour::Connects);
        shop.roll_back().await.unwrap()
    };
    let (updated, back) = tokio::join!(shop.update(archive("2")), meanwhile);
    assert_eq!((back.reported.state, version(&back)), (State::Active, "1"));
    assert_eq!(updated.unwrap_err().reason, Reason::Superseded);
    shop.world.shut_down().await;
}

/// plugd takes back what failed, and nothing that came after it.
#[tokio::test(start_paused = true)]
async fn only_the_update_that_failed_is_taken_back() {
    let shop = Shop::new(Behaviour::Connects).await;
    let failed = shop.update(archive("2")).await.unwrap().desired.package.unwrap();
    let take_back = || shop.library.take_back(shop.plugin.id, failed, "plugd");
    // The rollback waits for the bytes of version 1 meanwhile, which the update would throw away.
    let (mended, taken_back) = tokio::join!(shop.update_meanwhile(archive("3")), take_back());
    assert!(taken_back.is_ok());
    assert_eq!((version(&mended), version(&shop.get())), ("3", "3"));
    take_back().await.unwrap();
    assert_eq!(version(&shop.get()), "3", "what failed is not installed any longer");
    shop.world.shut_down().await;
}

/// A rollback that came too late is told so: another package than the one it wanted is there.
#[tokio::test(start_paused = true)]
async fn a_rollback_beside_an_update_is_not_told_that_it_worked() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let (_, rolled_back) = tokio::join!(shop.update_meanwhile(archive("3")), shop.roll_back());
    assert_eq!(version(&shop.get()), "3");
    assert_eq!(rolled_back.unwrap_err().reason, Reason::Superseded);
    shop.world.shut_down().await;
}

/// Nothing is committed that could not be started.
#[tokio::test(start_paused = true)]
async fn an_update_whose_bytes_can_not_be_stored_changes_nothing() {
    let shop = Shop::new(Behaviour::Connects).await;
    let before = shop.activate().await;
    shop.shelf.is_away.store(true, Ordering::SeqCst);
    assert_eq!(shop.update(archive("2")).await.unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!((shop.get().desired.clone(), shop.get().reported.run), (before.desired.clone(), before.reported.run));
    shop.shelf.is_away.store(false, Ordering::SeqCst);
    shop.library.update(shop.plugin.id, archive("2"), "test", Wait::No).await.unwrap();
    shop.world.shut_down().await;
}
