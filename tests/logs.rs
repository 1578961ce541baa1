//! What plugins print: history, live, resumed by cursor, as events.

use std::collections::HashMap;

use plugd::api::v1::{LogLine, LogStream, StreamLogsRequest};
use serde_json::json;
use tonic::Code;

use crate::harness::{Plugd, chaos_manifest, external_manifest, field_violations, packaged, reason};

fn history(id: &str) -> StreamLogsRequest {
    StreamLogsRequest { plugin_ids: vec![id.to_owned()], ..Default::default() }
}

#[tokio::test]
async fn a_log_is_its_history_and_then_what_comes() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut early = api.logs(&id).await;
    api.activate(&id).await.unwrap();
    early.until("connected").await;

    let mut late = api.logs(&id).await;
    let seen = late.until("connected").await;
    assert!(seen[0].text.starts_with("pid "));
    api.deactivate(&id).await.unwrap();
    late.until("stopping: SIGINT").await;
    early.until("stopping: SIGINT").await;
    api.activate(&id).await.unwrap();
    late.until("connected").await;
    assert!(late.is_caught_up && !late.has_lost_lines);
}

#[tokio::test]
async fn a_log_that_is_not_followed_ends_after_the_history() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut never_ran = api.logs_as(history(&id)).await.unwrap();
    assert_eq!(never_ran.rest().await, []);
    assert!(never_ran.is_caught_up);
    api.activate(&id).await.unwrap();
    api.deactivate(&id).await.unwrap();
    api.logs(&id).await.until("stopping").await;

    let mut log = api.logs_as(history(&id)).await.unwrap();

    let lines = log.rest().await;
    assert!(lines[0].text.starts_with("pid ") && lines.last().unwrap().text.starts_with("stopping"), "{lines:?}");
    assert!(log.is_caught_up);
}

#[tokio::test]
async fn a_log_resumes_after_any_cursor_with_no_line_lost_or_repeated() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["flood-logs", "250"]).await;
    let all = api.logs(&id).await.until("flooded 250").await;
    for line in [&all[0], &all[99], &all[all.len() - 2]] {
        let request = StreamLogsRequest { cursors: vec![line.cursor.clone()], follow: true, ..history(&id) };
        let again = api.logs_as(request).await.unwrap().until("flooded 250").await;
        let expected: Vec<_> = all.iter().skip_while(|seen| seen.cursor != line.cursor).skip(1).cloned().collect();
        assert_eq!(again, expected);
    }
}

#[tokio::test]
async fn a_tail_is_the_last_lines_of_the_history() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["flood-logs", "50"]).await;
    api.logs(&id).await.until("flooded").await;
    api.deactivate(&id).await.unwrap();
    let all = api.logs_as(history(&id)).await.unwrap().rest().await;

    let request = StreamLogsRequest { tail_lines: Some(5), ..history(&id) };
    let tail = api.logs_as(request).await.unwrap().rest().await;

    assert_eq!(tail, all[all.len() - 5..]);
    let request = StreamLogsRequest { tail_lines: Some(5), cursors: vec![tail[0].cursor.clone()], ..history(&id) };
    assert_eq!(api.logs_as(request).await.err().unwrap().code(), Code::InvalidArgument);
    let request = StreamLogsRequest { cursors: vec!["no cursor".to_owned()], ..history(&id) };
    let refused = api.logs_as(request).await.err().unwrap();
    assert_eq!((refused.code(), field_violations(&refused)), (Code::InvalidArgument, vec!["cursors".to_owned()]));
    let (history_of, position) = tail[0].cursor.rsplit_once('-').unwrap();
    let changed = format!("{history_of}-{}", position.parse::<u64>().unwrap() + 1);
    for plugin_ids in [vec![id.clone()], Vec::new()] {
        let request = StreamLogsRequest { plugin_ids, cursors: vec![changed.clone()], ..history(&id) };
        let refused = api.logs_as(request).await.unwrap().line().await.unwrap_err();
        assert_eq!((refused.code(), field_violations(&refused)), (Code::InvalidArgument, vec!["cursors".to_owned()]));
    }
}

#[tokio::test]
async fn a_log_survives_rotation_and_a_killed_plugd() {
    let mut plugd = Plugd::with(&[("PLUGD_LOG_MAX_BYTES", "64KiB"), ("PLUGD_LOG_KEEP", "100")]).await;
    let api = plugd.api();
    let id = api.run(&["flood-logs", "350"]).await;
    let live = api.logs(&id).await.until("flooded").await;
    assert!(plugd.files().iter().filter(|name| name.contains(&id) && name.contains("/logs/")).count() > 2);

    plugd.kill_9().await;
    plugd.restart().await;

    let again = plugd.api().logs(&id).await.until("flooded").await;
    assert_eq!(again, live);
}

