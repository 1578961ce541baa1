//! Plugins in pods: they start, print, crash, stop, and say why they can't.

use plugd::api::v1::{
    ReportedState::{Active, Error, Inactive, Restarting},
    StreamLogsRequest,
};
use serde_json::json;

use crate::{
    cluster::{plugd, pods_of, steady, without_pods},
    harness::{QUICK, Run, cli, failure_of, message_of, packaged, repository, state_of, status_of, zipped},
};

/// A package of nothing but a manifest with this command.
fn mk_package(command: &str, args: &[&str]) -> Vec<u8> {
    packaged(&json!({
        "id": "pod", "author": "plugd", "name": "Pod", "description": "", "version": "1.0.0", "command": command, "args": args,
    }))
}

#[tokio::test]
async fn a_plugin_in_python_gets_its_package_prints_and_stops() {
    let _steady = steady().await;
    let plugd = plugd(QUICK).await;
    let api = plugd.api();
    let read = |name: &str| std::fs::read(repository("examples/python-echo").join(name)).unwrap();
    let (manifest, main, protocol) = (read("manifest.json"), read("main.py"), read("protocol.py"));
    let files = [("manifest.json", manifest), ("main.py", main), ("protocol.py", protocol)];
    let entries: Vec<_> = files.iter().map(|(name, contents)| (*name, contents.as_slice(), 0o644)).collect();
    let id = api.upload(zipped(&entries)).await.unwrap().id;

    let plugin = api.activate(&id).await.unwrap();

    assert_eq!((state_of(&plugin), message_of(&plugin)), (Active, ""));
    let pods = pods_of(&id).await;
    let name = format!("plugd-{id}-{}", status_of(&plugin).run_id.as_ref().unwrap());
    assert_eq!(
        pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect::<Vec<_>>(),
        std::slice::from_ref(&name)
    );
    let placement = status_of(&plugin).placement.clone().unwrap();
    assert_eq!((placement.provider.as_str(), placement.host), ("kubernetes", pods[0].spec.clone().unwrap().node_name));
    assert_eq!(placement.name, format!("{}/{name}", pods[0].metadata.namespace.as_ref().unwrap()));
    api.logs(&id).await.until("config ").await;

    let stopped = api.deactivate(&id).await.unwrap();

    assert_eq!((state_of(&stopped), message_of(&stopped)), (Inactive, ""));
    api.logs(&id).await.until("disconnected").await;
    without_pods(&id).await;
}

#[tokio::test]
async fn a_plugin_that_is_restarted_or_deleted_leaves_no_pod() {
    let _steady = steady().await;
    let plugd = plugd(QUICK).await;
    let api = plugd.api();
    let id = api.upload(mk_package("greeter", &[])).await.unwrap().id;
    let first = api.activate(&id).await.unwrap();

    let second = api.restart(&id).await.unwrap();

    assert_eq!(state_of(&second), Active);
    assert_ne!(status_of(&first).run_id, status_of(&second).run_id);
    api.delete(&id).await.unwrap();
    without_pods(&id).await;
}

#[tokio::test]
async fn a_plugin_that_crashes_is_started_again_and_is_then_in_error_with_its_code_and_its_log() {
    let _steady = steady().await;
    let plugd = plugd(&[QUICK, &[("PLUGD_LOG_KEEP", "4")]].concat()).await;
    let api = plugd.api();
    let id = api.upload(mk_package("python3", &["-c", "print('about to fail'); exit(3)"])).await.unwrap().id;

    api.activate(&id).await.unwrap_err();

    let plugin = api.get(&id).await.unwrap();
    assert_eq!((state_of(&plugin), message_of(&plugin)), (Error, "exit status 3"));
    assert_eq!((failure_of(&plugin).exit_code, status_of(&plugin).restart_count), (Some(3), 3));
    assert!(failure_of(&plugin).placement.as_ref().unwrap().name.contains(&id), "{plugin:?}");
    assert_eq!(status_of(&plugin).placement, None);
    let history = StreamLogsRequest { plugin_ids: vec![id.clone()], ..Default::default() };
    let lines = api.logs_as(history).await.unwrap().rest().await;
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["about to fail"; 4]);
    without_pods(&id).await;
}

