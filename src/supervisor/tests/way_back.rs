//! Ways back from an update: by hand, by plugd itself, and which package they lead to.

use std::sync::atomic::Ordering;

use super::{setup::*, world::*};
use crate::domain::{Exit, Plugin, Reason, State};

/// plugd's own decision: `RollbackPackage` does it by hand, and once more goes forth again.
#[tokio::test(start_paused = true)]
async fn a_rollback_swaps_the_package_with_the_one_before() {
    let setup = Setup::new(Behaviour::Connects).await;
    assert_eq!(setup.roll_back().await.unwrap_err().reason, Reason::NoPreviousPackage);
    setup.activate().await;
    setup.update(archive("2")).await.unwrap();
    for expected in ["1", "2", "1"] {
        let plugin = setup.roll_back().await.unwrap();
        assert_eq!((plugin.reported.state, version(&plugin)), (State::Active, expected));
    }
    assert_eq!(setup.kept(), 2);
    setup.world.shut_down().await;
}

/// plugd's own decision: an update that was never stable, and only that, is taken back.
#[tokio::test(start_paused = true)]
async fn a_failed_update_is_taken_back_and_the_caller_is_told_why_and_to_what() {
    let setup = Setup::new(Behaviour::Connects).await;
    let first = setup.activate().await;
    setup.world.behave(Behaviour::Exits(7));
    let error = setup.update(archive("2")).await.unwrap_err();
    assert_eq!((error.reason, &*error.metadata["message"]), (Reason::PluginFailed, "exit status 7"));
    assert_eq!(error.metadata["going_back_to"], first.desired.package.unwrap().to_string());
    setup.world.behave(Behaviour::Connects);
    let back = setup.until(|plugin| version(plugin) == "1" && plugin.reported.state == State::Active).await;
    assert!(back.desired.is_restored);
    assert_eq!((back.desired.previous_digest(), back.reported.message()), (None, ""));
    setup.world.shut_down().await;
}

/// While the store is away nothing can be taken back; it is when the store is.
#[tokio::test(start_paused = true)]
async fn a_failed_update_is_taken_back_when_the_store_is_there_again() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    setup.world.behave(Behaviour::Hangs);
    setup.begin_update(archive("2")).await.unwrap();
    setup.until(|plugin| plugin.reported.state == State::Connecting && version(plugin) == "2").await;
    setup.world.behave(Behaviour::CannotSpawn);
    setup.world.store.is_away.store(true, Ordering::SeqCst);
    let starts = || setup.world.runtime.starts.load(Ordering::SeqCst);
    let before = starts();
    setup.world.group().end(Exit { code: Some(1), signal: None, out_of_memory: false });
    eventually(|| starts() > before).await;
    setup.world.handle.caught_up().await;
    assert_eq!(version(&setup.get()), "2");
    setup.world.behave(Behaviour::Connects);
    setup.world.store.is_away.store(false, Ordering::SeqCst);
    setup.until(|plugin| version(plugin) == "1" && plugin.reported.state == State::Active).await;
    setup.world.shut_down().await;
}

/// What was stable and fails later is the plugin's own failure: its update is not taken back.
#[tokio::test(start_paused = true)]
async fn a_package_that_was_stable_once_is_not_taken_back() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    setup.update(archive("2")).await.unwrap();
    setup.until(Plugin::is_proven).await;
    setup.world.behave(Behaviour::CannotSpawn);
    let handle = setup.world.handle.clone();
    let error = handle.restart(setup.plugin.id, "test", WAIT).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginFailed);
    handle.caught_up().await;
    assert_eq!((version(&setup.get()), setup.get().reported.state), ("2", State::Error));
    setup.world.shut_down().await;
}

/// A rollback that fails too is not rolled back: the two packages would take turns for ever.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_ends_in_error() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    setup.world.behave(Behaviour::CannotSpawn);
    setup.update(archive("2")).await.unwrap_err();
    let is_over = |plugin: &Plugin| {
        let is_observed = plugin.reported.observed_generation == plugin.desired.generation;
        version(plugin) == "1" && plugin.reported.state == State::Error && is_observed
    };
    let failed = setup.until(is_over).await;
    setup.world.handle.caught_up().await;
    assert_eq!(setup.get().desired, failed.desired);
    assert!(failed.reported.failure.as_ref().unwrap().going_back_to.is_none());
    setup.world.shut_down().await;
}

/// An update that was taken back never looks like one that succeeded, however late its caller looks.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_update_was_taken_back_meanwhile_is_not_told_that_it_worked() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    setup.world.behave(Behaviour::Hangs);
    let meanwhile = async {
        setup.until(|plugin| version(plugin) == "2" && plugin.reported.state == State::Connecting).await;
        setup.world.behave(Behaviour::Connects);
        setup.roll_back().await.unwrap()
    };
    let (updated, back) = tokio::join!(setup.update(archive("2")), meanwhile);
    assert_eq!((back.reported.state, version(&back)), (State::Active, "1"));
    assert_eq!(updated.unwrap_err().reason, Reason::Superseded);
    setup.world.shut_down().await;
}

/// Not when that one settles: what becomes of it is somebody else's affair, its failure too.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_package_was_replaced_is_told_so_at_once() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    setup.world.behave(Behaviour::Hangs);
    let meanwhile = async {
        setup.until(|plugin| version(plugin) == "2" && plugin.reported.state == State::Connecting).await;
        setup.begin_update(archive("3")).await.unwrap()
    };
    let (updated, latest) = tokio::join!(setup.update(archive("2")), meanwhile);
    assert_eq!(updated.unwrap_err().reason, Reason::Superseded);
    assert!(setup.get().reported.observed_generation <= latest.desired.generation, "nobody else has changed it");
    assert_ne!(setup.get().reported.state, State::Active);
    setup.world.shut_down().await;
}

