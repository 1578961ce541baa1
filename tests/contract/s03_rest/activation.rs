//! Starting and stopping (CONTRACT 3.5).
//!
//! Held elsewhere: 504 after five minutes in the unit tests of `src/rest` (errors: the code to the status) and of
//! `src/supervisor` (the wait); crashes, backoff and stops in `s08_supervised`.

use serde_json::{Value, json};

use crate::harness::{Body, Plugd, Rest, chaos, chaos_manifest, external_manifest, packaged};

const TITLE: &str = "The plugin reported an error while changing state. Check plugin logs for details.";
const DETAIL: &str = "plugin failed while changing state: plugin reported an error while changing state: ";

async fn status(rest: &Rest, id: &str) -> Value {
    rest.get(&format!("/api/plugins/{id}")).await.expect(200)["status"].clone()
}

#[tokio::test]
async fn a_change_is_answered_once_it_is_reached_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let active = rest.set_active(&id, "active").await.expect(200);
    assert_eq!((&active["id"], &active["status"]["active_state"]), (&json!(id), &json!("active")));
    assert_eq!(Plugd::processes_of(&id).len(), 1);
    let inactive = rest.set_active(&id, "inactive").await.expect(200);
    assert_eq!(inactive["status"]["active_state"], "inactive");
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn activating_an_active_plugin_changes_nothing_3_5_8_2() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let first = rest.set_active(&id, "active").await.expect(200);
    let second = rest.set_active(&id, "active").await.expect(200);
    assert_eq!(first, second, "the same process, the same times");
}

/// Never activated, and not since plugd began.
#[tokio::test]
async fn deactivating_what_does_not_run_is_200_3_5() {
    let mut plugd = Plugd::start().await;
    let id = plugd.rest().install(chaos(&["tame"])).await;
    for _ in 0..2 {
        let plugin = plugd.rest().set_active(&id, "inactive").await.expect(200);
        assert_eq!(plugin["status"]["active_state"], "inactive");
        plugd.kill_9().await;
        plugd.restart().await;
    }
}

#[tokio::test]
async fn words_for_states_that_cannot_be_asked_for_are_400_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let before = rest.get(&format!("/api/plugins/{id}")).await.expect(200);
    for word in ["starting", "connecting", "error", "restarting", "stopping", "Active", ""] {
        let problem = rest.set_active(&id, word).await.problem(400);
        assert_eq!(problem["metadata"]["violations"][0]["field"], "active", "{word:?}");
    }
    assert_eq!(rest.get(&format!("/api/plugins/{id}")).await.expect(200), before);
}

#[tokio::test]
async fn an_external_plugin_can_be_neither_started_nor_stopped_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let before = rest.get(&format!("/api/plugins/{id}")).await.expect(200);
    for state in ["active", "inactive"] {
        assert_eq!(rest.set_active(&id, state).await.problem(400)["error"], "external_plugin");
    }
    assert_eq!(rest.get(&format!("/api/plugins/{id}")).await.expect(200), before);
}

/// `exit status 42` is what tests and operators look for.
#[tokio::test]
async fn a_plugin_that_exits_is_502_with_the_runtimes_words_in_the_detail_3_5_must() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["exit", "42"])).await;
    let problem = rest.set_active(&id, "active").await.problem(502);
    assert_eq!(problem["detail"], format!("{DETAIL}exit status 42"));
    assert_eq!((&problem["title"], &problem["error"]), (&json!(TITLE), &json!("plugin_failed")));
    assert_eq!(problem["type"], "urn:storyden:problem:cancelled");
    assert_eq!(problem["metadata"]["plugin_instance_id"], id);
    assert_eq!(status(&rest, &id).await["message"], "exit status 42");
}

#[tokio::test]
async fn a_plugin_that_cannot_be_spawned_is_502_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    for command in ["no-such-program", "./not-in-the-package", ""] {
        let mut manifest = chaos_manifest(&[]);
        manifest["command"] = json!(command);
        let id = rest.install(packaged(&manifest)).await;
        let problem = rest.set_active(&id, "active").await.problem(502);
        assert_eq!(problem["title"], TITLE, "{command:?}");
        let detail = problem["detail"].as_str().unwrap();
        let said = status(&rest, &id).await["message"].as_str().unwrap().to_owned();
        assert_eq!(detail, format!("{DETAIL}{said}"), "{command:?}");
        assert_eq!(status(&rest, &id).await["active_state"], "error");
    }
}

