//! Stops, deletions, shutdown.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::world::*;
use crate::domain::{Exit, Reason, State, policy::Policy};

#[tokio::test(start_paused = true)]
async fn a_stubborn_process_is_killed_after_the_grace() {
    let world = World::new(Behaviour::IgnoresStop).await;
    world.set_active(ActiveState::Active).await.unwrap();
    let began = Instant::now();
    world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(world.live(), 0);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_killed_is_an_error_that_names_it_and_nothing_is_started_beside_it() {
    let world = World::new(Behaviour::CannotBeKilled).await;
    world.set_active(ActiveState::Active).await.unwrap();
    let error = world.set_active(ActiveState::Inactive).await.unwrap_err();
    assert_eq!(error.metadata["message"], "processes 4711 can't be killed");
    let error = world.handle.delete(world.id, "test").await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginFailed);
    world.behave(Behaviour::Connects);
    let again = world.set_active(ActiveState::Active).await.unwrap_err();
    assert_eq!(again.reason, Reason::PluginFailed);
    assert_eq!(world.runtime.starts.load(Ordering::SeqCst), 1);
    world.group().end(Exit { code: None, signal: Some(9), out_of_memory: false });
    world.until(State::Active).await;
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_plugin_is_stopped_removed_and_unknown() {
    let world = World::new(Behaviour::IgnoresStop).await;
    world.set_active(ActiveState::Active).await.unwrap();
    let (deleted, second) = tokio::join!(world.handle.delete(world.id, "test"), world.handle.delete(world.id, "test"));
    assert_eq!(deleted.unwrap().id, world.id);
    assert_eq!(second.unwrap_err().reason, Reason::BeingDeleted);
    assert_eq!(world.handle.get(world.id).unwrap_err().reason, Reason::PluginNotFound);
    assert_eq!(*world.runtime.removed.lock().unwrap(), [world.id]);
    assert_eq!(world.live(), 0);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_the_store_does_not_take_leaves_the_plugin_as_it_is_desired() {
    let world = World::new(Behaviour::Connects).await;
    world.set_active(ActiveState::Active).await.unwrap();
    world.store.is_away.store(true, Ordering::SeqCst);
    let error = world.handle.delete(world.id, "test").await.unwrap_err();
    assert_eq!(error.reason, Reason::StoreUnavailable);
    world.store.is_away.store(false, Ordering::SeqCst);
    world.handle.restart(world.id, "test", WAIT).await.unwrap();
    world.until(State::Active).await;
    assert!(world.runtime.removed.lock().unwrap().is_empty());
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_can_not_be_leaves_the_plugin_as_it_is_desired() {
    let world = World::new(Behaviour::CannotBeKilled).await;
    world.set_active(ActiveState::Active).await.unwrap();
    assert_eq!(world.handle.delete(world.id, "test").await.unwrap_err().reason, Reason::PluginFailed);
    world.behave(Behaviour::Connects);
    world.group().end(Exit { code: None, signal: Some(9), out_of_memory: false });
    world.until(State::Active).await;
    world.shut_down().await;
}

/// It came while a change was being committed that would have taken effect, had the store taken it.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_can_not_be_is_refused_also_when_the_change_before_it_fails() {
    let world = World::new(Behaviour::CannotBeKilled).await;
    world.set_active(ActiveState::Active).await.unwrap();
    world.set_active(ActiveState::Inactive).await.unwrap_err();
    world.store.is_away.store(true, Ordering::SeqCst);
    let both = async { tokio::join!(world.set_active(ActiveState::Active), world.handle.delete(world.id, "test")) };
    let (change, deletion) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("one was left hanging");
    assert_eq!(change.unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!(deletion.unwrap_err().reason, Reason::PluginFailed);
    world.group().end(Exit { code: None, signal: Some(9), out_of_memory: false });
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_everything_and_leaves_what_is_desired() {
    let world = World::new(Behaviour::IgnoresStop).await;
    let plugin = world.set_active(ActiveState::Active).await.unwrap();
    let handle = world.handle.clone();
    let began = Instant::now();
    world.shut_down().await;
    assert!(began.elapsed() <= Duration::from_secs(11));
    let after = handle.get(plugin.id).unwrap();
    assert_eq!(after.desired, plugin.desired);
    assert_eq!(after.reported.state, State::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_a_plugin_the_grace_of_its_policy() {
    let world = World::new(Behaviour::IgnoresStop).await;
    let grace = Duration::from_secs(60);
    let mut policy = Policy::default();
    policy.supervision.grace = Some(grace);
    world.handle.set_policy(world.id, policy, "test", WAIT).await.unwrap();
    world.set_active(ActiveState::Active).await.unwrap();
    let began = Instant::now();
    world.shut_down().await;
    assert!((grace..grace + Duration::from_secs(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_told_when_the_server_shuts_down() {
    let world = World::new(Behaviour::Hangs).await;
    let handle = world.handle.clone();
    let id = world.id;
    let call = tokio::spawn(async move { handle.set_active(id, ActiveState::Active, "test", WAIT).await });
    world.until(State::Connecting).await;
    world.shut_down().await;
    assert_eq!(call.await.unwrap().unwrap_err().reason, Reason::Draining);
}
