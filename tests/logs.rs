//! What plugins print: history, live, resumed by cursor, as events.

use plugd::api::v1::StreamLogsRequest;
use tonic::Code;

use crate::harness::{Plugd, external_manifest, field_violations, reason};

fn history(id: &str) -> StreamLogsRequest {
    StreamLogsRequest { plugin_id: id.to_owned(), ..Default::default() }
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
        let request = StreamLogsRequest { after: line.cursor.clone(), follow: true, ..history(&id) };
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

    let request = StreamLogsRequest { tail_lines: 5, ..history(&id) };
    let tail = api.logs_as(request).await.unwrap().rest().await;

    assert_eq!(tail, all[all.len() - 5..]);
    let request = StreamLogsRequest { tail_lines: 5, after: tail[0].cursor.clone(), ..history(&id) };
    assert_eq!(api.logs_as(request).await.err().unwrap().code(), Code::InvalidArgument);
    let request = StreamLogsRequest { after: "no cursor".to_owned(), ..history(&id) };
    let refused = api.logs_as(request).await.err().unwrap();
    assert_eq!((refused.code(), field_violations(&refused)), (Code::InvalidArgument, vec!["after".to_owned()]));
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
    let request = StreamLogsRequest { tail_lines: 1, ..history(&id) };
    let kept = api.logs_as(request).await.unwrap().rest().await;
    api.restart(&id).await.unwrap();
    let mut log =
        api.logs_as(StreamLogsRequest { after: kept[0].cursor.clone(), follow: true, ..history(&id) }).await.unwrap();
    log.until("flooded").await;
    let request = StreamLogsRequest { after: kept[0].cursor.clone(), ..history(&id) };
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
