//! A store that is away, or that does not know whether a change was made.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::world::*;
use crate::{
    domain::{Exit, Reason, State},
    supervisor::Wait,
};

#[tokio::test(start_paused = true)]
async fn a_change_that_was_made_after_all_takes_effect() {
    let world = World::new(Behaviour::Connects).await;
    world.store.is_uncertain.store(true, Ordering::SeqCst);
    let error = world.set_active(ActiveState::Active).await.unwrap_err();
    assert_eq!(error.reason, Reason::StoreUnavailable);
    world.store.is_uncertain.store(false, Ordering::SeqCst);
    let active = world.until(State::Active).await;
    assert_eq!(active.reported.observed_generation, active.desired.generation);
    let inactive = world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!(inactive.desired.generation, active.desired.generation + 1, "a generation was used twice");
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_takes_effect_before_it_is_durable_and_is_answered_after_that() {
    let world = World::new(Behaviour::Connects).await;
    world.store.unsynced.send_replace(Some(0));
    // The first one changes it, the others join.
    let mut answers: FuturesUnordered<_> = [WAIT, Wait::No, WAIT]
        .map(|wait| world.handle.set_active(world.id, ActiveState::Active, "test", wait))
        .into_iter()
        .collect();
    tokio::select! {
        biased;
        _ = answers.next() => panic!("answered though it is not durable"),
        _ = world.until(State::Active) => {}
    }
    let early = tokio::time::timeout(Duration::from_secs(1), answers.next()).await;
    assert!(early.is_err(), "answered though it is not durable");
    world.store.unsynced.send_replace(None);
    while let Some(answer) = answers.next().await {
        answer.unwrap();
    }
    drop(answers);
    world.shut_down().await;
}

/// The actor knows more of the plugin than its record says.
#[tokio::test(start_paused = true)]
async fn a_call_that_joins_waits_for_the_change_of_another_to_be_durable() {
    let world = World::new(Behaviour::Connects).await;
    let change = world.handle.get(world.id).unwrap().revision + 1;
    world.store.unsynced.send_replace(Some(change));
    let call = || {
        let (handle, id) = (world.handle.clone(), world.id);
        async move { handle.set_active(id, ActiveState::Active, "test", Wait::No).await }
    };
    let first = tokio::spawn(call());
    world.until(State::Active).await;
    world.store.is_away.store(true, Ordering::SeqCst);
    world.behave(Behaviour::Hangs);
    world.group().end(Exit { code: Some(1), signal: None, out_of_memory: false });
    let mut second = Box::pin(call());
    let early = tokio::time::timeout(Duration::from_secs(1), &mut second).await;
    assert!(early.is_err(), "answered though it is not durable");
    world.store.unsynced.send_replace(None);
    second.await.unwrap();
    first.await.unwrap().unwrap();
    world.store.is_away.store(false, Ordering::SeqCst);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_given_once_it_is_durable_also_while_plugd_stops() {
    let world = World::new(Behaviour::Connects).await;
    let plugin = world.handle.register_external(mk_manifest(), None).await.unwrap();
    world.store.unsynced.send_replace(Some(plugin.revision + 1));
    let handle = world.handle.clone();
    let mut rotated = Box::pin(async move { handle.rotate_token(plugin.id, "test").await });
    for drain in [|_: &World| {}, World::drain] {
        drain(&world);
        let early = tokio::time::timeout(Duration::from_secs(1), &mut rotated).await;
        assert!(early.is_err(), "answered though it is not durable");
    }
    world.store.unsynced.send_replace(None);
    rotated.await.unwrap();
    world.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_joins_is_not_answered_from_a_record_that_is_out_of_date() {
    let world = World::new(Behaviour::Connects).await;
    world.set_active(ActiveState::Active).await.unwrap();
    world.store.is_away.store(true, Ordering::SeqCst);
    world.behave(Behaviour::Hangs);
    world.group().end(Exit { code: Some(1), signal: None, out_of_memory: false });
    let wait = Wait::UpTo(Duration::from_secs(20));
    let answer = world.handle.set_active(world.id, ActiveState::Active, "test", wait).await;
    assert_eq!(world.state(), State::Active, "the record is the one from before the crash");
    assert_eq!(answer.unwrap_err().reason, Reason::NotSettled);
    world.store.is_away.store(false, Ordering::SeqCst);
    world.shut_down().await;
}
