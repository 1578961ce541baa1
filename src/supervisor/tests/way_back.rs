//! Ways back from an update: by hand, by plugd itself, and which package they lead to.

use std::sync::atomic::Ordering;

use super::{shop::*, world::*};
use crate::domain::{Exit, Plugin, Reason, State};

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

/// plugd's own decision: an update that was never stable, and only that, is taken back.
#[tokio::test(start_paused = true)]
async fn a_failed_update_is_taken_back_and_the_caller_is_told_why_and_to_what() {
    let shop = Shop::new(Behaviour::Connects).await;
    let first = shop.activate().await;
    shop.world.behave(Behaviour::Exits(7));
    let error = shop.update(archive("2")).await.unwrap_err();
    assert_eq!((error.reason, &*error.metadata["message"]), (Reason::PluginFailed, "exit status 7"));
    assert_eq!(error.metadata["going_back_to"], first.desired.package.unwrap().to_string());
    shop.world.behave(Behaviour::Connects);
    let back = shop.until(|plugin| version(plugin) == "1" && plugin.reported.state == State::Active).await;
    assert!(back.desired.is_restored);
    assert_eq!((back.desired.previous_digest(), &*back.reported.message), (None, ""));
    shop.world.shut_down().await;
}

/// While the store is away nothing can be taken back; it is when the store is.
#[tokio::test(start_paused = true)]
async fn a_failed_update_is_taken_back_when_the_store_is_there_again() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::Hangs);
    shop.begin_update(archive("2")).await.unwrap();
    shop.until(|plugin| plugin.reported.state == State::Connecting && version(plugin) == "2").await;
    shop.world.behave(Behaviour::CannotSpawn);
    shop.world.ledger.is_away.store(true, Ordering::SeqCst);
    let starts = || shop.world.runtime.starts.load(Ordering::SeqCst);
    let before = starts();
    shop.world.group().end(Exit { code: Some(1), signal: None });
    eventually(|| starts() > before).await;
    shop.world.handle.caught_up().await;
    assert_eq!(version(&shop.get()), "2");
    shop.world.behave(Behaviour::Connects);
    shop.world.ledger.is_away.store(false, Ordering::SeqCst);
    shop.until(|plugin| version(plugin) == "1" && plugin.reported.state == State::Active).await;
    shop.world.shut_down().await;
}

/// What was stable and fails later is the plugin's own failure: its update is not taken back.
#[tokio::test(start_paused = true)]
async fn a_package_that_was_stable_once_is_not_taken_back() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.update(archive("2")).await.unwrap();
    shop.until(Plugin::is_proven).await;
    shop.world.behave(Behaviour::CannotSpawn);
    let handle = shop.world.handle.clone();
    let error = handle.restart(shop.plugin.id, "test", WAIT).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginFailed);
    handle.caught_up().await;
    assert_eq!((version(&shop.get()), shop.get().reported.state), ("2", State::Error));
    shop.world.shut_down().await;
}

/// A rollback that fails too is not rolled back: the two packages would take turns for ever.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_ends_in_error() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::CannotSpawn);
    shop.update(archive("2")).await.unwrap_err();
    let is_over = |plugin: &Plugin| {
        let is_observed = plugin.reported.observed_generation == plugin.desired.generation;
        version(plugin) == "1" && plugin.reported.state == State::Error && is_observed
    };
    let failed = shop.until(is_over).await;
    shop.world.handle.caught_up().await;
    assert_eq!(shop.get().desired, failed.desired);
    assert!(!failed.reported.details.contains_key("going_back_to"));
    shop.world.shut_down().await;
}

/// An update that was taken back never looks like one that succeeded, however late its caller looks.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_update_was_taken_back_meanwhile_is_not_told_that_it_worked() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::Hangs);
    let meanwhile = async {
        shop.until(|plugin| version(plugin) == "2" && plugin.reported.state == State::Connecting).await;
        shop.world.behave(Behaviour::Connects);
        shop.roll_back().await.unwrap()
    };
    let (updated, back) = tokio::join!(shop.update(archive("2")), meanwhile);
    assert_eq!((back.reported.state, version(&back)), (State::Active, "1"));
    assert_eq!(updated.unwrap_err().reason, Reason::Superseded);
    shop.world.shut_down().await;
}

/// Not when that one settles: what becomes of it is somebody else's affair, its failure too.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_package_was_replaced_is_told_so_at_once() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    shop.world.behave(Behaviour::Hangs);
    let meanwhile = async {
        shop.until(|plugin| version(plugin) == "2" && plugin.reported.state == State::Connecting).await;
        shop.begin_update(archive("3")).await.unwrap()
    };
    let (updated, latest) = tokio::join!(shop.update(archive("2")), meanwhile);
    assert_eq!(updated.unwrap_err().reason, Reason::Superseded);
    assert!(shop.get().reported.observed_generation <= latest.desired.generation, "nobody else has changed it");
    assert_ne!(shop.get().reported.state, State::Active);
    shop.world.shut_down().await;
}