/// It would be tried again when plugd starts.
#[tokio::test]
async fn what_is_desired_is_stored_also_when_the_activation_fails_3_5() {
    let mut plugd = Plugd::with(&[("PLUGD_MAX_RESTART_ATTEMPTS", "0")]).await;
    let id = plugd.rest().install(chaos(&["exit", "42"])).await;
    let path = format!("/api/plugins/{id}");
    plugd.rest().set_active(&id, "active").await.problem(502);
    assert_eq!(plugd.rest().get(&path).await.expect(200)["plugd"]["desired_state"], "active");
    plugd.kill_9().await;
    plugd.restart().await;
    assert_eq!(plugd.rest().get(&path).await.expect(200)["plugd"]["desired_state"], "active");
    let mut log = plugd.api().logs(&id).await;
    log.find("pid ").await;
    log.find("pid ").await;
}

/// plugd's own decision: a later change supersedes an earlier one.
#[tokio::test]
async fn a_superseded_change_is_409_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["hang"])).await;
    let mut watch = rest.stream("/api/plugins/watch", &[]);
    let (first, asked) = (plugd.rest(), id.clone());
    let first = tokio::spawn(async move { first.set_active(&asked, "active").await });
    watch.until(|event| event.data.contains("\"active_state\":\"connecting\"")).await;
    rest.set_active(&id, "inactive").await.expect(200);
    let problem = first.await.unwrap().problem(409);
    assert_eq!((&problem["error"], &problem["type"]), (&json!("superseded"), &json!("urn:storyden:problem:aborted")));
}

/// plugd's own decision: who prefers not to wait is answered with the transition, here of a plugin that never connects.
#[tokio::test]
async fn respond_async_is_202_with_the_plugin_on_its_way_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["hang"])).await;
    let path = format!("/api/plugins/{id}/active");
    for (word, reached) in [("active", "connecting_at"), ("inactive", "deactivated_at")] {
        let mut watch = rest.stream("/api/plugins/watch", &[]);
        let body = Body::Json(json!({"active": word}));
        let answer = rest.send("PATCH", &path, body, &["prefer: respond-async"]).await;
        let plugin = answer.expect(202);
        assert_eq!(answer.header("preference-applied"), Some("respond-async"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(plugin["plugd"]["desired_state"], word);
        assert_ne!(plugin["status"]["active_state"], word, "not yet");
        watch.until(|event| event.data.contains(&format!("\"{reached}\""))).await;
    }
}

/// The archive is lost, and the plugin was never started from it.
#[tokio::test]
async fn a_missing_archive_is_404_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    super::packages::lose_the_package(&plugd, &id).await;
    assert_eq!(rest.set_active(&id, "active").await.problem(404)["error"], "package_not_found");
    assert_eq!(rest.list().await.len(), 1, "it is listed all the same");
}

/// plugd's own decision: never 500 for a stubborn process.
#[tokio::test]
async fn a_process_that_does_not_want_to_end_is_killed_and_that_is_200_3_5() {
    let plugd = Plugd::with(&[("PLUGD_GRACE", "100ms")]).await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["stubborn"])).await;
    rest.set_active(&id, "active").await.expect(200);
    assert_eq!(rest.set_active(&id, "inactive").await.expect(200)["status"]["active_state"], "inactive");
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn a_client_that_goes_away_stops_nothing_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let mut watch = rest.stream("/api/plugins/watch", &[]);
    watch.until(|event| event.name == "snapshot_end").await;
    let body = r#"{"active":"active"}"#;
    let request = format!(
        "PATCH /api/plugins/{id}/active HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        plugd.token(),
        body.len()
    );
    let client = plugd.dial(request.as_bytes()).await;
    watch.until(|event| event.data.contains("\"desired_state\":\"active\"")).await;
    drop(client);
    watch.until(|event| event.data.contains("activated_at")).await;
}
