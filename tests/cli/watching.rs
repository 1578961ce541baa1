//! watch and logs.

use serde_json::Value;

use super::{chaos_folder, run};
use crate::harness::{Cursor, Plugd, Running, cli, external_manifest, is_interrupted_or_ok};

#[tokio::test]
async fn a_watch_goes_on_by_itself_after_a_restart_of_plugd_on_the_same_address() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let mut watch = Running::start(&mut cli(&plugd, &["watch", "-o", "json"]));
    watch.find(r#""kind":"snapshot""#).await;
    plugd.kill_9().await;
    plugd.restart_on_the_same_address().await;
    plugd.api().activate(&id).await.unwrap();
    watch.find(r#""state":"active""#).await;
    watch.interrupt();
    assert!(is_interrupted_or_ok(watch.ended().await));
}

fn change(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// A watch as JSON, open: what it prints from here on is what happens from here on.
async fn watch(plugd: &Plugd, args: &[&str]) -> Running {
    let mut watch = Running::start(&mut cli(plugd, &[&["watch", "-o", "json"], args].concat()));
    watch.find(r#""kind":"snapshot""#).await;
    watch
}

#[tokio::test]
async fn a_watch_goes_on_after_the_cursor_that_it_was_given() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let mut first = Running::start(&mut cli(&plugd, &["watch", "-o", "json"]));
    let cursor = change(&first.find(r#""kind":"snapshot""#).await)["cursor"].as_str().unwrap().to_owned();
    drop(first);
    let active = plugd.api().activate(&id).await.unwrap();

    let mut resumed = Running::start(&mut cli(&plugd, &["watch", "-o", "json", "--after", &cursor]));
    let mut seen = vec![change(&resumed.line().await.unwrap())];
    assert_eq!(seen[0]["revision"].as_u64().unwrap(), Cursor::parse(&cursor).revision + 1);
    while seen.last().unwrap()["revision"] != active.revision {
        seen.push(change(&resumed.line().await.unwrap()));
    }
    assert!(seen.iter().all(|change| change["kind"] == "changed"), "no snapshot");
    let unknown = run(&plugd, &["watch", "--after", "nonsense"]).await;
    assert_eq!(unknown.code(), Some(9));
    assert!(unknown.stderr.contains("hint: "), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_watch_is_narrowed_to_plugins_states_and_what_is_new() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (other, id) = (api.install(&["tame"]).await, api.install(&["tame"]).await);
    let mut one = watch(&plugd, &[&id]).await;
    let mut errors = Running::start(&mut cli(&plugd, &["watch", "-o", "json", "--state", "active"]));
    api.activate(&other).await.unwrap();
    api.activate(&id).await.unwrap();
    assert_eq!(change(&one.line().await.unwrap())["plugin_id"], id.as_str());
    assert_eq!(change(&errors.line().await.unwrap())["plugin"]["status"]["state"], "active");
    let mut live = Running::start(&mut cli(&plugd, &["watch", "-o", "json", "--live"]));
    // What happens before the watch is open is not shown, so something happens until it is.
    let happening = async {
        loop {
            api.restart(&id).await.unwrap();
        }
    };
    let line = tokio::select! { line = live.line() => line.unwrap(), () = happening => unreachable!() };
    assert_eq!(change(&line)["kind"], "changed");
}

#[tokio::test]
async fn a_watch_says_what_changed_beside_the_state() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let mut watch = Running::start(&mut cli(&plugd, &["watch"]));
    watch.find("Chaos  active").await;
    run(&plugd, &["config", "set", &id, "greeting=x"]).await.text();
    watch.find("Chaos  active (configured)").await;
    run(&plugd, &["restart", &id]).await.text();
    let lines = watch.until("connecting -> active").await;
    assert!(lines[0].ends_with("Chaos  active (to be started anew)"), "a line that says nothing: {lines:?}");
    let folder = chaos_folder(plugd.scratch(), "2.0.0");
    run(&plugd, &["update", &id, folder.to_str().unwrap()]).await.text();
    watch.find("(updated to version 2.0.0)").await;
    run(&plugd, &["rollback", &id]).await.text();
    watch.find("(back to the package before: version 1.0.0)").await;
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    run(&plugd, &["rotate-token", &outside]).await.text();
    watch.find("outside  connecting (new token)").await;
    let manifest = plugd.scratch().join("m.json");
    std::fs::write(&manifest, external_manifest("renamed").to_string()).unwrap();
    run(&plugd, &["update-manifest", &outside, manifest.to_str().unwrap()]).await.text();
    watch.find("renamed  connecting (manifest changed, version 1.0.0)").await;
}

#[tokio::test]
async fn a_log_is_printed_followed_and_cut_to_its_end() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let mut log = Running::start(&mut cli(&plugd, &["logs", "-f", &id]));
    log.find("connected").await;
    run(&plugd, &["call", &id, "robot_tool_call"]).await.text();
    log.find("request robot_tool_call").await;
    let all = run(&plugd, &["logs", &id]).await;
    let tail = run(&plugd, &["logs", &id, "--tail", "1", "-o", "json"]).await;
    let last = change(tail.text());
    assert_eq!(last["text"].as_str(), all.text().lines().last());
    assert!(all.text().lines().count() > 1 && last["cursor"].is_string());
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    assert_eq!(run(&plugd, &["logs", &outside]).await.code(), Some(9));
}

#[tokio::test]
async fn the_logs_of_all_plugins_are_followed_each_line_with_its_name_also_after_a_restart_of_plugd() {
    let mut plugd = Plugd::start().await;
    let first = plugd.api().run(&["tame"]).await;
    let name = plugd.api().get(&first).await.unwrap().name;
    let mut log = Running::start(&mut cli(&plugd, &["logs", "-f"]));
    log.find(&format!("{name} | connected")).await;
    let later = plugd.api().run(&["tame"]).await;
    log.find(&format!("{name} | connected")).await;
    run(&plugd, &["call", &later, "robot_tool_call"]).await.text();
    log.find("request robot_tool_call").await;
    plugd.kill_9().await;
    plugd.restart_on_the_same_address().await;
    let newest = plugd.api().run(&["tame"]).await;
    run(&plugd, &["call", &newest, "robot_tool_call"]).await.text();
    log.find("request robot_tool_call").await;
    log.interrupt();
    assert!(is_interrupted_or_ok(log.ended().await));
}

#[tokio::test]
async fn a_log_is_narrowed_to_a_time_and_an_output_and_may_show_times() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    plugd.api().logs(&id).await.until("connected").await;
    let timed = run(&plugd, &["logs", &id, "--since", "10m", "--timestamps", "--stdout"]).await;
    let first = timed.text().lines().next().unwrap();
    let (time, text) = first.split_once(' ').unwrap();
    assert!(
        time.ends_with('Z') && time.len() == "2026-01-02T03:04:05.678Z".len() && text.starts_with("pid "),
        "{first}"
    );
    assert_eq!(run(&plugd, &["logs", &id, "--stderr"]).await.text(), "");
    let future = run(&plugd, &["logs", &id, "--since", "9999-01-02T03:04:05Z"]).await;
    assert_eq!(future.text(), "");
    let unknown = run(&plugd, &["logs", &id, "--since", "yesterday"]).await;
    assert!(unknown.code() == Some(2) && unknown.stderr.contains("10m"), "{unknown:?}");
    let json = change(run(&plugd, &["logs", &id, "-o", "json", "-n", "1"]).await.text());
    assert_eq!((json["stream"].as_str(), json["plugin_id"].as_str()), (Some("stdout"), Some(&*id)));
}
