//! Updates that a kill of plugd interrupts, at moments that a seed draws: `POWER_CUTS_SEED` repeats those of a failure.

#![allow(clippy::print_stdout, reason = "how many were in time is reported")]

use std::{env, time::Duration};

use plugd::api::v1::ReportedState::Active;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::timeout;

use crate::contract::support::{replace, settle, version_of, versioned};
use crate::harness::{Api, Plugd};

const KILLS: u32 = 20;
/// A kill comes within this time after an update began, most of them early in it: there most is done.
const LONGEST: Duration = Duration::from_millis(300);

/// The lines in which the program says what it found.
async fn findings(api: &Api, id: &str) -> Vec<String> {
    let request = plugd::api::v1::StreamLogsRequest { plugin_ids: vec![id.to_owned()], ..Default::default() };
    let lines = api.logs_as(request).await.unwrap().rest().await;
    let texts = lines.into_iter().map(|line| line.text);
    texts.filter(|text| text.starts_with("whole") || text.starts_with("mixture")).collect()
}

/// Moments to kill at. The seed is printed, which shows where the test fails.
fn moments() -> impl FnMut() -> Duration {
    let seed = env::var("POWER_CUTS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("POWER_CUTS_SEED={seed}");
    let mut source = StdRng::seed_from_u64(seed);
    move || LONGEST.mul_f64(source.random::<f64>().powi(4))
}

/// plugd's own decision on updates: whatever the moment, either all of the old package runs next, or all of the new one.
#[tokio::test]
async fn a_kill_at_any_moment_of_an_update_leaves_the_old_package_or_the_new_one_and_no_mixture_6() {
    let mut moment_of = moments();
    let mut plugd = Plugd::start().await;
    let id = plugd.api().upload(versioned(0, "tame")).await.unwrap().id;
    plugd.api().activate(&id).await.unwrap();
    let (mut version, mut taken) = (0, 0);
    for next in 1..=KILLS {
        let moment = moment_of();
        let api = plugd.api();
        let _ = timeout(moment, replace(&api, &id, versioned(next, "tame"))).await;
        plugd.kill_9().await;
        plugd.restart().await;

        settle(&plugd, &id, Active).await;
        let api = plugd.api();
        let plugin = api.get(&id).await.unwrap();
        let found = version_of(&plugin);
        assert!(found == version || found == next, "{found} after a kill {moment:?} into {version} -> {next}");
        let findings = findings(&api, &id).await;
        assert_eq!(findings.last(), Some(&format!("whole {found}")), "killed after {moment:?}: {findings:?}");
        assert!(findings.iter().all(|line| line.starts_with("whole")), "killed after {moment:?}: {findings:?}");
        taken += u32::from(found == next);
        version = found;
    }
    println!("{taken} of {KILLS} updates were in time");
    let api = plugd.api();
    assert_eq!(version_of(&replace(&api, &id, versioned(1000, "tame")).await.unwrap()), 1000);
}