#[tokio::test]
async fn lines_that_are_no_longer_kept_are_reported_as_lost() {
    let plugd = Plugd::with(&[("PLUGD_LOG_MAX_BYTES", "64KiB"), ("PLUGD_LOG_KEEP", "1")]).await;
    let api = plugd.api();
    let id = api.run(&["flood-logs", "1000"]).await;
    let mut log = api.logs(&id).await;
    log.until("flooded").await;
    let first = api.get(&id).await.unwrap();
    assert!(first.status.is_some());
    let oldest = api.logs_as(history(&id)).await.unwrap().line().await.unwrap().unwrap();
    assert!(!oldest.text.starts_with("pid "), "the first line was rotated away");
    let request = StreamLogsRequest { tail_lines: Some(1), ..history(&id) };
    let kept = api.logs_as(request).await.unwrap().rest().await;
    api.restart(&id).await.unwrap();
    let mut log = api
        .logs_as(StreamLogsRequest { cursors: vec![kept[0].cursor.clone()], follow: true, ..history(&id) })
        .await
        .unwrap();
    log.until("flooded").await;
    let request = StreamLogsRequest { cursors: vec![kept[0].cursor.clone()], ..history(&id) };
    let mut resumed = api.logs_as(request).await.unwrap();
    resumed.rest().await;
    assert!(resumed.has_lost_lines);
}

#[tokio::test]
async fn an_external_plugin_has_no_log() {
    let plugd = Plugd::start().await;
    let id = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let refused = plugd.api().logs_as(history(&id)).await.err().unwrap();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "EXTERNAL_PLUGIN"));
}

/// Installs a plugin that runs this script of the shell first, and behaves then.
async fn printing(plugd: &Plugd, script: &str) -> String {
    let mut manifest = chaos_manifest(&[]);
    manifest["command"] = json!("sh");
    manifest["args"] = json!(["-c", format!("{script}\nexec chaos tame")]);
    plugd.rest().install(packaged(&manifest)).await
}

#[tokio::test]
async fn a_line_says_when_to_what_and_by_which_run_it_was_printed() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = printing(&plugd, "echo out; echo err >&2").await;
    let begun = seconds_now();
    api.activate(&id).await.unwrap();
    let run = api.get(&id).await.unwrap().status.unwrap().run_id;
    let mut lines = Vec::new();
    for (stream, text) in [(LogStream::Stdout, "out"), (LogStream::Stderr, "err")] {
        let request = StreamLogsRequest { stream: stream.into(), follow: true, ..history(&id) };
        lines.extend(api.logs_as(request).await.unwrap().until(text).await);
    }
    assert_eq!(lines.iter().map(LogLine::stream).collect::<Vec<_>>(), [LogStream::Stdout, LogStream::Stderr]);
    assert_eq!((lines[0].text.as_str(), lines[1].text.as_str()), ("out", "err"));
    for line in &lines {
        assert_eq!(line.run_id, run);
        assert!((begun..=seconds_now()).contains(&line.time.unwrap().seconds), "{line:?}");
    }

    let of = |stream: LogStream| StreamLogsRequest { stream: stream.into(), ..history(&id) };
    assert_eq!(texts(&api.logs_as(of(LogStream::Stderr)).await.unwrap().rest().await), ["err"]);
    api.deactivate(&id).await.unwrap();
    api.activate(&id).await.unwrap();
    let mut log = api.logs(&id).await;
    log.until("connected").await;
    log.until("connected").await;
    let request = StreamLogsRequest { run_id: run.clone(), ..history(&id) };
    let of_run = api.logs_as(request).await.unwrap().rest().await;
    assert!(of_run.iter().all(|line| line.run_id == run), "{of_run:?}");
    assert_eq!(of_run.iter().filter(|line| line.text == "out").count(), 1);
    let last = api.logs_as(StreamLogsRequest { tail_lines: Some(1), ..history(&id) }).await.unwrap().rest().await;
    let since = StreamLogsRequest { since_time: last[0].time, ..history(&id) };
    let since = api.logs_as(since).await.unwrap().rest().await;
    assert!(since.len() < of_run.len() && since.contains(&last[0]), "{since:?}");
    let later = prost_types::Timestamp { seconds: seconds_now() + 3600, nanos: 0 };
    let none = api.logs_as(StreamLogsRequest { since_time: Some(later), ..history(&id) }).await.unwrap().rest().await;
    assert_eq!(none, []);
}

fn seconds_now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

