//! Packages: installs, updates, and which bytes are kept (CONTRACT 3.9, 3.10). Ways back: `way_back`.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{shop::*, world::*};
use crate::domain::{Reason, State};

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
    assert_eq!(updated.desired.previous_digest(), shop.plugin.desired.package);
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
        let updated = shop.library.update(id, Bytes::new(), "test").await.unwrap_err();
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

/// Only the present package and the one before are kept.
#[tokio::test(start_paused = true)]
async fn packages_that_nobody_can_go_back_to_are_deleted() {
    let shop = Shop::new(Behaviour::Connects).await;
    for version in ["2", "3", "4"] {
        shop.update(archive(version)).await.unwrap();
        shop.keeps(2).await;
    }
    let deleted = shop.world.handle.delete(shop.plugin.id, None).await.unwrap();
    shop.library.discard(&deleted.desired);
    shop.keeps(0).await;
    shop.world.shut_down().await;
}

/// The same package once more must not become its own predecessor.
#[tokio::test(start_paused = true)]
async fn the_same_package_again_keeps_the_one_before() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let again = shop.update(archive("2")).await.unwrap();
    assert_eq!(again.desired.previous_digest(), shop.plugin.desired.package);
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
    shop.begin_update(archive("2")).await.unwrap();
    shop.world.shut_down().await;
}
