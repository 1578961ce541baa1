//! Runs that go on without plugd, and the next plugd that goes on with them.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::timeout;

use super::world::*;
use crate::{
    domain::{Desired, Digest, Exit, Mode, Plugin, RunId, State},
    supervisor::handle::new_plugin,
};

const EARLIER: RunId = RunId::from_bytes([5; 12]);

/// It ran when plugd was last here, and what is desired has been acted on.
fn mk_running(active: ActiveState) -> Plugin {
    let plugin = new_plugin(mk_manifest(), Mode::Supervised);
    let desired = Desired { package: Some(Digest([1; 32])), active, ..plugin.desired };
    let mut reported = plugin.reported;
    (reported.state, reported.run) = (State::Active, Some(EARLIER));
    reported.observed_generation = desired.generation;
    Plugin { desired, reported, ..plugin }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_is_gone_on_with_and_its_plugin_comes_back_with_its_token() {
    let world = World::with_earlier(EARLIER, mk_running(ActiveState::Active), false);
    let starting = world.until(State::Connecting).await;
    assert_eq!(starting.reported.run, Some(EARLIER));
    let url = format!("ws://h/rpc?plugin_id={}&token={EARLIER_TOKEN}", world.id);
    for _ in 0..2 {
        assert!(connect(world.handle.clone(), url.clone()).await, "its token is good for more than one connection");
        world.until(State::Active).await;
        world.handle.slot(world.id).unwrap().session().unwrap().close(crate::link::CloseReason::Closed);
    }
    assert_eq!(world.runtime.starts.load(Ordering::SeqCst), 0);
    world.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_plugin_that_is_to_be_inactive_is_stopped() {
    let world = World::with_earlier(EARLIER, mk_running(ActiveState::Inactive), false);
    world.until(State::Inactive).await;
    assert_eq!(world.live(), 0);
    world.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_run_has_not_seen_makes_way_for_another() {
    let plugin = mk_running(ActiveState::Active);
    let desired = Desired { generation: plugin.desired.generation + 1, ..plugin.desired };
    let world = World::with_earlier(EARLIER, Plugin { desired, ..plugin }, false);
    let active = world.set_active(ActiveState::Active).await.unwrap();
    assert_ne!(active.reported.run, Some(EARLIER));
    assert_eq!((world.runtime.starts.load(Ordering::SeqCst), active.reported.restarts), (1, 0));
    world.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_meanwhile_is_told_of_once() {
    let world = World::with_earlier(EARLIER, mk_running(ActiveState::Active), false);
    world.until(State::Connecting).await;
    world.group().end(Exit { code: Some(3), signal: None, out_of_memory: false });
    let crashed = world.until(State::Restarting).await;
    assert_eq!((crashed.reported.message(), crashed.reported.restarts), ("exit status 3", 1));
    world.leave().await;

    let plugin = mk_running(ActiveState::Active);
    let reported = crate::domain::Reported { run: None, state: State::Restarting, ..plugin.reported };
    let world = World::with_earlier(EARLIER, Plugin { reported, ..plugin }, true);
    let active = world.until(State::Active).await;
    assert_ne!(active.reported.run, Some(EARLIER), "its end has been dealt with");
    world.leave().await;
}

#[tokio::test(start_paused = true)]
async fn what_outlives_plugd_is_left_alone_when_it_stops() {
    let world = World::with_earlier(EARLIER, mk_running(ActiveState::Active), false);
    world.until(State::Connecting).await;
    let runtime = world.runtime.clone();
    world.leave().await;
    assert_eq!(runtime.live.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn while_it_is_not_known_what_runs_others_connect_and_nothing_is_started() {
    let world = World::with_earlier(EARLIER, mk_running(ActiveState::Active), false);
    world.runtime.known.send_replace(false);
    let external = world.handle.register_external(mk_manifest(), None).await.unwrap();
    let token = external.desired.token.as_ref().unwrap().expose().to_owned();
    let connected =
        timeout(Duration::from_secs(60), connect(world.handle.clone(), format!("ws://h/rpc?token={token}"))).await;
    assert_eq!(connected, Ok(true));
    assert_eq!(world.live(), 0);
    world.runtime.known.send_replace(true);
    assert_eq!(world.until(State::Connecting).await.reported.run, Some(EARLIER));
    world.leave().await;
}