/// Two bad updates in a row must not cost the package that runs well.
#[tokio::test(start_paused = true)]
async fn an_update_of_a_package_that_was_never_stable_keeps_the_good_one_before_it() {
    let shop = Shop::new(Behaviour::Connects).await;
    let good = shop.activate().await.desired.package;
    shop.until(Plugin::is_proven).await;
    shop.world.behave(Behaviour::Hangs);
    shop.begin_update(archive("2")).await.unwrap();
    shop.world.behave(Behaviour::Exits(7));
    let worse = shop.update(archive("3")).await.unwrap_err();
    assert_eq!((worse.reason, &worse.metadata["going_back_to"]), (Reason::PluginFailed, &good.unwrap().to_string()));
    shop.world.behave(Behaviour::Connects);
    shop.until(|plugin| version(plugin) == "1" && plugin.reported.state == State::Active).await;
    shop.world.shut_down().await;
}

/// A package must not become its own way back.
#[tokio::test(start_paused = true)]
async fn an_upload_of_the_good_package_before_goes_back_to_it() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    let good = shop.until(Plugin::is_proven).await.desired.package;
    shop.world.behave(Behaviour::Hangs);
    let bad = shop.begin_update(archive("2")).await.unwrap().desired.package;
    shop.world.behave(Behaviour::Connects);
    let back = shop.update(archive("1")).await.unwrap();
    assert_eq!((back.desired.package, back.desired.previous_digest()), (good, bad));
    assert!(back.is_proven(), "it was stable");
    shop.world.shut_down().await;
}

/// It is a restart: what was stable once is not taken back for it.
#[tokio::test(start_paused = true)]
async fn the_same_package_again_is_a_restart_of_a_package_that_is_as_proven_as_it_was() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let before = shop.activate().await;
    shop.until(Plugin::is_proven).await;
    let again = shop.update(archive("2")).await.unwrap();
    assert_ne!(again.reported.run, before.reported.run);
    assert!(again.is_proven());
    shop.world.behave(Behaviour::CannotSpawn);
    shop.update(archive("2")).await.unwrap_err();
    shop.world.handle.caught_up().await;
    assert_eq!(version(&shop.get()), "2");
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

/// The way back must not win the race against the answer: the caller learns the failure of its own generation.
#[tokio::test(start_paused = true)]
async fn a_caller_is_told_why_its_update_failed_however_late_it_looks() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.activate().await;
    for version in ["2", "3"] {
        let error = shop.update_that_fails(archive(version)).await;
        assert_eq!((error.reason, &*error.metadata["message"]), (Reason::PluginFailed, "exit status 7"));
    }
    shop.world.shut_down().await;
}

/// It would be deployed by who asks for a way back once more.
#[tokio::test(start_paused = true)]
async fn a_package_that_failed_is_never_one_to_go_back_to() {
    let shop = Shop::new(Behaviour::Connects).await;
    let good = shop.activate().await.desired.package;
    for version in ["2", "3"] {
        shop.update_that_fails(archive(version)).await;
        let plugin = shop.get();
        assert_eq!((plugin.desired.package, plugin.desired.previous_digest()), (good, None));
        assert_eq!(shop.roll_back().await.unwrap_err().reason, Reason::NoPreviousPackage);
    }
    shop.world.shut_down().await;
}

/// Not even the first one, nor after the plugin was deactivated.
#[tokio::test(start_paused = true)]
async fn an_update_of_a_package_that_failed_has_no_way_back_to_it() {
    let shop = Shop::new(Behaviour::CannotSpawn).await;
    let handle = shop.world.handle.clone();
    handle.set_active(shop.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap_err();
    handle.set_active(shop.plugin.id, ActiveState::Inactive, "test", WAIT).await.unwrap();
    assert_eq!(shop.update(archive("2")).await.unwrap().desired.previous_digest(), None);
    handle.set_active(shop.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap_err();
    shop.world.shut_down().await;
}

/// A crash at first is forgiven by who was stable after it.
#[tokio::test(start_paused = true)]
async fn a_package_that_was_stable_after_a_failure_is_one_to_go_back_to() {
    let shop = Shop::new(Behaviour::Exits(7)).await;
    let handle = shop.world.handle.clone();
    let id = shop.plugin.id;
    let activation = tokio::spawn(async move { handle.set_active(id, ActiveState::Active, "test", WAIT).await });
    shop.until(|plugin| plugin.reported.state == State::Restarting).await;
    shop.world.behave(Behaviour::Connects);
    activation.await.unwrap().unwrap();
    shop.until(Plugin::is_proven).await;
    assert_eq!(shop.update(archive("2")).await.unwrap().desired.previous_digest(), shop.plugin.desired.package);
    shop.world.shut_down().await;
}
