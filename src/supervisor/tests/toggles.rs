//! Many callers at once.

use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::domain::{Exit, Reason, State};

#[tokio::test(start_paused = true)]
async fn two_hundred_toggles_by_fifty_clients_all_get_an_answer_and_the_last_one_stands() {
    let world = World::new(Behaviour::Connects).await;
    let mut calls = tokio::task::JoinSet::new();
    for client in 0..50_u32 {
        let handle = world.handle.clone();
        let id = world.id;
        calls.spawn(async move {
            for turn in 0..4_u32 {
                let active = if (client + turn) % 2 == 0 { ActiveState::Active } else { ActiveState::Inactive };
                let answer = handle.set_active(id, active, "test", WAIT).await;
                assert!(answer.is_ok() || answer.unwrap_err().reason == Reason::Superseded);
            }
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(600), calls.join_all()).await;
    assert_eq!(all.expect("a call was left hanging").len(), 50);
    world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!((world.state(), world.live()), (State::Inactive, 0));
    world.shut_down().await;
}

/// What the world does to a plugin between calls.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Set(bool),
    Restart,
    Crash,
    Become(Behaviour),
    Pass(u64),
}

fn blows() -> impl Strategy<Value = Vec<Blow>> {
    let behaviour = prop_oneof![
        Just(Behaviour::Connects),
        Just(Behaviour::Hangs),
        Just(Behaviour::Exits(1)),
        Just(Behaviour::CannotSpawn),
        Just(Behaviour::IgnoresStop),
    ];
    let blow = prop_oneof![
        any::<bool>().prop_map(Blow::Set),
        Just(Blow::Restart),
        Just(Blow::Crash),
        behaviour.prop_map(Blow::Become),
        (0_u64..40).prop_map(Blow::Pass),
    ];
    prop::collection::vec(blow, 1..30)
}

async fn strike(world: &World, blow: Blow) {
    use crate::supervisor::Wait;
    match blow {
        Blow::Set(is_active) => {
            let active = if is_active { ActiveState::Active } else { ActiveState::Inactive };
            world.handle.set_active(world.id, active, "test", Wait::No).await.unwrap();
        }
        Blow::Restart => drop(world.handle.restart(world.id, "test", Wait::No).await),
        Blow::Crash if world.live() > 0 => {
            world.group().end(Exit { code: None, signal: Some(11), out_of_memory: false });
        }
        Blow::Crash => {}
        Blow::Become(behaviour) => world.behave(behaviour),
        Blow::Pass(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
    }
}

async fn survive(blows: Vec<Blow>) {
    let world = World::new(Behaviour::Connects).await;
    for blow in blows {
        strike(&world, blow).await;
    }
    world.behave(Behaviour::Connects);
    world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!(world.live(), 0, "inactive while something runs");
    world.set_active(ActiveState::Active).await.unwrap();
    world.shut_down().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    // The fake runtime itself refuses a second live group of the plugin.
    #[test]
    fn whatever_happens_a_plugin_can_be_stopped_and_started_afterwards(blows in blows()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(survive(blows));
    }
}
