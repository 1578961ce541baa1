//! 8.3: what counts as a crash, what is said of it, and when it is tried again.

use std::time::Duration;

use plugd::api::v1::{
    PluginEvent,
    ReportedState::{Active, Error, Restarting, Starting},
    failure::Stage,
};
use serde_json::json;
use tokio::join;
use tonic::Code;

use crate::harness::{
    Plugd, Run, chaos_manifest, details, failure_of, grpcurl, message_of, packaged, reason, state_of, status_of,
};

/// The defaults: 1 s, doubled with each restart.
const BACKOFFS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// The backoff may be shorter by so much.
const JITTER: f64 = 0.1;

#[tokio::test]
async fn exit_42_at_every_start_ends_in_error_after_1_2_and_4_seconds_and_everybody_is_told_8_3_must() {
    let plugd = Plugd::with(&[]).await;
    let api = plugd.api();
    let id = api.install(&["exit", "42"]).await;
    let mut watch = api.live().await;
    let request = json!({"plugin_id": id, "active_state": "ACTIVE_STATE_ACTIVE"});
    let mut grpcurl = grpcurl(&plugd, Some(&request), &["plugd.v1.PluginService/SetActiveState"]);
    let rest = plugd.rest();

    let (status, by_grpcurl, answer) = join!(api.activate(&id), grpcurl.run(), rest.set_active(&id, "active"));

    let events = watch.until_state(&id, Error).await;
    assert_backoffs(&events);
    let plugin = events.last().unwrap().plugin.as_ref().unwrap();
    assert_eq!(message_of(plugin), "exit status 42");
    assert_eq!((failure_of(plugin).exit_code, failure_of(plugin).stage()), (Some(42), Stage::Exit));
    assert_eq!(status_of(plugin).restart_count, 3);

    let status = status.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "PLUGIN_FAILED"));
    assert!(status.message().contains("exit status 42"), "{status}");
    let told = details(&status);
    assert_eq!((told["exit_code"].as_str(), told["stage"].as_str()), ("42", "exit"));

    assert!(!by_grpcurl.status.success());
    for words in ["FailedPrecondition", "PLUGIN_FAILED", "exit status 42"] {
        assert!(by_grpcurl.stderr.contains(words), "{}", by_grpcurl.stderr);
    }

    let problem = answer.problem(502);
    let said = "plugin failed while changing state: plugin reported an error while changing state: ";
    let described = problem["detail"].as_str().unwrap();
    assert!(described.starts_with(said) && described.contains("exit status 42"), "{problem}");
    assert_eq!(problem["type"], "urn:storyden:problem:cancelled");
    let shown = rest.get(&format!("/api/plugins/{id}")).await.expect(200);
    assert_eq!(shown["status"]["active_state"], "error");
    assert_eq!(shown["status"]["message"], "exit status 42");
    let told = json!({"runtime_provider": "local", "stage": "exit", "error": "exit status 42", "exit_code": 42});
    assert_eq!(shown["status"]["details"], told);
}

fn assert_backoffs(events: &[PluginEvent]) {
    let plugins = || events.iter().filter_map(|event| event.plugin.as_ref());
    let times = |state| -> Vec<f64> {
        let mut times: Vec<f64> = plugins().filter(|plugin| state_of(plugin) == state).map(since).collect();
        times.dedup();
        times
    };
    let (waits, starts) = (times(Restarting), times(Starting));
    assert_eq!((waits.len(), starts.len()), (3, 4));
    for ((wait, start), backoff) in waits.iter().zip(&starts[1..]).zip(BACKOFFS) {
        let waited = start - wait;
        assert!(waited >= backoff.as_secs_f64() * (1.0 - JITTER), "waited {waited} s instead of {backoff:?}");
    }
}

#[allow(clippy::cast_precision_loss, reason = "to the microsecond")]
fn since(plugin: &plugd::api::v1::Plugin) -> f64 {
    let since = status_of(plugin).state_time.unwrap();
    since.seconds as f64 + f64::from(since.nanos) / 1e9
}

