//! Those that stop without ending: a plugin, plugd itself, a connection that carries nothing any more.

use std::{future::pending, time::Duration};

use plugd::api::v1::ReportedState::{Active, Connecting};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::{lone::Lone, repeat, rounds};
use crate::{
    contract::support::{Wire, external, settle},
    harness::{Plugd, state_of, status_of},
};

/// A plugin that is silent is given up after half a second.
const SHORT: crate::harness::Knobs = &[
    ("PLUGD_BACKOFF", "10ms"),
    ("PLUGD_MAX_BACKOFF", "20ms"),
    ("PLUGD_PING_INTERVAL", "100ms"),
    ("PLUGD_PING_TIMEOUT", "200ms"),
    ("PLUGD_RECONNECT_TIMEOUT", "200ms"),
    ("PLUGD_GRACE", "100ms"),
    ("PLUGD_MAX_RESTART_ATTEMPTS", "1000000"),
];

/// Suspends a process, if it is there.
fn suspend(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::STOP);
}

#[tokio::test]
async fn a_plugin_that_is_suspended() {
    let plugd = Plugd::with(SHORT).await;
    let api = plugd.api();
    let plugin = Lone::install(&plugd, "grandchild").await;
    repeat("SIGSTOP of a plugin: it is given up, and can be stopped", rounds(2, 50), async |_| {
        let mut watch = api.live().await;
        let first = api.activate(&plugin.id).await.unwrap();
        suspend(status_of(&first).pid());
        let events = watch
            .until(|event| {
                let status = status_of(event.plugin.as_ref().unwrap());
                status.state() == Active && status.run_id() > status_of(&first).run_id()
            })
            .await;
        assert!(events.iter().any(|event| status_of(event.plugin.as_ref().unwrap()).degraded), "it is said");
        plugin.assert_one_at_a_time(&events);
        suspend(status_of(events.last().unwrap().plugin.as_ref().unwrap()).pid());
        plugin.stop(&api).await;
    })
    .await;
}

/// What did not pass for plugd did not pass for its plugins.
#[tokio::test]
async fn plugd_is_suspended() {
    let asleep = Duration::from_secs(rounds(3, 30).try_into().unwrap());
    let plugd = Plugd::with(&[("PLUGD_PING_INTERVAL", "500ms"), ("PLUGD_PING_TIMEOUT", "1s")]).await;
    let api = plugd.api();
    let plugin = Lone::install(&plugd, "tame").await;
    let first = api.activate(&plugin.id).await.unwrap();
    let mut log = api.logs(&plugin.id).await;
    repeat(&format!("SIGSTOP of plugd for {asleep:?}"), rounds(1, 5), async |_| {
        log.until("request ping").await;
        plugd.suspend();
        let _ = timeout(asleep, pending::<()>()).await;
        plugd.resume();
        for _ in 0..3 {
            log.until("request ping").await;
        }
        let now = api.get(&plugin.id).await.unwrap();
        assert_eq!(status_of(&now).run_id(), status_of(&first).run_id(), "nobody is blamed: {now:?}");
        assert_eq!(state_of(&now), Active);
    })
    .await;
    plugin.stop(&api).await;
}

/// No end of it is ever seen: nothing is read, nothing answered, nothing closed.
#[tokio::test]
async fn a_connection_that_carries_nothing_any_more() {
    let plugd = Plugd::with(SHORT).await;
    let plugin = plugd.api().register(&external("outside", &serde_json::json!({}))).await.unwrap();
    let mut holes = Vec::new();
    repeat("black-holed external connection", rounds(3, 50), async |_| {
        holes.push(Wire::dial(&plugd, plugin.token()).await.unwrap());
        let mut watch = plugd.api().live().await;
        settle(&plugd, &plugin.id, Active).await;
        let events = watch.until_state(&plugin.id, Connecting).await;
        assert!(
            events.iter().any(|event| status_of(event.plugin.as_ref().unwrap()).degraded),
            "it is said: {events:?}"
        );
        let wire = Wire::dial(&plugd, plugin.token()).await.unwrap();
        settle(&plugd, &plugin.id, Active).await;
        wire.hang_up(Some(1000)).await;
        settle(&plugd, &plugin.id, Connecting).await;
    })
    .await;
}
