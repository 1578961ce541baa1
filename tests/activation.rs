//! SetActiveState and its REST form: what they wait for, what they join, what supersedes them.

use futures_util::future::join_all;
use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Connecting, Inactive, Restarting, Starting, Stopping},
    SetActiveStateRequest,
};
use serde_json::json;
use tokio::join;
use tonic::Code;

use crate::harness::{Body, Plugd, details, field_violations, reason, state_of, states, status_of, within};

#[tokio::test]
async fn plugins_started_at_once_all_show_every_state_and_have_their_pid_when_they_are_active() {
    const PLUGINS: usize = 12;
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut ids = Vec::new();
    for _ in 0..PLUGINS {
        ids.push(api.install(&["tame"]).await);
    }
    let mut watch = api.live().await;

    let answers = join_all(ids.iter().map(|id| api.activate(id))).await;

    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let last = answers.iter().map(|plugin| plugin.revision).max().unwrap();
    let events = watch.until(|event| event.revision >= last).await;
    for (id, plugin) in ids.iter().zip(&answers) {
        let seen = states(&events, id);
        assert_eq!(seen.strip_prefix(&[Inactive]).unwrap_or(&seen), [Starting, Connecting, Active]);
        assert_ne!(status_of(plugin).pid(), 0);
    }
}

#[tokio::test]
async fn patch_active_answers_when_the_plugin_is_settled_contract_3_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = plugd.api().install(&["tame"]).await;

    let plugin = rest.set_active(&id, "active").await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "active");
    assert!(plugin["status"]["activated_at"].is_string());
    assert_eq!(Plugd::processes_of(&id).len(), 1);

    let plugin = rest.set_active(&id, "inactive").await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "inactive");
    assert!(plugin["status"]["deactivated_at"].is_string());
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn two_calls_for_the_same_state_join_one_transition() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut watch = api.live().await;

    let (one, other) = join!(api.activate(&id), api.activate(&id));

    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(status_of(&one).run_id, status_of(&other).run_id);
    assert_eq!(one.generation, other.generation);
    let again = api.activate(&id).await.unwrap();
    assert_eq!((again.generation, again.revision), (other.generation, other.revision), "nothing is left to change");
    let seen = states(&watch.until_state(&id, Active).await, &id);
    assert_eq!(seen.iter().filter(|state| **state == Starting).count(), 1);
}

#[tokio::test]
async fn a_later_opposite_call_supersedes_the_earlier_one() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let id = api.install(&["hang"]).await;
    let mut watch = api.live().await;
    let later = async {
        watch.until_state(&id, Connecting).await;
        api.deactivate(&id).await
    };

    let (earlier, later) = join!(api.activate(&id), later);

    let earlier = earlier.unwrap_err();
    assert_eq!((earlier.code(), reason(&earlier).as_str()), (Code::Aborted, "SUPERSEDED"));
    assert_eq!(details(&earlier)["plugin_id"], id);
    assert_eq!(state_of(&later.unwrap()), Inactive);

    watch.until_state(&id, Inactive).await;
    let later = async {
        watch.until_state(&id, Connecting).await;
        rest.set_active(&id, "inactive").await
    };
    let (earlier, later) = join!(rest.set_active(&id, "active"), later);
    assert_eq!(earlier.problem(409)["error"], "superseded");
    assert_eq!(later.expect(200)["status"]["active_state"], "inactive");
}

#[tokio::test]
async fn activation_during_a_stop_starts_the_plugin_after_it() {
    let plugd = Plugd::with(&[("PLUGD_GRACE", "300ms")]).await;
    let api = plugd.api();
    let id = api.run(&["stubborn"]).await;
    let first = status_of(&api.get(&id).await.unwrap()).run_id.clone();
    let mut watch = api.live().await;
    let later = async {
        watch.until_state(&id, Stopping).await;
        api.activate(&id).await
    };

    let (stopped, started) = join!(api.deactivate(&id), later);

    assert_eq!(reason(&stopped.unwrap_err()), "SUPERSEDED");
    let started = started.unwrap();
    assert_eq!(state_of(&started), Active);
    assert_ne!(status_of(&started).run_id, first);
    assert_eq!(Plugd::processes_of(&id).len(), 1);
}

#[tokio::test]
async fn a_call_that_may_not_wait_long_enough_says_so_and_the_transition_goes_on() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["hang"]).await;
    let mut watch = api.live().await;
    let request = |nanos| SetActiveStateRequest {
        plugin_id: id.clone(),
        active_state: ActiveState::Active.into(),
        wait: Some(prost_types::Duration { seconds: 0, nanos }),
        if_generation: None,
    };

    let late = within("a call", api.plugins().set_active_state(request(50_000_000))).await.unwrap_err();

    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "NOT_SETTLED"));
    // The change may not be committed yet: a call takes no longer than it may, whatever the store takes.
    watch.until_state(&id, Connecting).await;
    assert_eq!(api.get(&id).await.unwrap().active_state(), ActiveState::Active);

    let negative = api.plugins().set_active_state(request(-1)).await.unwrap_err();
    assert_eq!((negative.code(), field_violations(&negative)), (Code::InvalidArgument, vec!["wait".to_owned()]));
}

#[tokio::test]
async fn whoever_does_not_wait_gets_the_transitional_plugin() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let id = api.install(&["hang"]).await;

    let plugin = api.begin(&id).await;
    assert_eq!(plugin.active_state(), ActiveState::Active);

    let path = format!("/api/plugins/{id}/active");
    let body = || Body::Json(json!({"active": "active"}));
    let answer = rest.send("PATCH", &path, body(), &["prefer: respond-async"]).await;
    let plugin = answer.expect(202);
    let state = plugin["status"]["active_state"].as_str().unwrap();
    assert!(["inactive", "starting", "connecting"].contains(&state), "{plugin}");
    assert_eq!(plugin["plugd"]["desired_state"], "active");
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_what_it_asked_for() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut watch = api.live().await;

    let impatient = plugd.api();
    tokio::select! {
        biased;
        _ = watch.until_state(&id, Starting) => {}
        answer = impatient.activate(&id) => panic!("too soon: {answer:?}"),
    }
    drop(impatient);

    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_restart_is_a_new_run_and_waits_for_it() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let before = api.get(&id).await.unwrap();

    let after = api.restart(&id).await.unwrap();

    assert_eq!(state_of(&after), Active);
    assert_ne!(status_of(&after).run_id, status_of(&before).run_id);
    assert!(after.generation > before.generation);
    assert_eq!(Plugd::processes_of(&id).len(), 1);
}

#[tokio::test]
async fn a_restart_during_a_backoff_skips_the_delay_and_keeps_the_count() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "24h"), ("PLUGD_MAX_BACKOFF", "24h")]).await;
    let api = plugd.api();
    let id = api.install(&["crash-once", "marker"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    let waiting = watch.plugin_in(&id, Restarting).await;

    let plugin = api.restart(&id).await.unwrap();

    assert_eq!(state_of(&plugin), Active);
    assert_eq!(status_of(&plugin).restart_count, status_of(&waiting).restart_count);
}