#[tokio::test]
async fn what_a_plugin_prints_as_it_ends_is_in_its_log_when_its_end_is_told() {
    let _steady = steady().await;
    let plugd = plugd(&[("PLUGD_MAX_RESTART_ATTEMPTS", "0")]).await;
    let api = plugd.api();
    let script = "print(*range(5000), sep='\\n'); exit(3)";
    let id = api.upload(mk_package("python3", &["-c", script])).await.unwrap().id;

    api.activate(&id).await.unwrap_err();

    let last = StreamLogsRequest { plugin_ids: vec![id.clone()], tail_lines: Some(1), ..Default::default() };
    let lines = api.logs_as(last).await.unwrap().rest().await;
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["4999"]);
    without_pods(&id).await;
}

#[tokio::test]
async fn a_signal_is_told_from_a_code() {
    let _steady = steady().await;
    let plugd = plugd(&[("PLUGD_MAX_RESTART_ATTEMPTS", "0")]).await;
    let api = plugd.api();
    let id = api.upload(mk_package("python3", &["-c", "import os; os.kill(os.getpid(), 11)"])).await.unwrap().id;

    api.activate(&id).await.unwrap_err();

    let plugin = api.get(&id).await.unwrap();
    assert_eq!((message_of(&plugin), failure_of(&plugin).signal), ("signal: segmentation fault", Some(11)));
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_in_the_clusters_words_and_counts_as_no_restart() {
    let _steady = steady().await;
    let plugd = plugd(&[("PLUGD_PREPARE_TIMEOUT", "5s"), ("PLUGD_STABLE_CRASH_BACKOFF", "1h")]).await;
    let api = plugd.api();
    let id = api.upload(mk_package("sleep", &["1000"])).await.unwrap().id;
    let mut watch = api.live().await;
    api.begin(&id).await;

    let plugin = watch.plugin_in(&id, Restarting).await;

    let words = "its pod does not run within 5 s: its image can't be pulled: ImagePullBackOff: Back-off pulling image";
    assert!(message_of(&plugin).starts_with(words), "{}", message_of(&plugin));
    assert_eq!(status_of(&plugin).restart_count, 0);
    without_pods(&id).await;
}

#[tokio::test]
async fn a_command_without_an_image_is_refused_with_the_option_that_gives_it_one() {
    let _steady = steady().await;
    let plugd = plugd(QUICK).await;
    let api = plugd.api();
    let id = api.upload(mk_package("ruby", &[])).await.unwrap().id;

    let refused = api.activate(&id).await.unwrap_err();

    assert!(refused.message().contains("start plugd with --kube-image ruby=IMAGE"), "{}", refused.message());
    assert_eq!(pods_of(&id).await.len(), 0);
}

#[tokio::test]
async fn the_image_of_a_policy_goes_before_that_of_the_command() {
    let _steady = steady().await;
    let plugd = plugd(QUICK).await;
    let api = plugd.api();
    let id = api.upload(mk_package("greeter", &[])).await.unwrap().id;
    cli(&plugd, &["policy", "set", &id, "image=python:test"]).run().await.text();

    let plugin = api.activate(&id).await.unwrap();

    assert_eq!(state_of(&plugin), Active);
    let image = async || {
        let run = status_of(&api.get(&id).await.unwrap()).run_id.clone().unwrap();
        let mut pods = pods_of(&id).await;
        // That of the run before may not be gone yet.
        pods.retain(|pod| pod.metadata.labels.as_ref().is_some_and(|labels| labels["plugd/run"] == run));
        pods.remove(0).spec.unwrap().containers[0].image.clone().unwrap()
    };
    assert_eq!(image().await, "python:test");
    // It has it from its start, and so another run without it.
    cli(&plugd, &["policy", "unset", &id, "image"]).run().await.text();
    assert_eq!(image().await, "programs:test");
    api.deactivate(&id).await.unwrap();
    without_pods(&id).await;
}
