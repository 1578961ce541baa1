//! 8.2: what a start is, and when it is done.

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Connecting, Error, Inactive, Starting, Stopping},
};

use super::script;
use crate::{
    contract::support::settle,
    harness::{Plugd, message_of, reason, state_of, states, status_of, within},
};

#[tokio::test]
async fn a_plugin_goes_through_starting_and_connecting_to_active_and_through_stopping_to_inactive_8_7() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut watch = api.live().await;

    let plugin = api.activate(&id).await.unwrap();

    assert_eq!(state_of(&plugin), Active);
    assert_eq!(status_of(&plugin).observed_generation, plugin.generation);
    assert!(status_of(&plugin).pid() != 0 && !status_of(&plugin).run_id().is_empty());
    let events = watch.until_state(&id, Active).await;
    let seen = states(&events, &id);
    assert_eq!(seen.strip_prefix(&[Inactive]).unwrap_or(&seen), [Starting, Connecting, Active]);
    assert!(events.first().unwrap().plugin.as_ref().unwrap().active_state() == ActiveState::Active);
    assert_eq!(events.last().unwrap().plugin.as_ref().unwrap().revision, plugin.revision);

    let plugin = api.deactivate(&id).await.unwrap();

    assert_eq!(state_of(&plugin), Inactive);
    assert_eq!(Plugd::processes_of(&id), []);
    assert_eq!(states(&watch.until_state(&id, Inactive).await, &id), [Active, Stopping, Inactive]);
}

#[tokio::test]
async fn an_activation_never_answers_with_the_error_of_an_earlier_one_8_2() {
    let plugd = Plugd::with(&[("PLUGIN_MAX_RESTART_ATTEMPTS", "0")]).await;
    let api = plugd.api();
    let id = api.install(&["crash-once", "marker"]).await;
    let failed = api.activate(&id).await.unwrap_err();
    assert_eq!(reason(&failed), "PLUGIN_FAILED");
    assert_eq!(state_of(&api.get(&id).await.unwrap()), Error);
    let mut watch = api.live().await;

    let plugin = api.activate(&id).await.unwrap();

    assert_eq!((state_of(&plugin), message_of(&plugin)), (Active, ""));
    let events = watch.until_state(&id, Active).await;
    let of_this_generation = events.iter().filter_map(|event| event.plugin.as_ref());
    let of_this_generation: Vec<_> =
        of_this_generation.filter(|seen| status_of(seen).observed_generation == plugin.generation).collect();
    assert!(of_this_generation.iter().all(|seen| state_of(seen) != Error && message_of(seen).is_empty()));
}

#[tokio::test]
async fn what_is_desired_is_stored_before_anything_is_tried_8_2() {
    let mut plugd = Plugd::with(&[("PLUGIN_MAX_RESTART_ATTEMPTS", "0")]).await;
    let id = plugd.api().install(&["exit", "1"]).await;
    plugd.rest().set_active(&id, "active").await.problem(502);
    plugd.kill_9().await;
    plugd.restart().await;
    assert_eq!(plugd.api().get(&id).await.unwrap().active_state(), ActiveState::Active);
}

#[tokio::test]
async fn spawning_alone_is_not_active_only_a_connection_is_8_2() {
    let plugd = Plugd::start().await;
    let fifo = plugd.scratch().join("go-on");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let archive = script(&format!("echo spawned; cat '{}'; exec chaos tame", fifo.display()));
    let id = plugd.rest().install(archive).await;
    plugd.api().begin(&id).await;
    plugd.api().logs(&id).await.until("spawned").await;
    settle(&plugd, &id, Connecting).await;
    let shown = plugd.rest().get(&format!("/api/plugins/{id}")).await.expect(200);
    assert_eq!(shown["status"]["active_state"], "connecting");
    assert!(shown["status"]["connecting_at"].is_string() && shown["status"].get("activated_at").is_none());

    within("the plugin", tokio::fs::OpenOptions::new().write(true).open(&fifo)).await.unwrap();

    settle(&plugd, &id, Active).await;
}

#[tokio::test]
async fn a_start_of_what_runs_already_changes_nothing_8_2() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let path = format!("/api/plugins/{id}");
    let before = plugd.rest().get(&path).await.expect(200);
    assert_eq!(plugd.rest().set_active(&id, "active").await.expect(200), before);
    assert_eq!(Plugd::processes_of(&id).len(), 1);
}

#[tokio::test]
async fn each_activation_has_the_whole_budget_of_restarts_8_2() {
    let plugd = Plugd::with(&[("PLUGIN_MAX_RESTART_ATTEMPTS", "2"), ("PLUGD_BACKOFF", "10ms")]).await;
    let id = plugd.rest().install(script("echo x >> runs; exit 1")).await;
    let runs = || std::fs::read_to_string(plugd.data_dir().join("plugins").join(&id).join("runs")).unwrap().len() / 2;
    for activations in 1..=2 {
        plugd.rest().set_active(&id, "active").await.problem(502);
        assert_eq!(runs(), 3 * activations, "a start and two restarts each");
    }
}
