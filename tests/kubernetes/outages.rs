//! What is done to the cluster while plugins run: to pods, to the API server and what it remembers, to the node.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use plugd::api::v1::{
    Plugin,
    ReportedState::{Active, Error},
};
use tokio::time::sleep;

use crate::{
    cluster::{Alone, LOOK, alone, delete, disturbed, force_off, plugd, pods_of, steady, testbed, without_pods},
    gate::Gate,
    harness::{Plugd, Watch, eventually_async, message_of, repeat, rounds, state_of, status_of},
    kills::KNOBS,
    lone::Lone,
};

/// Waits until a watch says that the plugin is active again, in another run, and that nothing of that counts against it.
async fn replaced(watch: &mut Watch, plugin: &Lone, run: &str) -> Plugin {
    let is_other = |plugin: &Plugin| {
        let status = status_of(plugin);
        status.state() == Active && status.run_id.as_deref() != Some(run)
    };
    let id = &plugin.id;
    let events = watch.until(|event| event.plugin.as_ref().is_some_and(|it| it.id == *id && is_other(it))).await;
    let replaced = events.last().unwrap().plugin.clone().unwrap();
    assert_eq!((message_of(&replaced), status_of(&replaced).restart_count), ("", 0));
    plugin.assert_alone();
    replaced
}

#[tokio::test]
async fn a_pod_that_is_deleted_at_any_moment_is_replaced_once_it_has_ended() {
    let _steady = steady().await;
    let plugd = plugd(KNOBS).await;
    let plugin = Lone::install(&plugd).await;
    repeat("a pod deleted from outside", rounds(2, 40), async |round| {
        plugd.api().begin(&plugin.id).await;
        let made = async || pods_of(&plugin.id).await.pop();
        let pod = eventually_async("its pod", made).await;
        // A moment later in each round: before it runs, while it connects, once it is active.
        sleep(LOOK / 2 * u32::try_from(round).unwrap()).await;
        let mut watch = plugd.api().live().await;
        delete(&pod).await;
        let run = pod.metadata.labels.as_ref().unwrap()["plugd/run"].clone();
        replaced(&mut watch, &plugin, &run).await;
        plugin.start(&plugd).await;
        plugin.stop(&plugd).await;
    })
    .await;
}

/// How the API server goes away, and for how long.
async fn while_the_api_is_away(scenario: &str, away: [&str; 2], length: Duration) {
    let plugd = plugd(KNOBS).await;
    let (running, asked) = (Lone::install(&plugd).await, Lone::install(&plugd).await);
    repeat(scenario, rounds(1, 4), async |_| {
        let (alone, api) = (alone().await, plugd.api());
        let run = running.start(&plugd).await;
        let during = async || {
            api.begin(&asked.id).await;
            sleep(length).await;
            assert_eq!(state_of(&api.get(&running.id).await.unwrap()), Active);
        };
        disturbed(&alone, &away, during, &["start", "api"]).await;
        asked.start(&plugd).await;
        assert_eq!(running.start(&plugd).await, run);
        asked.stop(&plugd).await;
        running.stop(&plugd).await;
    })
    .await;
}

#[tokio::test]
async fn plugins_go_on_while_the_api_server_is_stopped() {
    let length = Duration::from_secs(rounds(1, 30).try_into().unwrap());
    while_the_api_is_away("the API server stopped for 30 s", ["stop", "api"], length).await;
}

#[tokio::test]
async fn plugins_go_on_while_the_api_server_is_killed_and_started_again() {
    while_the_api_is_away("kill -9 of the API server, and its start", ["kill", "api"], Duration::ZERO).await;
}

/// Deletes the pod of a plugin while plugd can't see it, and has the API server forget that. Whether plugd has asked for what was
/// forgotten: where that takes a minute it begins anew by itself.
async fn forget(alone: &Alone, gate: &Gate, plugd: &mut Plugd, plugin: &Lone) -> bool {
    // It has listed all pods just now.
    plugd.kill_9().await;
    plugd.restart_on_the_same_address().await;
    let run = plugin.start(plugd).await;
    let (mut watch, forgotten) = (plugd.api().live().await, gate.forgotten());
    let closed = gate.close();
    delete(&pods_of(&plugin.id).await[0]).await;
    without_pods(&plugin.id).await;
    testbed(&["compact"]).await;
    // What it remembers itself is gone, too.
    disturbed(alone, &["kill", "api"], async || (), &["start", "api"]).await;
    drop(closed);
    replaced(&mut watch, plugin, &run).await;
    gate.forgotten() > forgotten
}

