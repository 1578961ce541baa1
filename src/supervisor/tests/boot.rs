//! Starts after a plugd that ended between the commit of what is desired and all that follows from it.

use super::{shop::eventually, world::*};
use crate::{
    domain::{Desired, Digest, Mode, Plugin, PluginId, Reason, Reported, State, lifecycle::Policy},
    supervisor::handle::mk_plugin,
};

const OLD: Digest = Digest([1; 32]);
const NEW: Digest = Digest([2; 32]);

/// Generation 3 is committed, 2 is the last one that was reported of.
fn mk_unanswered(active: ActiveState) -> Plugin {
    let plugin = mk_plugin(mk_manifest(), Mode::Supervised);
    let desired = Desired { package: Some(OLD), active, generation: 3, ..plugin.desired };
    let reported = Reported { observed_generation: 2, ..plugin.reported };
    Plugin { desired, reported, ..plugin }
}

/// The same, where generation 3 is another package than the one that was stable.
fn mk_updated() -> Plugin {
    let plugin = mk_unanswered(ActiveState::Active);
    let desired = Desired { package: Some(NEW), previous_package: Some(OLD), ..plugin.desired };
    let reported = Reported { proven_package: Some(OLD), ..plugin.reported };
    Plugin { desired, reported, ..plugin }
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_and_not_acted_on_is_answered_to_by_the_next_start() {
    for active in [ActiveState::Active, ActiveState::Inactive] {
        let world = World::booted(Behaviour::Connects, mk_unanswered(active));
        let joined = world.set_active(active).await.unwrap();
        assert_eq!((joined.desired.generation, joined.reported.observed_generation), (3, 3));
        world.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_held_against_a_plugin_is_forgotten_by_a_start_that_answers_to_a_change() {
    let mut plugin = mk_unanswered(ActiveState::Active);
    plugin.reported = Reported { restarts: 3, message: "exit status 9".to_owned(), ..plugin.reported };
    let world = World::booted(Behaviour::Connects, plugin);
    let active = world.until(State::Active).await;
    assert_eq!((active.reported.restarts, &*active.reported.message), (0, ""));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_committed_and_not_acted_on_is_taken_back_when_it_fails() {
    let mut world = World::booted(Behaviour::CannotSpawn, mk_updated());
    let error = world.set_active(ActiveState::Active).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginFailed);
    assert_eq!(world.failed_updates.try_recv(), Ok(world.id));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_committed_and_not_acted_on_is_not_taken_back_when_it_fails() {
    let plugin = mk_updated();
    let mut desired = Desired { is_restored: true, ..plugin.desired };
    std::mem::swap(&mut desired.package, &mut desired.previous_package);
    let reported = Reported { proven_package: None, ..plugin.reported };
    let mut world = World::booted(Behaviour::CannotSpawn, Plugin { desired, reported, ..plugin });
    world.until(State::Error).await;
    world.set_active(ActiveState::Active).await.unwrap_err();
    assert!(world.failed_updates.try_recv().is_err());
    world.shut_down().await;
}

const fn numbered(number: u8) -> PluginId {
    PluginId::from_bytes([number; 12])
}

/// plugd died twice while it was being started.
fn mk_suspect(number: u8) -> Plugin {
    let plugin = mk_plugin(mk_manifest(), Mode::Supervised);
    let desired = Desired { package: Some(OLD), active: ActiveState::Active, ..plugin.desired };
    let reported = Reported { state: State::Active, deaths_at_start: 1, ..plugin.reported };
    Plugin { id: numbered(number), installed: number.into(), desired, reported, ..plugin }
}

/// The world of a plugd that two of its kind went before, and these plugins were in their start each time.
async fn suspects(behaviour: Behaviour, count: u8) -> World {
    let mut world = World::over(behaviour, (1..=count).map(mk_suspect).collect());
    world.id = numbered(2);
    eventually(|| !world.started().is_empty()).await;
    world
}

/// So that one of them is found by the next death.
#[tokio::test(start_paused = true)]
async fn a_suspect_is_tried_when_those_before_it_are_stable() {
    let world = suspects(Behaviour::Connects, 2).await;
    assert_eq!(world.started(), [numbered(1)]);
    let waiting = world.handle.get(numbered(2)).unwrap();
    assert_eq!((waiting.reported.state, waiting.reported.deaths_at_start), (State::Starting, 1));
    world.until(State::Active).await;
    let first = world.handle.get(numbered(1)).unwrap();
    assert_eq!((first.reported.is_stable, first.reported.deaths_at_start), (true, 0));
    let second = world.handle.get(numbered(2)).unwrap();
    assert_eq!((second.reported.is_tried_alone, second.reported.deaths_at_start), (true, 2));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_suspect_is_not_tried_beside_the_next_try_of_another() {
    let world = suspects(Behaviour::Exits(1), 2).await;
    eventually(|| world.started().len() == 2).await;
    let (first, second) = (world.handle.get(numbered(1)).unwrap(), world.handle.get(numbered(2)).unwrap());
    assert_eq!((first.reported.state, first.reported.restarts), (State::Error, 3), "{second:?}");
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn of_many_suspects_half_are_tried_at_a_time() {
    let world = suspects(Behaviour::Hangs, 9).await;
    let is_started = |number: &u8| world.started().contains(&numbered(*number));
    eventually(|| (1..=4).all(|number| is_started(&number))).await;
    assert_eq!(world.started().len(), 4);
    assert!(!world.handle.get(numbered(1)).unwrap().reported.is_tried_alone);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_suspect_that_is_tried_again_and_again_is_not_waited_for_forever() {
    let policy = Policy { max_restarts: u32::MAX, ..Policy::default() };
    let world = World::under(policy, Behaviour::Exits(1), vec![mk_suspect(1), mk_suspect(2)]);
    eventually(|| world.started().len() == 2).await;
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_for_does_not_await_its_turn() {
    for restarts in [false, true] {
        let world = suspects(Behaviour::Connects, 2).await;
        let started = match restarts {
            false => world.set_active(ActiveState::Active).await,
            true => world.handle.restart(world.id, "test", WAIT).await,
        };
        let reported = started.unwrap().reported.clone();
        assert_eq!((reported.state, reported.deaths_at_start), (State::Active, 0));
        assert!(!world.handle.get(numbered(1)).unwrap().reported.is_stable, "the turn of the other is not over");
        world.shut_down().await;
    }
    let world = suspects(Behaviour::Connects, 2).await;
    let stopped = world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!((stopped.reported.state, stopped.reported.deaths_at_start), (State::Inactive, 0));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_deleted_is_not_started_when_its_turn_comes() {
    let world = suspects(Behaviour::Connects, 3).await;
    world.handle.delete(world.id).await.unwrap();
    eventually(|| world.started().len() == 2).await;
    assert_eq!(world.started(), [numbered(1), numbered(3)]);
    world.shut_down().await;
}
