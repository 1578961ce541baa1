//! How long it takes from the wish that a plugin runs to its being active, beside what a pod takes of which nobody knows but the
//! cluster.

#![allow(clippy::print_stdout, reason = "the figures are for people")]

use std::{
    env,
    time::{Duration, Instant},
};

use plugd::api::v1::ReportedState::Active;
use serde_json::json;

use crate::{
    cluster::{plugd, run_bare, steady, without_pods},
    harness::{QUICK, packaged, state_of},
};

/// How many rounds there are; a few where it is not set.
const ROUNDS: &str = "PLUGD_SPEED_ROUNDS";
/// How many times what a pod alone takes a plugin may take. A ratio, and not a time: both are as slow as the host of that moment, which
/// runs other tests, too. It is a wide one, so that what fails is a plugin that waits for something, not a host that is busy.
const MOST: u32 = 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_plugin_is_active_soon_after_its_pod_runs() {
    let _steady = steady().await;
    let plugd = plugd(QUICK).await;
    let api = plugd.api();
    let manifest = json!({
        "id": "greeter", "author": "plugd", "name": "Greeter", "description": "", "version": "1.0.0", "command": "greeter",
    });
    let id = api.upload(packaged(&manifest)).await.unwrap().id;
    let (mut bare, mut active) = (Vec::new(), Vec::new());
    let rounds: usize = env::var(ROUNDS).map_or(3, |rounds| rounds.parse().expect(ROUNDS));
    for _ in 0..rounds {
        bare.push(run_bare().await);
        let began = Instant::now();
        assert_eq!(state_of(&api.activate(&id).await.unwrap()), Active);
        active.push(began.elapsed());
        api.deactivate(&id).await.unwrap();
        without_pods(&id).await;
    }
    let (bare, active) = (median(bare), median(active));
    println!("a pod alone runs after {bare:.0?}, a plugin is active after {active:.0?}: medians of {rounds}");
    assert!(active <= bare * MOST, "{active:?}, where a pod alone takes {bare:?}");
}