#[tokio::test]
async fn a_crash_goes_through_restarting_back_to_active_which_clears_what_was_said_8_3() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let mut watch = api.live().await;
    let before = api.get(&id).await.unwrap();

    Plugd::processes_of(&id)[0].kill();

    let waiting = watch.plugin_in(&id, Restarting).await;
    assert_eq!(message_of(&waiting), "signal: killed");
    assert_eq!((failure_of(&waiting).signal, failure_of(&waiting).exit_code), (Some(9), None));
    let after = watch.plugin_in(&id, Active).await;
    assert_eq!(message_of(&after), "");
    assert_ne!(status_of(&after).run_id, status_of(&before).run_id);
}

#[tokio::test]
async fn exit_0_is_a_crash_too_8_3() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["exit", "0"]).await;

    let status = api.activate(&id).await.unwrap_err();

    assert!(status.message().contains("process exited cleanly"), "{status}");
    assert_eq!(details(&status)["exit_code"], "0");
}

#[tokio::test]
async fn a_plugin_that_dies_of_a_signal_says_which_8_3() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    for (signal, words) in [("segv", "signal: segmentation fault"), ("abrt", "signal: aborted")] {
        let id = api.install(&["crash-after", "0", signal]).await;
        let mut watch = api.live().await;
        api.begin(&id).await;
        let failed = watch.plugin_in(&id, Error).await;
        assert_eq!(message_of(&failed), words);
    }
}

#[tokio::test]
async fn what_can_never_start_is_an_error_of_the_stage_start_8_3() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    for (command, words) in [("no-such-program", "not found"), ("./no-such-file", "not found"), ("", "no command")] {
        let mut manifest = chaos_manifest(&[]);
        manifest["command"] = json!(command);
        let id = api.upload(packaged(&manifest)).await.unwrap().id;
        let mut watch = api.live().await;

        let status = api.activate(&id).await.unwrap_err();

        assert_eq!(reason(&status), "PLUGIN_FAILED");
        assert!(status.message().contains(words), "{status}");
        let events = watch.until_state(&id, Error).await;
        assert!(!restarts(&events), "{command:?}");
        assert_eq!(failure_of(events.last().unwrap().plugin.as_ref().unwrap()).stage(), Stage::Start);
    }
}

fn restarts(events: &[PluginEvent]) -> bool {
    events.iter().any(|event| state_of(event.plugin.as_ref().unwrap()) == Restarting)
}

#[tokio::test]
async fn a_stable_run_clears_the_count_of_restarts_8_3() {
    let knobs = [("PLUGD_BACKOFF", "10ms"), ("PLUGD_STABLE_AFTER", "50ms"), ("PLUGD_STABLE_CRASH_BACKOFF", "20ms")];
    let plugd = Plugd::with(&knobs).await;
    let api = plugd.api();
    let id = api.install(&["crash-once", "marker"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    watch.until_state(&id, Restarting).await;

    let is_stable =
        |plugin: &plugd::api::v1::Plugin| state_of(plugin) == Active && status_of(plugin).restart_count == 0;
    watch.until(|event| event.plugin.as_ref().is_some_and(is_stable)).await;
}

/// Another delay than the one of crashes at the start, and as often as it likes: the budget begins afresh.
#[tokio::test]
async fn a_crash_after_the_threshold_waits_the_runtime_backoff_and_does_not_use_up_the_budget_8_3() {
    let plugd = Plugd::with(&[
        ("PLUGIN_RUNTIME_CRASH_THRESHOLD", "50ms"),
        ("PLUGIN_RUNTIME_CRASH_BACKOFF", "10ms"),
        ("PLUGIN_MAX_RESTART_ATTEMPTS", "1"),
        ("PLUGD_BACKOFF", "24h"),
        ("PLUGIN_MAX_BACKOFF_DURATION", "24h"),
    ])
    .await;
    let api = plugd.api();
    let id = api.install(&["crash-after", "300"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    for _ in 0..4 {
        watch.until_state(&id, Active).await;
        let waiting = watch.plugin_in(&id, Restarting).await;
        assert_eq!((message_of(&waiting), status_of(&waiting).restart_count), ("exit status 1", 1));
    }
}
