//! Plugins that misbehave, and what becomes of each.

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Connecting, Error, Inactive, Restarting, Starting, Stopping},
    failure::Stage,
};
use serde_json::json;

use crate::harness::{Knobs, Plugd, failure_of, gone, is_alive, message_of, state_of, states, status_of};

const SHORT_PINGS: Knobs = &[
    ("PLUGD_BACKOFF", "20ms"),
    ("PLUGD_PING_INTERVAL", "200ms"),
    ("PLUGD_PING_TIMEOUT", "200ms"),
    ("PLUGD_RECONNECT_TIMEOUT", "200ms"),
    ("PLUGD_GRACE", "500ms"),
];

const SHORT_GRACE: Knobs = &[("PLUGD_BACKOFF", "20ms"), ("PLUGD_GRACE", "300ms")];

#[tokio::test]
async fn a_deaf_plugin_becomes_degraded_and_is_restarted() {
    let plugd = Plugd::with(SHORT_PINGS).await;
    let api = plugd.api();
    let id = api.install(&["deaf"]).await;
    let mut watch = api.live().await;
    api.activate(&id).await.unwrap();
    let first = watch.plugin_in(&id, Active).await;
    assert!(!status_of(&first).degraded);

    let degraded = watch.until(|event| status_of(event.plugin.as_ref().unwrap()).degraded).await.pop().unwrap();

    assert_eq!(state_of(degraded.plugin.as_ref().unwrap()), Active);
    assert_eq!(status_of(degraded.plugin.as_ref().unwrap()).run_id, status_of(&first).run_id);
    watch.until_state(&id, Starting).await;
    let again = watch.plugin_in(&id, Active).await;
    assert!(!status_of(&again).degraded);
    assert_ne!(status_of(&again).run_id, status_of(&first).run_id);
}

#[tokio::test]
async fn a_slow_plugin_that_answers_in_time_stays_as_it_is() {
    let plugd = Plugd::with(&[("PLUGD_PING_INTERVAL", "50ms"), ("PLUGD_PING_TIMEOUT", "10s")]).await;
    let api = plugd.api();
    let id = api.run(&["slow", "100"]).await;
    let run = status_of(&api.get(&id).await.unwrap()).run_id.clone();
    let mut log = api.logs(&id).await;
    for _ in 0..5 {
        log.until("request ping").await;
    }
    let plugin = api.get(&id).await.unwrap();
    assert_eq!((state_of(&plugin), status_of(&plugin).degraded), (Active, false));
    assert_eq!(status_of(&plugin).run_id, run);
}

