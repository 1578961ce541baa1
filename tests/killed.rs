//! `kill -9` of plugd: nothing of any plugin survives it, and the next start finds everything as it should be.

use plugd::api::v1::{
    ActiveState, Cursor,
    ReportedState::{Active, Inactive, Starting},
    WatchStateRequest,
    watch_state_request::Start,
};

use crate::harness::{Plugd, gone, is_alive, state_of, status_of};

/// Deadlines that a test which kills plugd must not depend on.
const PATIENT: crate::harness::Knobs = &[("PLUGD_GRACE", "1h"), ("PLUGD_KILL_TIMEOUT", "1h")];

#[tokio::test]
async fn no_process_of_any_plugin_survives_a_killed_plugd() {
    let mut plugd = Plugd::with(PATIENT).await;
    let api = plugd.api();
    let mut pids = Vec::new();
    for mode in ["tame", "stubborn", "grandchild", "orphan-setsid"] {
        let id = api.run(&[mode]).await;
        let mut log = api.logs(&id).await;
        pids.push(log.find("pid ").await.parse::<u32>().unwrap());
        if ["grandchild", "orphan-setsid"].contains(&mode) {
            pids.push(log.find("grandchild ").await.parse().unwrap());
            api.logs(&id).await.until("lingering").await;
        }
    }
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");

    // Waits until nothing with this plugd's mark in its environment is left.
    plugd.kill_9().await;

    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn the_next_start_brings_desired_plugins_up_exactly_once() {
    let mut plugd = Plugd::with(PATIENT).await;
    let api = plugd.api();
    let wanted = [api.run(&["tame"]).await, api.run(&["grandchild"]).await];
    let unwanted = api.install(&["tame"]).await;
    let cursor = cursor(&plugd).await;

    plugd.kill_9().await;
    plugd.restart().await;

    let api = plugd.api();
    let request = WatchStateRequest { start: Some(Start::After(cursor)), ..Default::default() };
    for id in &wanted {
        let mut watch = api.watch(request.clone()).await.unwrap();
        let first = watch.plugin_in(id, Starting).await;
        let events = watch.until_state(id, Active).await;
        let of_it = events.iter().filter(|event| event.plugin_id == *id).filter_map(|event| event.plugin.as_ref());
        assert!(of_it.map(|plugin| &status_of(plugin).run_id).all(|run| *run == status_of(&first).run_id), "one run");
        let plugin = api.get(id).await.unwrap();
        assert_eq!((state_of(&plugin), status_of(&plugin).restart_count), (Active, 0));
    }
    assert_eq!(Plugd::processes_of(&wanted[0]).len(), 1);
    assert!((1..=2).contains(&Plugd::processes_of(&wanted[1]).len()), "it and its child");
    let plugin = api.get(&unwanted).await.unwrap();
    assert_eq!((plugin.desired_state(), state_of(&plugin)), (ActiveState::Inactive, Inactive));
}

#[tokio::test]
async fn a_watch_resumes_with_no_gap_where_a_killed_plugd_left_it() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let cursor = cursor(&plugd).await;
    api.activate(&id).await.unwrap();

    plugd.kill_9().await;
    plugd.restart().await;

    // The watch itself fails on a gap.
    let request = WatchStateRequest { start: Some(Start::After(cursor.clone())), ..Default::default() };
    let mut watch = plugd.api().watch(request).await.unwrap();
    assert_eq!(watch.cursor.epoch, cursor.epoch);
    let seen = watch.until_state(&id, Active).await;
    assert_eq!(seen.first().unwrap().revision, cursor.revision + 1);
    watch.until_state(&id, Starting).await;
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn tokens_and_configurations_survive_a_killed_plugd() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let (_, secret) = api.create_token("reader", plugd::api::v1::Role::Viewer).await;
    let id = api.run(&["tame"]).await;
    let path = format!("/api/plugins/{id}/configuration");
    let configuration = serde_json::json!({"greeting": "hello", "more": [1, 2.5, null]});
    let body = crate::harness::Body::Json(configuration.clone());
    assert_eq!(plugd.rest().patch(&path, body).await.expect(200), configuration);

    plugd.kill_9().await;
    plugd.restart().await;

    let reader = plugd.rest_as(Some(&secret));
    assert_eq!(reader.get(&path).await.expect(200), configuration);
    let mut log = plugd.api().logs(&id).await;
    let pushed = log.until(r#"request configure {"greeting":"hello""#).await;
    assert!(!pushed.is_empty());
}

async fn cursor(plugd: &Plugd) -> Cursor {
    plugd.api().live().await.cursor
}
