use super::*;
use crate::cli::{global::Output, ui::tests::mk_ui};

const HOSTILE: &str = "a\x1b]0;t\x07b\u{9b}2Jc\rd\te\u{202e}f\u{2066}g";

fn mk_printer(output: Output, is_terminal: bool) -> (Printer, crate::cli::ui::tests::Printed) {
    let (ui, printed) = mk_ui(output);
    (Printer { is_raw: !is_terminal, ..Printer::with_prefix(ui, String::new()) }, printed)
}

fn printed(output: Output, is_terminal: bool) -> String {
    let (mut printer, printed) = mk_printer(output, is_terminal);
    let line = LogLine { text: HOSTILE.into(), ..Default::default() };
    printer.print(&StreamLogsResponse::default(), &line).unwrap();
    printed.text()
}

#[test]
fn a_terminal_gets_nothing_that_it_would_obey() {
    assert_eq!(printed(Output::Table, true), "a ]0;t b 2Jc d\tefg\n");
}

#[test]
fn programs_and_files_get_the_line_as_it_is() {
    assert_eq!(printed(Output::Table, false), format!("{HOSTILE}\n"));
    for is_terminal in [false, true] {
        let line: serde_json::Value = serde_json::from_str(&printed(Output::Json, is_terminal)).unwrap();
        assert_eq!(line["text"], HOSTILE);
    }
}

#[test]
fn names_have_a_column_as_wide_as_the_widest_so_far_and_times_stand_behind_it() {
    let (mut printer, printed) = mk_printer(Output::Table, false);
    (printer.has_names, printer.has_times) = (true, true);
    let time = Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 6_000_000 });
    for name in ["long name", "näme", "x", &"w".repeat(30)] {
        let from = StreamLogsResponse { plugin_name: name.to_owned(), ..Default::default() };
        printer.print(&from, &LogLine { text: "hi".into(), time, ..Default::default() }).unwrap();
    }
    let expected = "long name | 2026-01-02T03:04:05.006Z hi\nnäme      | 2026-01-02T03:04:05.006Z hi\n\
                    x         | 2026-01-02T03:04:05.006Z hi\n";
    let last = format!("{} | 2026-01-02T03:04:05.006Z hi\n", "w".repeat(30));
    assert_eq!(printed.text(), format!("{expected}{last}"));
}

#[test]
fn since_is_how_long_ago_or_a_time() {
    let at = since("2026-01-02T03:04:05Z").unwrap();
    assert_eq!(at.to_string(), "2026-01-02T03:04:05Z");
    let then = since("1h30m").unwrap();
    let ago = Timestamp::now().duration_since(then);
    assert!((90 * 60..91 * 60).contains(&ago.as_secs()), "{ago}");
    for text in ["", "x", "-10m", "yesterday"] {
        assert!(since(text).unwrap_err().contains("10m"), "{text}");
    }
}

#[test]
fn a_stream_resumes_each_plugin_where_it_was() {
    let request = StreamLogsRequest { tail_lines: Some(10), follow: true, ..Default::default() };
    let mut lines = Lines::new(request, mk_printer(Output::Table, true).0);
    for (id, cursor) in [("a", Some("a1")), ("b", Some("b1")), ("a", Some("a2")), ("b", None)] {
        let (plugin_id, cursor) = (id.to_owned(), cursor.map(str::to_owned));
        lines.take(StreamLogsResponse { plugin_id, cursor, ..Default::default() }).unwrap();
    }
    assert!(lines.broken(&Status::unavailable("draining")));
    lines.request.cursors.sort();
    assert_eq!((&*lines.request.cursors, lines.request.tail_lines), (&["a2".to_owned(), "b1".to_owned()][..], None));
}
