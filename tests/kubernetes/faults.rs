//! What is done to pods, to plugd and to the API server while plugins run.

use plugd::api::v1::ReportedState::{Active, Restarting};
use serde_json::json;

use crate::{
    cluster::{alone, delete, plugd, pods_of, steady, without_api, without_pods},
    harness::{QUICK, eventually, external_manifest, message_of, packaged, state_of, status_of, zipped},
};

fn greeter() -> Vec<u8> {
    packaged(&json!({
        "id": "greeter", "author": "plugd", "name": "Greeter", "description": "", "version": "1.0.0", "command": "greeter",
    }))
}

#[tokio::test]
async fn a_pod_that_is_deleted_from_outside_is_replaced_and_counts_as_no_restart() {
    let _steady = steady().await;
    let plugd = plugd(&[("PLUGD_STABLE_CRASH_BACKOFF", "20ms")]).await;
    let api = plugd.api();
    let id = api.upload(greeter()).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let mut watch = api.live().await;

    delete(&pods_of(&id).await[0]).await;

    let lost = watch.plugin_in(&id, Restarting).await;
    assert!(message_of(&lost).contains("its pod was deleted from outside"), "{}", message_of(&lost));
    let back = watch.plugin_in(&id, Active).await;
    assert_eq!((message_of(&back), status_of(&back).restart_count), ("", 0));
    api.deactivate(&id).await.unwrap();
    without_pods(&id).await;
}

#[tokio::test]
async fn plugins_go_on_without_plugd_and_the_next_one_goes_on_with_them() {
    let _steady = steady().await;
    let mut plugd = plugd(QUICK).await;
    let api = plugd.api();
    let (kept, stopped) = (api.upload(greeter()).await.unwrap().id, api.install(&["tame"]).await);
    let before = api.activate(&kept).await.unwrap();
    api.activate(&stopped).await.unwrap();
    let pods = pods_of(&kept).await;

    for is_killed in [true, false] {
        if is_killed {
            plugd.kill_9().await
        } else {
            plugd.sigterm().await;
        }
        plugd.restart_on_the_same_address().await;

        let api = plugd.api();
        let after = api.activate(&kept).await.unwrap();
        assert_eq!((state_of(&after), status_of(&after).run_id.clone()), (Active, status_of(&before).run_id.clone()));
        assert_eq!((message_of(&after), status_of(&after).restart_count), ("", 0));
        let now = pods_of(&kept).await;
        assert_eq!(now[0].metadata.uid, pods[0].metadata.uid, "killed: {is_killed}");
    }

    let api = plugd.api();
    for id in [kept, stopped] {
        api.deactivate(&id).await.unwrap();
        without_pods(&id).await;
    }
}

#[tokio::test]
async fn no_line_is_lost_or_comes_twice_over_the_death_of_plugd() {
    let _steady = steady().await;
    let mut plugd = plugd(QUICK).await;
    let main =
        b"import itertools, time\nfor n in itertools.count():\n    print(n, flush=True)\n    time.sleep(0.005)\n";
    let manifest = json!({
        "id": "counter", "author": "plugd", "name": "Counter", "description": "", "version": "1.0.0", "command": "python3",
        "args": ["main.py"],
    });
    let package = zipped(&[("manifest.json", manifest.to_string().as_bytes(), 0o644), ("main.py", main, 0o644)]);
    let id = plugd.api().upload(package).await.unwrap().id;
    plugd.api().begin(&id).await;
    let mut last = "100".to_owned();
    for _ in 0..3 {
        plugd.api().logs(&id).await.until(&last).await;
        plugd.kill_9().await;
        plugd.restart_on_the_same_address().await;
        last = format!("{}", last.parse::<u32>().unwrap() + 300);
    }

    let lines = plugd.api().logs(&id).await.until(&last).await;

    let numbers: Vec<u32> = lines.iter().map(|line| line.text.parse().unwrap()).collect();
    assert_eq!(numbers, (0..=*numbers.last().unwrap()).collect::<Vec<_>>());
    plugd.api().deactivate(&id).await.unwrap();
    without_pods(&id).await;
}

#[tokio::test]
async fn plugins_go_on_while_the_api_server_is_away_and_what_was_asked_meanwhile_is_done_afterwards() {
    let alone = alone().await;
    let plugd = plugd(QUICK).await;
    let api = plugd.api();
    let (running, asked) = (api.upload(greeter()).await.unwrap().id, api.install(&["tame"]).await);
    let mut watch = api.live().await;
    api.activate(&running).await.unwrap();
    watch.until_state(&running, Active).await;

    without_api(&alone, async || {
        api.begin(&asked).await;
        eventually("it is noticed", || plugd.said().contains("the cluster does not answer").then_some(())).await;
        assert_eq!(state_of(&api.get(&running).await.unwrap()), Active);
    })
    .await;

    watch.until_state(&asked, Active).await;
    assert_eq!(status_of(&api.get(&running).await.unwrap()).restart_count, 0);
    for id in [running, asked] {
        api.deactivate(&id).await.unwrap();
        without_pods(&id).await;
    }
}

#[tokio::test]
async fn a_plugd_that_starts_while_the_api_server_is_away_serves_external_plugins_and_then_goes_on_with_its_pods() {
    let alone = alone().await;
    let mut plugd = plugd(QUICK).await;
    let id = plugd.api().upload(greeter()).await.unwrap().id;
    let run = status_of(&plugd.api().activate(&id).await.unwrap()).run_id.clone();

    without_api(&alone, async || {
        plugd.sigterm().await;
        plugd.restart_on_the_same_address().await;
        let api = plugd.api();
        let mut watch = api.live().await;
        let outside = api.register(&external_manifest("outside")).await.unwrap();
        let url = format!("{}/rpc?plugin_id={}&token={}", plugd.url(), outside.id, outside.token());
        let connected = tokio_tungstenite::connect_async(url.replacen("http", "ws", 1)).await;
        watch.until_state(&outside.id, Active).await;
        drop(connected);
    })
    .await;

    let after = plugd.api().activate(&id).await.unwrap();
    assert_eq!((status_of(&after).run_id.clone(), status_of(&after).restart_count), (run, 0));
    plugd.api().deactivate(&id).await.unwrap();
    without_pods(&id).await;
}
