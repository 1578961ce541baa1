//! How long it takes from the wish that a plugin runs to its being active, beside what a pod takes of which nobody knows but the
//! cluster.

#![allow(clippy::print_stdout, reason = "the figures are for people")]

use std::time::{Duration, Instant};

use plugd::api::v1::ReportedState::Active;
use serde_json::json;

use crate::{
    cluster::{plugd, run_bare, steady, without_pods},
    harness::{QUICK, packaged, rounds, state_of},
};

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
    for _ in 0..rounds(2, 50) {
        bare.push(run_bare().await);
        let began = Instant::now();
        assert_eq!(state_of(&api.activate(&id).await.unwrap()), Active);
        active.push(began.elapsed());
        api.deactivate(&id).await.unwrap();
        without_pods(&id).await;
    }
    let (rounds, bare, active) = (bare.len(), median(bare), median(active));
    println!("a pod alone runs after {bare:.0?}, a plugin is active after {active:.0?}: medians of {rounds}");
}
