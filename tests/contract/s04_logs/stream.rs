//! What is on the wire, and when.

use super::{printing, raw::Raw, run};
use crate::harness::{Plugd, external_manifest};

#[tokio::test]
async fn the_headers_are_these_and_come_before_any_line_4() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let raw = Raw::open(&plugd, &id).await;
    assert!(raw.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", raw.head);
    assert_eq!(raw.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(raw.header("cache-control"), Some("no-cache"));
    assert_eq!(raw.header("connection"), Some("keep-alive"));
    assert_eq!(raw.body, "");
}

/// Both outputs come in the order in which plugd gets them. The script goes on to the other one when what it printed has
/// arrived: of what is in two pipes at once nobody can say which was first.
#[tokio::test]
async fn a_line_is_data_and_an_empty_line_and_both_outputs_come_as_they_were_written_4() {
    let plugd = Plugd::start().await;
    let arrived = |line: &str| format!("until grep -qs ' {line}$' logs/output.log; do :; done");
    let script = [
        "echo one",
        &arrived("one"),
        "echo two >&2",
        &arrived("two"),
        "echo; echo '  three: x '",
        &arrived("x "),
        "echo four >&2",
        &arrived("four"),
        "echo \u{e9}",
    ];
    let id = printing(&plugd, &script.join("\n")).await;
    run(&plugd, &id).await;
    let mut raw = Raw::open(&plugd, &id).await;
    let start = "data: one\n\ndata: two\n\ndata: \n\ndata:   three: x \n\ndata: four\n\ndata: \u{e9}\n\ndata: pid ";
    let body = raw.until("data: stopping: SIGINT\n\n").await;
    assert!(body.starts_with(start), "{body}");
}

#[tokio::test]
async fn the_stream_waits_for_a_first_run_and_stays_open_while_nothing_runs_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo run").await;
    let mut raw = Raw::open(&plugd, &id).await;
    for runs in 1..=2 {
        run(&plugd, &id).await;
        raw.until("data: stopping: SIGINT\n\n").await;
        assert_eq!(raw.lines().iter().filter(|line| **line == "run").count(), runs);
        raw.body.push_str(": seen\n\n");
    }
}

#[tokio::test]
async fn a_line_that_is_printed_in_parts_is_one_event_4() {
    let plugd = Plugd::start().await;
    let fifo = plugd.scratch().join("go-on");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let id = printing(&plugd, &format!("echo whole; printf par; cat '{}'; echo tial", fifo.display())).await;
    let mut raw = Raw::open(&plugd, &id).await;
    plugd.api().begin(&id).await;
    raw.until("data: whole\n\n").await;
    // The first part is in the pipe for certain once the script waits for the second.
    tokio::fs::OpenOptions::new().write(true).open(&fifo).await.unwrap();
    raw.until("connected\n\n").await;
    assert!(raw.lines().contains(&"partial"), "{}", raw.body);
}

#[tokio::test]
async fn the_last_words_of_a_process_come_even_without_a_line_break_4() {
    let plugd = Plugd::with(&[("PLUGIN_MAX_RESTART_ATTEMPTS", "0")]).await;
    let id = printing(&plugd, "printf 'last words'; exit 3").await;
    let mut raw = Raw::open(&plugd, &id).await;
    plugd.rest().set_active(&id, "active").await.problem(502);
    assert_eq!(raw.until("words\n\n").await, "data: last words\n\n");
}

/// A live reader, through dozens of rotations, and one that comes after them.
#[tokio::test]
async fn no_line_is_missed_or_repeated_at_a_rotation_4() {
    const LINES: usize = 4000;
    let plugd = Plugd::with(&[("PLUGD_LOG_MAX_BYTES", "8KiB"), ("PLUGD_LOG_KEEP", "100")]).await;
    let id = printing(&plugd, &format!("seq -f 'line %.0f' 1 {LINES}; echo all")).await;
    let mut live = Raw::open(&plugd, &id).await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    let mut late = Raw::open(&plugd, &id).await;
    let expected: Vec<_> = (1..=LINES).map(|number| format!("line {number}")).collect();
    for raw in [&mut live, &mut late] {
        raw.until("connected\n\n").await;
        assert_eq!(super::beginning(&raw.lines(), "line "), expected);
    }
    let rotated = plugd.files().iter().filter(|name| name.contains("/logs/output-")).count();
    assert!(rotated > 3, "{rotated} rotations");
}

/// The scanner of the reference gives up at 64 KiB, and with it the rest of the file.
#[tokio::test]
async fn a_line_of_any_length_is_one_event_and_what_follows_it_comes_4() {
    let plugd = Plugd::start().await;
    let lengths = [65_535, 65_536, 65_537, 100_000, 1_000_000];
    let script: String =
        lengths.iter().map(|length| format!("head -c {length} /dev/zero | tr '\\0' x; echo;")).collect();
    let id = printing(&plugd, &format!("{script} echo after")).await;
    let mut raw = Raw::open(&plugd, &id).await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    raw.until("connected\n\n").await;
    let lines = raw.lines();
    let seen: Vec<_> = super::beginning(&lines, "x").iter().map(|line| line.len()).collect();
    assert_eq!(seen, lengths);
    assert!(lines.contains(&"after"));
}

#[tokio::test]
async fn the_end_is_an_event_of_its_own_with_empty_data_and_comes_when_the_plugin_is_deleted_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo here").await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    let mut raw = Raw::open(&plugd, &id).await;
    raw.until("data: connected\n\n").await;
    assert_eq!(plugd.rest().delete(&format!("/api/plugins/{id}")).await.status, 204);
    let body = raw.rest().await;
    assert!(body.ends_with("\n\nevent: end\ndata:\n\n"), "{body}");
    assert_eq!(body.matches("event:").count(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_stream_begins_4() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let rest = plugd.rest();
    let problem = rest.get(&format!("/api/plugins/{external}/logs")).await.problem(400);
    assert_eq!(problem["error"], "external_plugin");
    rest.get("/api/plugins/9m4e2mr0ui3e8a215n4g/logs").await.problem(404);
}
