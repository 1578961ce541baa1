use prost_types::Timestamp as Time;
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::cli::top::state::tests::{mk, mk_top, mk_used, press};

/// What is on a screen of this size, line by line.
fn screen(top: &mut Top, (width, height): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let now = Timestamp::from_second(10_000).unwrap();
    terminal.draw(|frame| draw(frame, top, now)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn mk_some() -> Top {
    let mut greeter = mk("d0000000000000000001", "Greeter", ReportedState::Active);
    let status = greeter.status.as_mut().unwrap();
    (status.pid, status.state_time) = (Some(4711), Some(Time { seconds: 9_815, nanos: 0 }));
    let mut top = mk_top([
        greeter.clone(),
        mk("d0000000000000000002", "Evil \x1b[2J\u{202e}", ReportedState::Error),
        mk("d0000000000000000003", "Idle", ReportedState::Inactive),
    ]);
    top.sampled(vec![mk_used(&greeter, 123, 12_897_485)]);
    top
}

#[test]
fn a_screen_of_the_usual_size_has_it_all() {
    let mut top = mk_some();
    let lines = screen(&mut top, (80, 24));
    assert_eq!(lines[0], "plugd http://127.0.0.1:8000  3 plugins  1 active  1 error  1 inactive");
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(1), ["NAME", "STATE", "SINCE", "RESTARTS", "CPU", "MEMORY", "PID", "FAILURE"]);
    assert!(lines[2].starts_with("Evil") && lines[2].ends_with("exit status 1"), "{lines:#?}");
    assert_eq!(words(3), ["Greeter", "active", "3m05s", "12.3%", "12.3M", "4711"]);
    assert_eq!(words(4)[..2], ["Idle", "inactive"]);
    assert!(lines[22].starts_with("d0000000000000000002 Evil") && lines[22].ends_with("exit status 1"), "{lines:#?}");
    assert_eq!(lines[23], format!("{HINT}  by name"));
    assert!(lines.iter().all(|line| !line.contains(['\x1b', '\u{202e}'])), "{lines:#?}");
}

#[test]
fn no_size_is_too_small_and_no_mode_too_large() {
    for size in [(20, 5), (80, 24), (1, 1), (300, 2), (3, 100), (63, 10)] {
        let mut top = mk_some();
        screen(&mut top, size);
        for keys in ["l", "?", "x", "/abc"] {
            press(&mut top, keys);
            top.log_line("a line that is longer than the screen is wide \u{1f600}\u{1f600}");
            screen(&mut top, size);
        }
        top.replace(Default::default());
        screen(&mut top, size);
    }
    let lines = screen(&mut mk_some(), (20, 5));
    assert!(lines[1].starts_with("NAME") && lines[2].starts_with("Evil"), "{lines:#?}");
}

#[test]
fn a_connection_that_broke_is_seen() {
    let mut top = mk_some();
    top.connection = Connection::Broken("it \x1b[2Jis gone".to_owned());
    let lines = screen(&mut top, (80, 24));
    assert!(lines[0].contains("RECONNECTING: it ") && lines[0].contains("is gone"), "{lines:#?}");
    assert!(lines[3].starts_with("Greeter"), "what was known is shown still");
}

#[test]
fn a_log_has_the_lower_half_and_ends_with_the_newest_line() {
    let mut top = mk_some();
    press(&mut top, "jl");
    (0..500).for_each(|number| top.log_line(&format!("line {number}")));
    let lines = screen(&mut top, (80, 24));
    let at = lines.iter().position(|line| line.contains(" log of Greeter ")).unwrap();
    assert!((10..14).contains(&at), "{lines:#?}");
    assert_eq!((lines[21].as_str(), lines[at + 1].as_str()), ("line 499", &*format!("line {}", 499 - (20 - at))));
    top.key(ratatui::crossterm::event::KeyCode::PageUp.into());
    let lines = screen(&mut top, (80, 24));
    assert_eq!(lines[21], "line 489");
    assert!(lines[at].contains("10 lines back"), "{lines:#?}");
}

#[test]
fn the_last_line_has_the_filter_or_what_was_refused() {
    let mut top = mk_some();
    press(&mut top, "/gre");
    assert!(screen(&mut top, (80, 24))[23].starts_with("/gre_"));
    top.key(ratatui::crossterm::event::KeyCode::Enter.into());
    let lines = screen(&mut top, (80, 24));
    assert!(lines[23].starts_with("/gre  s start") && lines[2].starts_with("Greeter") && lines[3].is_empty());
    top.note("no \x1b[2Jsuch thing");
    let last = screen(&mut top, (80, 24)).pop().unwrap();
    assert!(last.starts_with("no ") && last.ends_with("such thing"), "{last}");
    press(&mut top, "?");
    let help = screen(&mut top, (80, 24)).join("\n");
    assert!(help.contains("start, stop, restart it") && help.contains("Ctrl-C"), "{help}");
}

#[test]
fn nothing_is_coloured_where_nothing_shall_be() {
    let mut top = mk_some();
    let has_colors = |top: &mut Top| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, top, Timestamp::UNIX_EPOCH)).unwrap();
        terminal.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset)
    };
    assert!(has_colors(&mut top));
    top.is_colored = false;
    assert!(!has_colors(&mut top));
}

#[test]
fn times_and_sizes_are_short() {
    let ages = [0, 59, 60, 3599, 3600, 86_399, 86_400, 999 * 86_400].map(|ago| age(-ago, Timestamp::UNIX_EPOCH));
    assert_eq!(ages, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d0h", "999d0h"]);
    assert_eq!(age(5, Timestamp::UNIX_EPOCH), "0s", "clocks differ");
    let sizes = [0, 1023, 1024, 12_897_485, u64::MAX].map(short_bytes);
    assert_eq!(sizes, ["0B", "1023B", "1.0K", "12.3M", "16777215.9T"]);
}
