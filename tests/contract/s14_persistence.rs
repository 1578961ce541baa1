//! CONTRACT 14: what survives, what a boot does, and what a shutdown leaves.
//!
//! Held elsewhere: a missing archive (section 3.9), what a killed plugd leaves and that inactive plugins stay so
//! (`killed`), tokens and configurations after a kill (`killed`), plugins that dial while plugd boots: they wait until it
//! knows them, then are let in (`external::an_external_plugin_dials_again_after_plugd_was_killed`), the end of streams
//! at a shutdown (`shutdown`).

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Connecting, Error},
};
use serde_json::{Value, json};

use super::support::settle;
use crate::harness::{Body, Plugd, Run, chaos, external_manifest, message_of, program, state_of, within};

#[tokio::test]
async fn a_shutdown_stops_the_plugins_and_leaves_what_is_desired_14() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;

    assert!(plugd.sigterm().await.0.success());
    plugd.restart().await;

    let api = plugd.api();
    assert_eq!(api.get(&id).await.unwrap().active_state(), ActiveState::Active);
    api.activate(&id).await.unwrap();
    let mut log = api.logs(&id).await;
    log.until("stopping: SIGINT").await;
    log.until("connected").await;
    let mut watch = api.watch(plugd::api::v1::WatchStateRequest::default()).await.unwrap();
    assert_eq!(watch.snapshot().await[0].status.as_ref().unwrap().state(), Active);
}

/// Were the start-up to wait for them, or they for each other, nothing here would ever be answered.
#[tokio::test]
async fn a_boot_starts_what_is_desired_side_by_side_and_does_not_wait_for_it_14() {
    let mut plugd = Plugd::with(&[("PLUGD_CONNECT_TIMEOUT", "24h")]).await;
    let api = plugd.api();
    let mut hanging = Vec::new();
    for _ in 0..10 {
        hanging.push(api.install(&["hang"]).await);
    }
    let tame = api.run(&["tame"]).await;
    for id in &hanging {
        api.begin(id).await;
        settle(&plugd, id, Connecting).await;
    }
    plugd.kill_9().await;
    plugd.restart().await;
    settle(&plugd, &tame, Active).await;
    for id in &hanging {
        settle(&plugd, id, Connecting).await;
    }
    plugd.kill_9().await;
}

#[tokio::test]
async fn a_plugin_that_fails_at_boot_stays_desired_active_14() {
    let mut plugd = Plugd::with(&[("PLUGIN_MAX_RESTART_ATTEMPTS", "0")]).await;
    let id = plugd.api().install(&["exit", "9"]).await;
    plugd.api().activate(&id).await.unwrap_err();
    for _ in 0..2 {
        assert!(plugd.sigterm().await.0.success());
        plugd.restart().await;
        settle(&plugd, &id, Error).await;
        let plugin = plugd.api().get(&id).await.unwrap();
        assert_eq!((plugin.active_state(), message_of(&plugin)), (ActiveState::Active, "exit status 9"));
    }
}

/// What a client sees of a plugin, without plugd's own counters.
async fn shown(plugd: &Plugd, id: &str) -> Value {
    let mut plugin = plugd.rest().get(&format!("/api/plugins/{id}")).await.expect(200);
    plugin.as_object_mut().unwrap().remove("plugd");
    plugin
}

/// The same without its status, which a restart begins afresh for what is to be connected.
async fn lasting(plugd: &Plugd, id: &str) -> Value {
    let mut plugin = shown(plugd, id).await;
    plugin.as_object_mut().unwrap().remove("status");
    plugin
}

#[tokio::test]
async fn mode_manifest_configuration_state_token_and_times_survive_14() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let supervised = api.run(&["tame"]).await;
    let path = format!("/api/plugins/{supervised}/configuration");
    plugd.rest().patch(&path, Body::Json(json!({"greeting": "hello"}))).await.expect(200);
    api.deactivate(&supervised).await.unwrap();
    let external = api.register(&external_manifest("outside")).await.unwrap().id;
    let before = [shown(&plugd, &supervised).await, lasting(&plugd, &external).await];
    for is_killed in [true, false] {
        if is_killed {
            plugd.kill_9().await;
        } else {
            assert!(plugd.sigterm().await.0.success());
        }
        plugd.restart().await;
        let after = [shown(&plugd, &supervised).await, lasting(&plugd, &external).await];
        assert_eq!(after, before);
        assert_eq!(plugd.rest().get(&path).await.expect(200), json!({"greeting": "hello"}));
        assert_eq!(state_of(&plugd.api().get(&external).await.unwrap()), Connecting);
    }
}

/// Waits until plugd is ready, or is not.
async fn ready(plugd: &Plugd, status: u16) {
    within("another health", async { while plugd.rest().get("/readyz").await.status != status {} }).await;
}

#[tokio::test]
async fn a_database_that_is_taken_away_is_noticed_and_calls_say_what_happened_14() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let (database, aside) = (plugd.data_dir().join("plugd.db"), plugd.data_dir().join("aside"));
    std::fs::rename(&database, &aside).unwrap();
    ready(&plugd, 503).await;

    let problem = plugd.rest().post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.problem(503);
    assert!(problem["message"].as_str().unwrap().contains("deleted or replaced"), "{problem}");
    assert_eq!(state_of(&plugd.api().get(&id).await.unwrap()), Active, "what runs goes on");

    std::fs::rename(&aside, &database).unwrap();
    ready(&plugd, 200).await;
    plugd.rest().install(chaos(&["tame"])).await;
}

/// Changes the database, while no plugd has it open.
async fn execute(plugd: &Plugd, statement: &str) {
    const SCRIPT: &str = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute(sys.argv[2]); d.commit()";
    let database = plugd.data_dir().join("plugd.db");
    let output = program("python3").args(["-c", SCRIPT]).arg(database).arg(statement).run().await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_record_that_can_not_be_read_stops_no_other_plugin_and_is_kept_14() {
    let mut plugd = Plugd::start().await;
    let (spoilt, sound) = (plugd.api().run(&["tame"]).await, plugd.api().run(&["tame"]).await);
    assert!(plugd.sigterm().await.0.success());
    execute(&plugd, &format!("UPDATE plugin SET state = 'x' || state WHERE id = '{spoilt}'")).await;

    plugd.restart().await;

    settle(&plugd, &sound, Active).await;
    assert!(plugd.said().contains(&spoilt), "{}", plugd.said());
    plugd.rest().get(&format!("/api/plugins/{spoilt}")).await.problem(404);
    // The other one has the same package, which the one that is left out will need again.
    plugd.api().delete(&sound).await.unwrap();
    assert!(plugd.sigterm().await.0.success());
    execute(&plugd, &format!("UPDATE plugin SET state = substr(state, 2) WHERE id = '{spoilt}'")).await;
    plugd.restart().await;
    settle(&plugd, &spoilt, Active).await;
}
