//! Starts and stops that come close upon each other.

use std::time::Duration;

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Connecting, Inactive, Restarting, Starting, Stopping},
};
use tokio::join;

use super::{lone::Lone, repeat, rounds};
use crate::harness::{Plugd, states, within};

#[tokio::test]
async fn a_stop_in_the_same_millisecond_as_the_start() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let plugin = Lone::install(&plugd, "tame").await;
    let mut watch = api.live().await;
    repeat("stop in the same millisecond as the start", rounds(15, 200), async |round| {
        let begun = match round % 3 {
            0 => join!(api.desire(&plugin.id, ActiveState::Active), api.desire(&plugin.id, ActiveState::Inactive)).0,
            1 => api.desire(&plugin.id, ActiveState::Active).await,
            _ => {
                let begun = api.desire(&plugin.id, ActiveState::Active).await;
                watch.until_state(&plugin.id, Starting).await;
                begun
            }
        };
        plugin.stop(&api).await;
        let begun = begun.unwrap().generation;
        let events = watch.until(|event| event.plugin.as_ref().unwrap().generation >= begun).await;
        plugin.assert_one_at_a_time(&events);
    })
    .await;
    api.activate(&plugin.id).await.unwrap();
    plugin.stop(&api).await;
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_long_backoff() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "60s"), ("PLUGD_MAX_BACKOFF", "60s")]).await;
    let api = plugd.api();
    let plugin = Lone::install(&plugd, "exit 1").await;
    let mut watch = api.live().await;
    repeat("stop 200 ms into a backoff of 60 s", rounds(2, 50), async |_| {
        api.begin(&plugin.id).await;
        watch.until_state(&plugin.id, Restarting).await;
        let into = tokio::time::timeout(Duration::from_millis(200), watch.event()).await;
        assert!(into.is_err(), "it waits: {into:?}");
        let stop = plugin.stop(&api);
        tokio::time::timeout(Duration::from_secs(30), stop).await.expect("it is not waited for the backoff");
        let seen = watch.until_state(&plugin.id, Inactive).await;
        assert_eq!(states(&seen, &plugin.id), [Restarting, Inactive]);
    })
    .await;
}

#[tokio::test]
async fn a_start_while_it_stops() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "20ms"), ("PLUGD_GRACE", "50ms")]).await;
    let api = plugd.api();
    let mut plugins = Vec::new();
    for mode in ["tame", "stubborn", "grandchild", "orphan-setsid"] {
        plugins.push(Lone::install(&plugd, mode).await);
    }
    repeat("start while it stops, of four kinds", rounds(8, 100), async |round| {
        let plugin = &plugins[round % plugins.len()];
        let mut watch = api.live().await;
        api.activate(&plugin.id).await.unwrap();
        api.desire(&plugin.id, ActiveState::Inactive).await.unwrap();
        let mut events = watch.until_state(&plugin.id, Stopping).await;
        api.activate(&plugin.id).await.unwrap();
        events.extend(watch.until_state(&plugin.id, Connecting).await);
        events.extend(watch.until_state(&plugin.id, Active).await);
        plugin.assert_one_at_a_time(&events);
        plugin.assert_alone();
        within("the stop", plugin.stop(&api)).await;
    })
    .await;
}
