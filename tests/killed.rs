//! `kill -9` of plugd: nothing of any plugin survives it, and the next start finds everything as it should be.

use plugd::api::v1::{
    ActiveState, Plugin,
    ReportedState::{Active, Inactive, Starting},
    RestartPluginRequest, UpdatePackageRequest, WatchStateRequest, update_package_request as update,
};

use sea_orm::{ConnectionTrait, Database};

use crate::harness::{Cursor, Plugd, QUICK, chaos, eventually, gone, is_alive, state_of, status_of, within};

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
        pids.push(Plugd::pid_on_host(&id, &log.find("pid ").await));
        if ["grandchild", "orphan-setsid"].contains(&mode) {
            pids.push(Plugd::pid_on_host(&id, &log.find("grandchild ").await));
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
    let request = WatchStateRequest { start: Some(cursor.start()), ..Default::default() };
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
    assert_eq!((plugin.active_state(), state_of(&plugin)), (ActiveState::Inactive, Inactive));
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
    let request = WatchStateRequest { start: Some(cursor.start()), ..Default::default() };
    let mut watch = plugd.api().watch(request).await.unwrap();
    assert_eq!(watch.cursor.epoch, cursor.epoch);
    let seen = watch.until_state(&id, Active).await;
    assert_eq!(seen.first().unwrap().revision, cursor.revision + 1);
    watch.until_state(&id, Starting).await;
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_log_of_the_database_that_was_taken_away_meanwhile_is_told_of() {
    let mut plugd = Plugd::start().await;
    let epoch = cursor(&plugd).await.epoch;
    let id = plugd.api().run(&["tame"]).await;
    plugd.kill_9().await;
    std::fs::remove_file(plugd.data_dir().join("plugd.db-wal")).unwrap();

    // The token was in there, too.
    plugd.restart_with_token("admin.token.new").await;

    assert!(plugd.said().contains("what was written last to the database may be lost"), "{}", plugd.said());
    eventually("it tells of the plugin's folder", || plugd.said().contains(&format!("plugin={id}")).then_some(()))
        .await;
    assert_ne!(cursor(&plugd).await.epoch, epoch);
}

#[tokio::test]
async fn tokens_and_configurations_survive_a_killed_plugd() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let (_, secret) = api.create_token("reader", plugd::api::v1::Role::Viewer).await;
    let id = api.run(&["tame"]).await;
    let path = format!("/api/plugins/{id}/configuration");
    let configuration = serde_json::json!({"greeting": "hello", "more": [1, 2.5, null, 0.942_450_283_777_050_3]});
    let body = crate::harness::Body::Json(configuration.clone());
    assert_eq!(plugd.rest().patch(&path, body).await.expect(200), configuration);

    plugd.kill_9().await;
    plugd.restart().await;

    let reader = plugd.rest_as(Some(&secret));
    assert_eq!(reader.get(&path).await.expect(200), configuration);
}

/// Between the commit of what is desired and the first report of it.
#[tokio::test]
async fn a_change_that_a_killed_plugd_did_not_come_to_is_made_by_the_next_one() {
    let mut plugd = Plugd::with(PATIENT).await;
    let id = plugd.api().run(&["tame"]).await;
    let asked = RestartPluginRequest {
        plugin_id: id.clone(),
        wait: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let next = cut_after(&plugd, &id).await;

    let committed = plugd.api().plugins().restart_plugin(asked).await.unwrap().into_inner().plugin.unwrap();
    assert_eq!((committed.generation, status_of(&committed).observed_generation), (next, next - 1));
    kill_and_mend(&mut plugd).await;

    let active = plugd.api().activate(&id).await.unwrap();
    assert_eq!((active.generation, status_of(&active).observed_generation), (next, next));
}

/// The same for an update: what was stable before it says nothing of the new package.
#[tokio::test]
async fn an_update_that_a_killed_plugd_did_not_come_to_is_taken_back_when_it_fails() {
    let stable = ("PLUGD_STABLE_AFTER", "1ms");
    let mut plugd = Plugd::with(&[PATIENT, QUICK, &[stable]].concat()).await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut watch = api.live().await;
    let good = api.activate(&id).await.unwrap().package_digest().to_owned();
    watch.until_state(&id, Active).await;
    // What follows in this state is that it is stable.
    watch.until_state(&id, Active).await;
    let next = cut_after(&plugd, &id).await;

    assert_eq!(begin_update(&plugd, &id, chaos(&["nonsense"])).await.generation, next);
    kill_and_mend(&mut plugd).await;

    let mut watch = plugd.api().live().await;
    let is_back = |plugin: &Plugin| plugin.package_digest() == good && state_of(plugin) == Active;
    if !is_back(&plugd.api().get(&id).await.unwrap()) {
        watch.until(|event| event.plugin.as_ref().is_some_and(is_back)).await;
    }
}

async fn begin_update(plugd: &Plugd, id: &str, archive: Vec<u8>) -> Plugin {
    let header =
        update::Header { plugin_id: id.to_owned(), wait: Some(prost_types::Duration::default()), ..Default::default() };
    let parts = [update::Part::Header(header), update::Part::Chunk(archive)];
    let messages = parts.map(|part| UpdatePackageRequest { part: Some(part) });
    let mut packages = plugd.api().packages();
    let answer = within("an update", packages.update_package(tokio_stream::iter(messages))).await;
    answer.unwrap().into_inner().plugin.unwrap()
}

/// From now on the store takes what is desired of a plugin and no report that answers to it. Returns the next generation.
async fn cut_after(plugd: &Plugd, id: &str) -> u64 {
    let next = plugd.api().get(id).await.unwrap().generation + 1;
    let statement = format!(
        "CREATE TRIGGER cut BEFORE INSERT ON journal
         WHEN json_extract(NEW.record, '$.reported.observed_generation') >= {next}
         BEGIN SELECT RAISE(ABORT, 'cut'); END"
    );
    execute(plugd, &statement).await;
    next
}

async fn kill_and_mend(plugd: &mut Plugd) {
    plugd.kill_9().await;
    execute(plugd, "DROP TRIGGER cut").await;
    plugd.restart().await;
}

async fn execute(plugd: &Plugd, statement: &str) {
    let database = plugd.data_dir().join("plugd.db");
    let db = Database::connect(format!("sqlite://{}?mode=rw", database.display())).await.unwrap();
    db.execute_unprepared(statement).await.unwrap();
    db.close().await.unwrap();
}

async fn cursor(plugd: &Plugd) -> Cursor {
    plugd.api().live().await.cursor
}

/// What the journal says was deleted, and nothing else: a folder that nobody knows may be another plugd's.
#[tokio::test]
async fn a_deletion_that_a_killed_plugd_did_not_finish_is_finished_by_the_next_one() {
    let mut plugd = Plugd::start().await;
    let deleted = plugd.api().run(&["tame"]).await;
    let kept = plugd.api().run(&["tame"]).await;
    plugd.api().delete(&deleted).await.unwrap();
    plugd.kill_9().await;
    let folders = plugd.data_dir().join("plugins");
    let stranger = folders.join("9m4e2mr0ui3e8a215n4g");
    for folder in [&folders.join(&deleted), &stranger] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("left"), "behind").unwrap();
    }

    plugd.restart().await;

    eventually("the rest is deleted", || (!folders.join(&deleted).exists()).then_some(())).await;
    assert!(stranger.join("left").exists() && folders.join(&kept).exists());
}