/// Two bad updates in a row must not cost the package that runs well.
#[tokio::test(start_paused = true)]
async fn an_update_of_a_package_that_was_never_stable_keeps_the_good_one_before_it() {
    let setup = Setup::new(Behaviour::Connects).await;
    let good = setup.activate().await.desired.package;
    setup.until(Plugin::is_proven).await;
    setup.world.behave(Behaviour::Hangs);
    setup.begin_update(archive("2")).await.unwrap();
    setup.world.behave(Behaviour::Exits(7));
    let worse = setup.update(archive("3")).await.unwrap_err();
    assert_eq!((worse.reason, &worse.metadata["going_back_to"]), (Reason::PluginFailed, &good.unwrap().to_string()));
    setup.world.behave(Behaviour::Connects);
    setup.until(|plugin| version(plugin) == "1" && plugin.reported.state == State::Active).await;
    setup.world.shut_down().await;
}

/// A package must not become its own way back.
#[tokio::test(start_paused = true)]
async fn an_upload_of_the_good_package_before_goes_back_to_it() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    let good = setup.until(Plugin::is_proven).await.desired.package;
    setup.world.behave(Behaviour::Hangs);
    let bad = setup.begin_update(archive("2")).await.unwrap().desired.package;
    setup.world.behave(Behaviour::Connects);
    let back = setup.update(archive("1")).await.unwrap();
    assert_eq!((back.desired.package, back.desired.previous_digest()), (good, bad));
    assert!(back.is_proven(), "it was stable");
    setup.world.shut_down().await;
}

/// It is a restart: what was stable once is not taken back for it.
#[tokio::test(start_paused = true)]
async fn the_same_package_again_is_a_restart_of_a_package_that_is_as_proven_as_it_was() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.update(archive("2")).await.unwrap();
    let before = setup.activate().await;
    setup.until(Plugin::is_proven).await;
    let again = setup.update(archive("2")).await.unwrap();
    assert_ne!(again.reported.run, before.reported.run);
    assert!(again.is_proven());
    setup.world.behave(Behaviour::CannotSpawn);
    setup.update(archive("2")).await.unwrap_err();
    setup.world.handle.caught_up().await;
    assert_eq!(version(&setup.get()), "2");
    setup.world.shut_down().await;
}

/// A rollback that came too late is told so: another package than the one it wanted is there.
#[tokio::test]
async fn a_rollback_beside_an_update_is_not_told_that_it_worked() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.update(archive("2")).await.unwrap();
    let hang = setup.store.hang_next();
    let update = async {
        hang.began.await.unwrap();
        setup.update(archive("3")).await.unwrap();
        hang.release.send(()).unwrap();
    };
    let (rolled_back, ()) = tokio::join!(setup.roll_back(), update);
    assert_eq!(version(&setup.get()), "3");
    assert_eq!(rolled_back.unwrap_err().reason, Reason::Superseded);
    setup.world.shut_down().await;
}

/// The way back must not win the race against the answer: the caller learns the failure of its own generation.
#[tokio::test(start_paused = true)]
async fn a_caller_is_told_why_its_update_failed_however_late_it_looks() {
    let setup = Setup::new(Behaviour::Connects).await;
    setup.activate().await;
    for version in ["2", "3"] {
        let error = setup.update_that_fails(archive(version)).await;
        assert_eq!((error.reason, &*error.metadata["message"]), (Reason::PluginFailed, "exit status 7"));
    }
    setup.world.shut_down().await;
}

/// It would be deployed by who asks for a way back once more.
#[tokio::test(start_paused = true)]
async fn a_package_that_failed_is_never_one_to_go_back_to() {
    let setup = Setup::new(Behaviour::Connects).await;
    let good = setup.activate().await.desired.package;
    for version in ["2", "3"] {
        setup.update_that_fails(archive(version)).await;
        let plugin = setup.get();
        assert_eq!((plugin.desired.package, plugin.desired.previous_digest()), (good, None));
        assert_eq!(setup.roll_back().await.unwrap_err().reason, Reason::NoPreviousPackage);
    }
    setup.world.shut_down().await;
}

/// Not even the first one, nor after the plugin was deactivated.
#[tokio::test(start_paused = true)]
async fn an_update_of_a_package_that_failed_has_no_way_back_to_it() {
    let setup = Setup::new(Behaviour::CannotSpawn).await;
    let handle = setup.world.handle.clone();
    handle.set_active(setup.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap_err();
    handle.set_active(setup.plugin.id, ActiveState::Inactive, "test", WAIT).await.unwrap();
    assert_eq!(setup.update(archive("2")).await.unwrap().desired.previous_digest(), None);
    handle.set_active(setup.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap_err();
    setup.world.shut_down().await;
}

/// A crash at first is forgiven by who was stable after it.
#[tokio::test(start_paused = true)]
async fn a_package_that_was_stable_after_a_failure_is_one_to_go_back_to() {
    let setup = Setup::new(Behaviour::Exits(7)).await;
    let handle = setup.world.handle.clone();
    let id = setup.plugin.id;
    let activation = tokio::spawn(async move { handle.set_active(id, ActiveState::Active, "test", WAIT).await });
    setup.until(|plugin| plugin.reported.state == State::Restarting).await;
    setup.world.behave(Behaviour::Connects);
    activation.await.unwrap().unwrap();
    setup.until(Plugin::is_proven).await;
    assert_eq!(setup.update(archive("2")).await.unwrap().desired.previous_digest(), setup.plugin.desired.package);
    setup.world.shut_down().await;
}
