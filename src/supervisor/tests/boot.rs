//! Starts after a plugd that ended between the commit of what is desired and all that follows from it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{setup::eventually, world::*};
use crate::{
    domain::{
        Desired, Digest, Failure, Mode, Plugin, PluginId, PreviousPackage, Reported, Stage, State, policy::Supervision,
    },
    supervisor::handle::new_plugin,
};

const OLD: Digest = Digest([1; 32]);
const NEW: Digest = Digest([2; 32]);

/// Generation 3 is committed, 2 is the last one that was reported of.
fn mk_unanswered(active: ActiveState) -> Plugin {
    let plugin = new_plugin(mk_manifest(), Mode::Supervised);
    let desired = Desired { package: Some(OLD), active, generation: 3, ..plugin.desired };
    let reported = Reported { observed_generation: 2, ..plugin.reported };
    Plugin { desired, reported, ..plugin }
}

/// The same, where generation 3 is another package than the one that was stable.
fn mk_updated() -> Plugin {
    let plugin = mk_unanswered(ActiveState::Active);
    let previous = PreviousPackage { digest: OLD, manifest: plugin.desired.manifest.clone() };
    let desired = Desired { package: Some(NEW), previous_package: Some(previous), ..plugin.desired };
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
    let failure = Some(Failure::new(Stage::Exit, "exit status 9"));
    plugin.reported = Reported { restarts: 3, failure: failure.map(Box::new), ..plugin.reported };
    let world = World::booted(Behaviour::Connects, plugin);
    let active = world.until(State::Active).await;
    assert_eq!((active.reported.restarts, active.reported.message()), (0, ""));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_committed_and_not_acted_on_is_taken_back_when_it_fails() {
    let world = World::booted(Behaviour::CannotSpawn, mk_updated());
    let mut records = world.handle.slot(world.id).unwrap().subscribe();
    let is_back = |plugin: &Option<Arc<Plugin>>| plugin.as_ref().is_some_and(|p| p.desired.package == Some(OLD));
    let found = tokio::time::timeout(Duration::from_secs(600), records.wait_for(is_back)).await;
    assert!(found.expect("it did not go back").unwrap().as_ref().unwrap().desired.is_restored);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_committed_and_not_acted_on_is_not_taken_back_when_it_fails() {
    let plugin = mk_updated();
    let previous = PreviousPackage { digest: NEW, manifest: plugin.desired.manifest.clone() };
    let desired = Desired { is_restored: true, package: Some(OLD), previous_package: Some(previous), ..plugin.desired };
    let reported = Reported { proven_package: None, ..plugin.reported };
    let world = World::booted(Behaviour::CannotSpawn, Plugin { desired, reported, ..plugin });
    world.until(State::Error).await;
    world.set_active(ActiveState::Active).await.unwrap_err();
    world.handle.caught_up().await;
    assert_eq!(world.handle.get(world.id).unwrap().desired.package, Some(OLD));
    world.shut_down().await;
}

/// plugd died twice while it was being started.
fn mk_suspect(number: u8) -> Plugin {
    let plugin = new_plugin(mk_manifest(), Mode::Supervised);
    let desired = Desired { package: Some(OLD), active: ActiveState::Active, ..plugin.desired };
    let reported = Reported { state: State::Starting, deaths_at_start: 1, ..plugin.reported };
    Plugin { id: PluginId::from_bytes([number; 12]), installed: number.into(), desired, reported, ..plugin }
}

/// So that one of them is found by the third death.
#[tokio::test(start_paused = true)]
async fn plugins_in_whose_start_plugd_died_twice_are_tried_one_after_the_other() {
    let world = World::over(Behaviour::Hangs, vec![mk_suspect(1), mk_suspect(2)]);
    let starts = || world.runtime.starts.load(Ordering::SeqCst);
    eventually(|| starts() == 1).await;
    let [first, second] = [1, 2].map(|number| world.handle.get(PluginId::from_bytes([number; 12])).unwrap());
    assert_eq!([first.reported.deaths_at_start, second.reported.deaths_at_start], [2, 1]);
    let began = tokio::time::Instant::now();
    eventually(|| starts() == 2).await;
    assert!(
        began.elapsed() >= Supervision::default().connect - Duration::from_secs(1),
        "the first could still connect"
    );
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_for_does_not_await_its_turn() {
    let mut world = World::over(Behaviour::Hangs, vec![mk_suspect(1), mk_suspect(2)]);
    eventually(|| world.runtime.starts.load(Ordering::SeqCst) == 1).await;
    world.id = PluginId::from_bytes([2; 12]);
    let stopped = world.set_active(ActiveState::Inactive).await.unwrap();
    assert_eq!((stopped.reported.state, stopped.reported.deaths_at_start), (State::Inactive, 0));
    world.shut_down().await;
}
