use super::*;

const DAY: i64 = 86400;

fn line(text: &str, seconds: i64, run: &str) -> LogLine {
    LogLine {
        text: text.to_owned(),
        time: Some(prost_types::Timestamp { seconds, nanos: 5_000_000 }),
        stream: LogStream::Stdout.into(),
        run_id: Some(run.to_owned()),
        ..LogLine::default()
    }
}

fn batch(plugin: &str, lines: Vec<LogLine>) -> StreamLogsResponse {
    StreamLogsResponse {
        lines,
        plugin_id: plugin.to_owned(),
        plugin_name: format!("<{plugin}>"),
        ..StreamLogsResponse::default()
    }
}

/// The texts that are shown, in order, of batches that came together.
fn shown(limit: usize, searched: &str, batches: Vec<StreamLogsResponse>) -> Vec<String> {
    let mut lines = Lines::new(searched.to_owned(), limit);
    batches.into_iter().for_each(|batch| lines.take(batch, &mut Place::default()));
    texts(&lines.show(&mut Place::default(), None).0)
}

/// What stands in each line and mark but the time.
fn texts(markup: &str) -> Vec<String> {
    let parts = markup.split("<span class=\"text\">").skip(1);
    parts.map(|part| part.split("</span></div>").next().unwrap().to_owned()).collect()
}

#[test]
fn a_line_has_its_time_its_stream_its_plugin_and_its_text() {
    let mut error = line("<b>\u{1b}[31mbad", 3723, "r");
    error.stream = LogStream::Stderr.into();
    let mut lines = Lines::new(String::new(), 10);
    lines.take(batch("p", vec![error]), &mut Place::default());
    let names = Names::new(vec!["p".to_owned()]);
    let markup = lines.show(&mut Place::default(), Some(&names)).0;
    assert_eq!(
        markup,
        "<div class=\"batch\"><div class=\"mark day\">Thursday, 1 January 1970 (UTC)</div>\
         <div class=\"line err p0\"><span class=\"at\">01:02:03.005</span> <b title=\"&lt;p&gt;\">&lt;p&gt;</b> \
         <abbr title=\"standard error\">err</abbr> <span class=\"text\">&lt;b&gt;<span class=\"f1\">bad</span></span></div></div>"
    );
}

#[test]
fn several_plugins_are_merged_by_time_and_each_stays_in_order() {
    let one = batch("a", vec![line("a1", 1, "r"), line("a4", 4, "r"), line("a-clock-went-back", 2, "r")]);
    let other = batch("b", vec![line("b3", 3, "r"), line("b5", 5, "r")]);
    assert_eq!(shown(10, "", vec![one, other]), ["a1", "b3", "a4", "a-clock-went-back", "b5"]);
}

#[test]
fn the_latest_lines_stay() {
    let lines =
        |plugin: &str, from: i64| batch(plugin, (from..from + 200).map(|n| line(&n.to_string(), n, "r")).collect());
    assert_eq!(shown(3, "", vec![lines("a", 200), lines("c", 400), lines("b", 0)]), ["597", "598", "599"]);
}

#[test]
fn a_page_has_no_more_letters_than_fit() {
    let long = "x".repeat(1 << 20);
    let lines = (0..100).map(|n| batch("a", vec![line(&format!("{n}{long}"), n, "r")])).collect();
    let shown = shown(1000, "", lines);
    assert_eq!(shown.len(), 7);
    assert!(shown[6].starts_with("99x"));
}

#[test]
fn lines_without_what_is_searched_are_left_out() {
    let lines = vec![line("an \u{1b}[1mER\u{1b}[0mROR", 1, "r"), line("fine", 2, "r"), line("\u{1b}[31m", 3, "r")];
    assert_eq!(
        shown(10, "error", vec![batch("a", lines)]),
        ["an <span class=\"bold\"><mark>ER</mark></span><mark>ROR</mark>"]
    );
}

#[test]
fn runs_and_days_and_what_is_lost_stand_between_lines_once() {
    let mut place = Place::default();
    let mut show = |batches: Vec<StreamLogsResponse>| {
        let mut lines = Lines::new(String::new(), 10);
        batches.into_iter().for_each(|batch| lines.take(batch, &mut Place::default()));
        let markup = lines.show(&mut place, None).0;
        // As a browser that connects again sends it.
        place = Place::read(&place.to_string()).unwrap();
        markup.split("<div class=\"").skip(2).map(|part| part.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let lost = StreamLogsResponse { lines_lost: true, ..batch("a", vec![line("3", 3, "r2")]) };
    assert_eq!(show(vec![batch("a", vec![line("1", 1, "r1"), line("2", 2, "r1")])]), ["mark day", "line", "line"]);
    assert_eq!(show(vec![lost]), ["mark lost", "mark run", "line"]);
    assert_eq!(
        show(vec![batch("a", vec![line("4", DAY, "r2"), line("5", DAY, "r3")])]),
        ["mark day", "line", "mark run", "line"]
    );
    assert_eq!(show(vec![batch("b", vec![line("6", DAY, "x1")])]), ["line"]);
}

#[test]
fn why_nothing_more_comes_is_said() {
    let failed = StreamLogsResponse { failure: Some("<no> disk\u{202e}".to_owned()), ..batch("a", Vec::new()) };
    let mut lines = Lines::new("x".to_owned(), 10);
    lines.take(failed, &mut Place::default());
    let markup = lines.show(&mut Place::default(), Some(&Names::new(Vec::new()))).0;
    assert_eq!(
        markup,
        "<div class=\"batch\"><div class=\"mark lost\">&lt;a&gt;: nothing more comes: &lt;no&gt; disk</div></div>"
    );
}

/// A line of a mebibyte comes in pieces of 64 KiB, and what it is drawn with is no attack on those who look.
#[test]
fn a_very_long_line_is_shown_in_pieces() {
    let piece = LogLine { continues: true, ..line(&"\u{1b}[31m<".repeat(10_000), 1, "r") };
    let pieces = vec![piece; 16];
    let mut lines = Lines::new(String::new(), 100);
    lines.take(batch("a", pieces), &mut Place::default());
    let markup = lines.show(&mut Place::default(), None).0;
    assert_eq!(markup.matches("↩").count(), 16);
    assert_eq!(markup.matches("class=\"f1\"").count(), 16);
    assert!(!markup.contains("<<"));
}

/// Each of its letters is found, and each has a colour of its own: the time for that grows as the line does.
#[test]
fn a_line_that_is_all_colours_and_all_found_is_shown_in_time() {
    let text = "\u{1b}[31mx\u{1b}[32mx".repeat(64 * 1024 / 12);
    let mut lines = Lines::new("x".to_owned(), 100);
    lines.take(batch("a", vec![line(&text, 1, "r"); 4]), &mut Place::default());
    let markup = lines.show(&mut Place::default(), None).0;
    assert_eq!(markup.matches("<mark>x</mark>").count(), 4 * 2 * (64 * 1024 / 12));
}