#[tokio::test]
async fn half_a_frame_is_no_proof_of_life() {
    let plugd = Plugd::with(SHORT_PINGS).await;
    let api = plugd.api();
    let id = api.install(&["half-frame"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    watch.until_state(&id, Active).await;
    let failed = watch.plugin_in(&id, Restarting).await;
    assert_eq!(failure_of(&failed).stage(), Stage::Link);
}

#[tokio::test]
async fn a_plugin_that_loses_its_connection_and_stays_is_restarted_contract_8_3() {
    let plugd = Plugd::with(SHORT_PINGS).await;
    let api = plugd.api();
    let id = api.install(&["reconnect", "100"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    watch.until_state(&id, Active).await;

    let events = watch.until_state(&id, Restarting).await;

    let seen = states(&events, &id);
    assert_eq!(seen.strip_prefix(&[Active]).unwrap_or(&seen), [Connecting, Stopping, Restarting]);
    let failed = events.last().unwrap().plugin.as_ref().unwrap();
    assert!(message_of(failed).contains("lost its connection"), "{}", message_of(failed));
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_plugin_that_never_connects_is_given_up() {
    let knobs = [("PLUGD_CONNECT_TIMEOUT", "200ms"), ("PLUGD_BACKOFF", "20ms"), ("PLUGIN_MAX_RESTART_ATTEMPTS", "1")];
    let plugd = Plugd::with(&knobs).await;
    let api = plugd.api();
    let id = api.install(&["hang"]).await;
    let mut watch = api.live().await;

    let status = api.activate(&id).await.unwrap_err();

    assert!(status.message().contains("did not connect within 200ms"), "{status}");
    let events = watch.until_state(&id, Error).await;
    let seen = states(&events, &id);
    let expected = [Starting, Connecting, Stopping, Restarting, Starting, Connecting, Stopping, Error];
    assert_eq!(seen.strip_prefix(&[Inactive]).unwrap_or(&seen), expected);
    assert_eq!(failure_of(events.last().unwrap().plugin.as_ref().unwrap()).stage(), Stage::Connect);
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn a_grandchild_that_holds_stdout_and_ignores_signals_does_not_outlive_the_stop() {
    let plugd = Plugd::with(SHORT_GRACE).await;
    let api = plugd.api();
    for mode in ["grandchild", "orphan-setsid"] {
        let id = api.run(&[mode]).await;
        let mut log = api.logs(&id).await;
        let grandchild = Plugd::pid_on_host(&id, &log.find("grandchild ").await);
        api.logs(&id).await.until("lingering").await;
        assert!(is_alive(grandchild));

        let plugin = api.deactivate(&id).await.unwrap();

        assert_eq!(state_of(&plugin), Inactive, "{mode}");
        assert_eq!(Plugd::processes_of(&id), [], "{mode}: inactive means that nothing runs");
        gone(grandchild).await;
    }
}

#[tokio::test]
async fn a_flood_of_lines_blocks_nobody_and_every_line_arrives() {
    const LINES: usize = 3000;
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["flood-logs", &LINES.to_string()]).await;

    let lines = api.logs(&id).await.until(&format!("flooded {LINES}")).await;

    let number = |text: &str| text.strip_prefix("flood ")?.split(' ').next()?.parse::<usize>().ok();
    let numbers = lines.iter().filter_map(|line| number(&line.text));
    assert!(numbers.eq(1..=LINES));
    let letters: usize = lines.iter().map(|line| line.text.matches('x').count()).sum();
    assert_eq!(letters, LINES / 100 * 100 * 1024, "long lines come in pieces, and whole");
    assert!(lines.iter().all(|line| line.text.len() <= 64 * 1024));
    assert_eq!(state_of(&api.deactivate(&id).await.unwrap()), Inactive);
}

#[tokio::test]
async fn a_frame_of_several_mebibytes_is_taken_contract_10_4() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["big-frame", &(4 * 1024 * 1024).to_string()]).await;
    let answer = api.logs(&id).await.find("result ").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, json!({"method": "get_config", "config": {}}));
}

#[tokio::test]
async fn a_plugin_inherits_no_descriptors_and_leads_a_session_of_its_own() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let pid = status_of(&api.get(&id).await.unwrap()).pid();

    let at = |name: &str| format!("/proc/{pid}/{name}");
    let links = std::fs::read_dir(at("fd")).unwrap().flatten();
    let links: Vec<_> = links.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    assert!(!links.iter().any(|link| link.to_string_lossy().contains("plugd.db")), "{links:?}");
    let stat = std::fs::read_to_string(at("stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!((fields[2], fields[3]), (pid.to_string().as_str(), pid.to_string().as_str()), "group and session");
    let status = std::fs::read_to_string(at("status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[tokio::test]
async fn a_plugin_dies_with_plugd_even_while_it_stops() {
    let mut plugd = Plugd::with(&[("PLUGD_GRACE", "1h")]).await;
    let api = plugd.api();
    let id = api.run(&["stubborn"]).await;
    let mut watch = api.live().await;
    let mut log = api.logs(&id).await;
    tokio::select! {
        biased;
        () = async {
            watch.until_state(&id, Stopping).await;
            log.until("ignoring SIGINT").await;
        } => {}
        answer = api.deactivate(&id) => panic!("{answer:?}"),
    }
    plugd.kill_9().await;
    plugd.restart().await;

    let plugin = plugd.api().get(&id).await.unwrap();
    assert_eq!((plugin.active_state(), state_of(&plugin)), (ActiveState::Inactive, Inactive));
}
