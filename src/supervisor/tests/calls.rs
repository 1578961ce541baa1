//! Calls that start, stop and restart.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::world::*;
use crate::{
    domain::{Exit, Reason, State},
    supervisor::{ChangeOptions, Wait},
};

#[tokio::test(start_paused = true)]
async fn an_activation_answers_when_the_plugin_has_connected() {
    let world = World::new(Behaviour::Connects).await;
    let plugin = world.set_active(ActiveState::Active).await.unwrap();
    assert_eq!(plugin.reported.state, State::Active);
    assert_eq!(plugin.reported.observed_generation, plugin.desired.generation);
    assert_eq!(world.states(), [State::Inactive, State::Starting, State::Connecting, State::Active]);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_exits_at_start_is_tried_four_times_and_its_words_come_back() {
    let world = World::new(Behaviour::Exits(42)).await;
    let began = Instant::now();
    let error = world.set_active(ActiveState::Active).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginFailed);
    assert_eq!(error.metadata["message"], "exit status 42");
    assert_eq!((&*error.metadata["exit_code"], &*error.metadata["stage"]), ("42", "exit"));
    assert_eq!(world.runtime.starts.load(Ordering::SeqCst), 4);
    let took = began.elapsed().as_secs_f64();
    assert!((6.3..=7.8).contains(&took), "1 + 2 + 4 s with a tenth of jitter, not {took}");
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_activation_after_an_error_never_answers_with_the_earlier_error() {
    let world = World::new(Behaviour::CannotSpawn).await;
    let error = world.set_active(ActiveState::Active).await.unwrap_err();
    assert_eq!(error.metadata["message"], "no such file");
    world.behave(Behaviour::Connects);
    let plugin = world.set_active(ActiveState::Active).await.unwrap();
    assert_eq!((plugin.reported.state, plugin.reported.message()), (State::Active, ""));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn deactivating_during_a_backoff_takes_no_time() {
    let world = World::new(Behaviour::Exits(1)).await;
    world.handle.set_active(world.id, ActiveState::Active, "test", crate::supervisor::Wait::No).await.unwrap();
    world.until(State::Restarting).await;
    let began = Instant::now();
    world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let starts = world.runtime.starts.load(Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!(world.runtime.starts.load(Ordering::SeqCst), starts, "the backoff was not cancelled");
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_later_opposite_call_supersedes_the_earlier_at_once() {
    let world = World::new(Behaviour::Hangs).await;
    let began = Instant::now();
    let first = tokio::spawn({
        let handle = world.handle.clone();
        let id = world.id;
        async move { handle.set_active(id, ActiveState::Active, "first", WAIT).await }
    });
    world.until(State::Connecting).await;
    world.set_active(ActiveState::Inactive).await.unwrap();
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.reason, Reason::Superseded);
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_none_answers_with_the_newest_revision() {
    let world = World::new(Behaviour::Connects).await;
    let started = world.set_active(ActiveState::Active).await.unwrap();
    let again = world.handle.set_active(world.id, ActiveState::Active, "test", Wait::No).await.unwrap();
    assert_eq!((again.revision, again.reported.state), (started.revision, State::Active));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn two_calls_for_the_same_value_join() {
    let world = World::new(Behaviour::Connects).await;
    let (one, two) = tokio::join!(world.set_active(ActiveState::Active), world.set_active(ActiveState::Active));
    assert_eq!(one.unwrap().desired.generation, two.unwrap().desired.generation);
    assert_eq!(world.runtime.starts.load(Ordering::SeqCst), 1);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nothing() {
    let world = World::new(Behaviour::Connects).await;
    let call = world.handle.set_active(world.id, ActiveState::Active, "test", WAIT);
    assert!(futures_util::FutureExt::now_or_never(call).is_none());
    world.until(State::Active).await;
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_plugin_that_crashes_is_told_of_what() {
    let world = World::new(Behaviour::Exits(42)).await;
    let wait = Wait::UpTo(Duration::from_millis(500));
    let error = world.handle.set_active(world.id, ActiveState::Active, "test", wait).await.unwrap_err();
    assert_eq!(error.message, "not settled in time; the plugin is restarting: exit status 42");
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_too_long_is_told_and_the_transition_goes_on() {
    let world = World::new(Behaviour::Hangs).await;
    let wait = crate::supervisor::Wait::UpTo(Duration::from_secs(3));
    let error = world.handle.set_active(world.id, ActiveState::Active, "test", wait).await.unwrap_err();
    assert_eq!(error.reason, Reason::NotSettled);
    assert_eq!(world.state(), State::Connecting);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_goes_through_restarting_back_to_active() {
    let world = World::new(Behaviour::Connects).await;
    world.set_active(ActiveState::Active).await.unwrap();
    world.group().end(Exit { code: Some(1), signal: None, out_of_memory: false });
    let restarting = world.until(State::Restarting).await;
    assert_eq!((restarting.reported.message(), restarting.reported.restarts), ("exit status 1", 1));
    let active = world.until(State::Active).await;
    assert_eq!(active.reported.failure, None);
    tokio::time::advance(Duration::from_secs(31)).await;
    let mut records = world.handle.slot(world.id).unwrap().subscribe();
    records.wait_for(|p| p.as_ref().is_some_and(|p| p.reported.restarts == 0)).await.unwrap();
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_makes_a_new_run_and_waits_for_it() {
    let world = World::new(Behaviour::Connects).await;
    let error = world.handle.restart(world.id, "test", WAIT).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginNotConnected);
    let first = world.set_active(ActiveState::Active).await.unwrap();
    let second = world.handle.restart(world.id, "test", WAIT).await.unwrap();
    assert_eq!(second.reported.state, State::Active);
    assert_ne!(first.reported.run, second.reported.run);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_that_is_not_committed() {
    let world = World::new(Behaviour::Connects).await;
    world.store.is_away.store(true, Ordering::SeqCst);
    let error = world.set_active(ActiveState::Active).await.unwrap_err();
    assert_eq!(error.reason, Reason::StoreUnavailable);
    assert_eq!(world.runtime.starts.load(Ordering::SeqCst), 0);
    world.store.is_away.store(false, Ordering::SeqCst);
    world.set_active(ActiveState::Active).await.unwrap();
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_for_one_connection() {
    let world = World::new(Behaviour::Hangs).await;
    world.handle.set_active(world.id, ActiveState::Active, "test", crate::supervisor::Wait::No).await.unwrap();
    let run = world.until(State::Connecting).await.reported.run.unwrap();
    let forged = format!("ws://h/rpc?plugin_id={}&token={}", world.id, crate::link::token::mint(run));
    assert!(!connect(world.handle.clone(), forged).await, "the run id alone is not enough");
    world.set_active(ActiveState::Inactive).await.unwrap();
    world.shut_down().await;
}

/// Of two who looked at the same generation one wins, and the other changes nothing.
#[tokio::test(start_paused = true)]
async fn a_change_on_top_of_another_generation_than_the_desired_one_is_a_conflict() {
    let world = World::new(Behaviour::Connects).await;
    let on_top_of = |generation| ChangeOptions { if_generation: Some(generation), ..ChangeOptions::from("test") };
    let activate = |generation| world.handle.set_active(world.id, ActiveState::Active, on_top_of(generation), WAIT);
    assert_eq!(activate(1).await.unwrap().desired.generation, 2);
    let error = activate(1).await.unwrap_err();
    assert_eq!(error.reason, Reason::GenerationConflict);
    assert_eq!((&*error.metadata["expected"], &*error.metadata["actual"]), ("1", "2"));
    let deletion = world.handle.delete(world.id, on_top_of(1)).await.unwrap_err();
    assert_eq!(deletion.reason, Reason::GenerationConflict);
    world.handle.delete(world.id, on_top_of(2)).await.unwrap();
    world.shut_down().await;
}

/// Each waits in the queue within its own deadline, and those that do not fit are told so at once.
#[tokio::test(start_paused = true)]
async fn callers_wait_no_longer_than_they_said_although_the_store_hangs() {
    let world = World::new(Behaviour::Connects).await;
    world.store.hangs.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (handle, id, wait) = (world.handle.clone(), world.id, Wait::UpTo(Duration::from_secs(3)));
        calls.spawn(async move {
            let error = handle.set_active(id, ActiveState::Active, "test", wait).await.unwrap_err();
            (error.reason, began.elapsed().as_secs())
        });
    }
    let answers = tokio::time::timeout(Duration::from_secs(60), calls.join_all()).await.expect("a call hangs");
    let refused = answers.iter().filter(|answer| **answer == (Reason::TooBusy, 0)).count();
    let late = answers.iter().filter(|answer| **answer == (Reason::NotSettled, 3)).count();
    assert_eq!((late, refused), (64, 136), "as many wait as fit, all others are told that nothing was changed");
    world.shut_down().await;
}

/// What a run does reaches the actor past all who wait for it.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_is_heard_while_the_inbox_is_full() {
    let world = World::new(Behaviour::Connects).await;
    world.set_active(ActiveState::Active).await.unwrap();
    world.store.hangs.store(true, Ordering::SeqCst);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (handle, id) = (world.handle.clone(), world.id);
        calls.spawn(async move { handle.set_active(id, ActiveState::Inactive, "test", WAIT).await });
    }
    tokio::task::yield_now().await;
    world.group().end(Exit { code: Some(1), signal: None, out_of_memory: false });
    let restarting = world.until(State::Restarting).await;
    assert_eq!(restarting.reported.message(), "exit status 1");
    calls.abort_all();
    world.shut_down().await;
}