#[tokio::test]
async fn what_happened_in_a_history_that_is_compacted_is_found_out() {
    let gate = Gate::open().await;
    // Until then a connection that is lost is no failure, and the API server may take its time to start.
    let away = [("KUBECONFIG", &*gate.kubeconfig()), ("PLUGD_RECONNECT_TIMEOUT", "2m")];
    let mut plugd = plugd(&[KNOBS, &away].concat()).await;
    let plugin = Lone::install(&plugd).await;
    repeat("the API server's history compacted while plugd was away from its watch", rounds(1, 5), async |_| {
        let alone = alone().await;
        let forget = async || forget(&alone, &gate, &mut plugd, &plugin).await.then_some(());
        eventually_async("that plugd asks for what was forgotten", forget).await;
        plugin.stop(&plugd).await;
    })
    .await;
}

/// Does something while the cluster notices what becomes of its node. No other test expects that it does.
async fn noticed<T>(alone: &Alone, during: impl AsyncFnOnce() -> T) -> T {
    disturbed(alone, &["start", "controllers"], during, &["stop", "controllers"]).await
}

/// What the cluster says of a pod on a node that it does not hear from.
fn is_cut_off(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
}

async fn cut_off(plugin: &Lone) -> Pod {
    let look = async || pods_of(&plugin.id).await.into_iter().find(is_cut_off);
    eventually_async("that the cluster has lost the node", look).await
}

/// A plugd that gives a run little time to end, so that it has given up before the node is back: less than the cluster takes to
/// notice that the node is gone, and as much as a busy host needs to end a pod.
async fn mk_impatient() -> (Plugd, Lone) {
    let impatient = [("PLUGD_RECONNECT_TIMEOUT", "1s"), ("PLUGD_GRACE", "1s"), ("PLUGD_KILL_TIMEOUT", "10s")];
    let plugd = plugd(&[KNOBS, &impatient].concat()).await;
    let plugin = Lone::install(&plugd).await;
    (plugd, plugin)
}

#[tokio::test]
async fn a_run_on_a_node_that_is_silent_is_replaced_once_the_node_has_ended_it() {
    let (plugd, plugin) = mk_impatient().await;
    repeat("a node silent until its pods are deleted, and back", rounds(1, 4), async |_| {
        let alone = alone().await;
        let run = plugin.start(&plugd).await;
        let mut watch = plugd.api().live().await;
        let silent = async || {
            cut_off(&plugin).await;
            let told = watch.plugin_in(&plugin.id, Error).await;
            assert!(message_of(&told).contains("the node vk1 is lost"), "{}", message_of(&told));
            assert!(pods_of(&plugin.id).await.iter().all(is_cut_off), "another pod is made");
        };
        let silent = async || noticed(&alone, silent).await;
        disturbed(&alone, &["freeze", "node"], silent, &["thaw", "node"]).await;
        replaced(&mut watch, &plugin, &run).await;
        plugin.stop(&plugd).await;
    })
    .await;
}

#[tokio::test]
async fn a_run_on_a_node_without_power_is_replaced_once_an_operator_says_that_it_is_gone() {
    let (plugd, plugin) = mk_impatient().await;
    repeat("a node without power, its pods forced off, and back", rounds(1, 4), async |_| {
        let alone = alone().await;
        let run = plugin.start(&plugd).await;
        let mut watch = plugd.api().live().await;
        let dark = async || {
            let pod = cut_off(&plugin).await;
            let told = async || {
                let plugin = plugd.api().get(&plugin.id).await.unwrap();
                (state_of(&plugin) == Error && message_of(&plugin).contains("the node vk1 is lost")).then_some(())
            };
            eventually_async("that it is told of", told).await;
            assert!(pods_of(&plugin.id).await.iter().all(is_cut_off), "another pod is made");
            force_off(&pod).await;
        };
        let dark = async || noticed(&alone, dark).await;
        disturbed(&alone, &["blackout"], dark, &["start", "node"]).await;
        replaced(&mut watch, &plugin, &run).await;
        plugin.stop(&plugd).await;
    })
    .await;
}
