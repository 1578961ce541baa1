//! Plugins that crash, beyond what the contract says of them.

use plugd::api::v1::ReportedState::{Active, Connecting, Error, Restarting, Starting};

use crate::harness::{Plugd, Watch, message_of, state_of, status_of};

#[tokio::test]
async fn a_plugin_that_crashes_once_comes_back_by_itself() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["crash-once", "marker"]).await;
    let mut watch = api.live().await;

    let plugin = api.activate(&id).await.unwrap();

    assert_eq!((state_of(&plugin), message_of(&plugin)), (Active, ""));
    assert_eq!(status_of(&plugin).restart_count, 1);
    let waiting = watch.plugin_in(&id, Restarting).await;
    assert_eq!(message_of(&waiting), "exit status 1");
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_plugin_in_whose_start_plugd_died_three_times_is_not_started_again_by_itself() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let (deadly, innocent) = (api.install(&["hang"]).await, api.run(&["tame"]).await);
    let mut watch = api.live().await;
    api.begin(&deadly).await;
    for _ in 0..3 {
        watch.until_state(&deadly, Connecting).await;
        let cursor = watch.cursor.clone();
        plugd.kill_9().await;
        plugd.restart().await;
        watch = resumed(&plugd, cursor).await;
    }

    let given_up = watch.plugin_in(&deadly, Error).await;

    assert!(message_of(&given_up).starts_with("plugd ended 3 times while"), "{given_up:?}");
    assert_eq!(plugd.runs_of(&deadly), []);
    let api = plugd.api();
    api.activate(&innocent).await.unwrap();
    api.begin(&deadly).await;
    watch.until_state(&deadly, Connecting).await;
}

#[tokio::test]
async fn the_count_of_restarts_survives_a_killed_plugd() {
    let mut plugd = Plugd::with(&[("PLUGD_BACKOFF", "24h"), ("PLUGD_MAX_BACKOFF", "24h")]).await;
    let api = plugd.api();
    let id = api.install(&["exit", "3"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    let first = watch.plugin_in(&id, Restarting).await;
    assert_eq!(status_of(&first).restart_count, 1);
    let cursor = watch.cursor.clone();

    plugd.kill_9().await;
    plugd.restart().await;

    let mut watch = resumed(&plugd, cursor).await;
    watch.until_state(&id, Starting).await;
    let second = watch.plugin_in(&id, Restarting).await;
    assert_eq!(status_of(&second).restart_count, 2);
}

async fn resumed(plugd: &Plugd, cursor: crate::harness::Cursor) -> Watch {
    let start = Some(cursor.start());
    let request = plugd::api::v1::WatchStateRequest { start, ..Default::default() };
    plugd.api().watch(request).await.unwrap()
}