/// The reference's Go example prints its whole RPC URL.
#[tokio::test]
async fn the_token_of_a_run_is_not_in_its_log() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let script = "echo \"dialling $PLUGD_RPC_URL now\"; echo \"dialling $PLUGD_RPC_URL too\" >&2; \
                  printf %s \"$PLUGD_RPC_URL\" | sed 's/.*token=//' > token";
    let id = printing(&plugd, script).await;
    api.activate(&id).await.unwrap();
    for (stream, end) in [(LogStream::Stdout, "now"), (LogStream::Stderr, "too")] {
        let request = StreamLogsRequest { stream: stream.into(), follow: true, ..history(&id) };
        let lines = api.logs_as(request).await.unwrap().until("dialling").await;
        assert!(lines[0].text.ends_with(&format!("&token=[token] {end}")), "{lines:?}");
    }
    let folder = plugd.data_dir().join("plugins").join(&id);
    let token = std::fs::read_to_string(folder.join("token")).unwrap();
    let text = std::fs::read_to_string(folder.join("logs/output.log")).unwrap();
    assert!(token.len() > 20 && text.contains("token=[token]") && !text.contains(token.trim()), "{text}");
}

#[tokio::test]
async fn a_stream_of_all_plugins_has_each_with_its_name_and_those_installed_later_and_resumes() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    api.register(&external_manifest("outside")).await.unwrap();
    let (one, two) = (api.run(&["tame"]).await, api.run(&["tame"]).await);
    for id in [&one, &two] {
        api.logs(id).await.until("connected").await;
    }
    let all = StreamLogsRequest { follow: true, tail_lines: Some(0), ..StreamLogsRequest::default() };
    let mut stream = api.logs_as(all.clone()).await.unwrap();
    let mut cursors = HashMap::new();
    while cursors.len() < 2 {
        let batch = stream.batch().await;
        assert!(batch.lines.is_empty() && batch.caught_up && batch.failure.is_none(), "{batch:?}");
        assert_eq!(batch.plugin_name, api.get(&batch.plugin_id).await.unwrap().name);
        cursors.insert(batch.plugin_id, batch.cursor.unwrap());
    }
    let late = api.run(&["tame"]).await;
    let mut seen = HashMap::new();
    while seen.get(&late).is_none_or(|texts: &Vec<String>| !texts.contains(&"connected".to_owned())) {
        let batch = stream.batch().await;
        let texts = seen.entry(batch.plugin_id).or_default();
        texts.extend(batch.lines.into_iter().map(|line| line.text));
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&late]);

    api.deactivate(&one).await.unwrap();
    let resumed = StreamLogsRequest { cursors: cursors.values().cloned().collect(), tail_lines: None, ..all };
    let mut stream = api.logs_as(resumed).await.unwrap();
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    let is_there = |seen: &HashMap<String, Vec<String>>, id: &String, text: &str| {
        seen.get(id).is_some_and(|texts| texts.iter().any(|line| line.starts_with(text)))
    };
    while !is_there(&seen, &one, "stopping") || !is_there(&seen, &late, "connected") {
        let batch = stream.batch().await;
        seen.entry(batch.plugin_id).or_default().extend(batch.lines.into_iter().map(|line| line.text));
    }
    assert!(!is_there(&seen, &one, "connected"), "after its cursor");
    assert!(is_there(&seen, &late, "pid"), "a new plugin from its beginning");
    assert!(!is_there(&seen, &two, ""), "nothing new");
}

#[tokio::test]
async fn what_a_stream_of_logs_can_not_be_asked_is_said() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (one, two) = (api.run(&["tame"]).await, api.run(&["tame"]).await);
    api.logs(&one).await.until("connected").await;
    let cursor = api.logs_as(history(&one)).await.unwrap().rest().await[0].cursor.clone();
    let with = |cursors: &[&String]| cursors.iter().map(|cursor| (*cursor).clone()).collect::<Vec<_>>();
    let bad = StreamLogsRequest::default();
    for (field, request) in [
        ("cursors", StreamLogsRequest { cursors: with(&[&cursor, &cursor]), ..bad.clone() }),
        ("cursors", StreamLogsRequest { cursors: with(&[&cursor]), ..history(&two) }),
        ("cursors", StreamLogsRequest { cursors: with(&[&one]), ..bad.clone() }),
        ("tail_lines", StreamLogsRequest { cursors: with(&[&cursor]), tail_lines: Some(1), ..bad.clone() }),
        ("stream", StreamLogsRequest { stream: 7, ..bad.clone() }),
        ("run_id", StreamLogsRequest { run_id: Some("x".to_owned()), ..bad.clone() }),
        (
            "since_time",
            StreamLogsRequest {
                since_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
                ..bad.clone()
            },
        ),
    ] {
        let refused = api.logs_as(request).await.err().unwrap();
        assert_eq!((refused.code(), field_violations(&refused)), (Code::InvalidArgument, vec![field.to_owned()]));
    }
}
