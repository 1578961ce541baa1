//! Names, positions, cursors.

use super::*;
use crate::logs::{
    folder::{self, CURRENT, next_name, oldest_kept, rotated},
    layout::NotACursor,
};

const NAME: &str = "output-2026-01-02T03-04-05.000.log";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn mk_layout() -> Layout {
    let segment =
        |name: &str, start, end| Segment { name: name.into(), inode: start, offset: 0, start, end, run: None };
    Layout { segments: vec![segment(NAME, 10, 20), segment(CURRENT, 30, 40)], head: 40, ..Layout::empty() }
}

fn mk_cursor(epoch: Epoch, position: u64) -> LogCursor {
    LogCursor { plugin: PluginId::from(xid::new()), epoch, position }
}

#[test]
fn a_cursor_survives_its_text_form_and_other_text_is_none() {
    let cursor = mk_cursor(xid::new(), u64::MAX);
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
    let id = "9m4e2mr0ui3e8a215n4g";
    for text in ["", "-", "1", id, &format!("{id}-{id}"), &format!("{id}-{id}-"), &format!("{id}-{id}-1-1"), "é-1-1"] {
        assert_eq!(text.parse::<LogCursor>(), Err(NotACursor), "{text}");
    }
}

#[test]
fn a_position_is_found_in_its_file_and_one_in_a_gap_in_the_next() {
    let start = |position| mk_layout().at(position).map(|segment| segment.start);
    assert_eq!([0, 10, 19, 20, 30, 39].map(start), [10, 10, 10, 30, 30, 30].map(Some));
    assert_eq!(start(40), None);
}

#[test]
fn a_cursor_of_another_history_or_outside_of_what_is_kept_has_no_position() {
    let layout = mk_layout();
    let after = |position| layout.after(mk_cursor(layout.epoch, position));
    assert_eq!([9, 10, 40, 41].map(after), [None, Some(10), Some(40), None]);
    assert_eq!(layout.after(mk_cursor(xid::new(), 15)), None);
}

#[test]
fn files_that_were_put_away_before_a_time_are_passed_over() {
    let since = |time| mk_layout().since(at(time));
    assert_eq!(["2026-01-02T03:04:04Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"].map(since), [10, 10, 30]);
}

#[test]
fn after_a_loss_and_for_another_run_the_current_file_goes_on_in_a_new_part() {
    let (mut layout, run) = (mk_layout(), RunId::from(xid::new()));
    assert!(!layout.begin_part(None));
    layout.head += 5;
    assert!(layout.begin_part(None));
    layout.grow(3);
    let last = layout.current().unwrap();
    assert_eq!((last.offset, last.start, last.end, layout.current_parts()), (10, 45, 48, 2));
    assert_eq!(layout.at(40).unwrap().start, 45);
    assert!(layout.begin_part(Some(run)) && !layout.begin_part(Some(run)) && !layout.begin_part(None));
    assert_eq!(layout.current().unwrap().run, Some(run));
}

#[test]
fn a_rotated_name_has_the_time_with_three_digits_of_milliseconds() {
    assert_eq!(rotated(at("2026-01-02T03:04:05Z")), NAME);
    assert_eq!(rotated(at("2026-01-02T03:04:05.0679Z")), "output-2026-01-02T03-04-05.067.log");
}

#[test]
fn only_names_that_a_rotation_gives_are_taken_for_rotated() {
    assert!(folder::is_rotated(NAME));
    for name in ["output.log", "output-debug.log", "output-2026-01-02T03-04-05.log", "x-2026-01-02T03-04-05.000.log"] {
        assert!(!folder::is_rotated(name), "{name}");
    }
}

#[test]
fn two_rotations_in_one_millisecond_and_a_clock_set_back_give_later_names() {
    let second = "output-2026-01-02T03-04-05.001.log";
    assert_eq!(next_name(at("2026-01-02T03:04:05Z"), Some(NAME)), second);
    assert_eq!(next_name(at("1999-01-02T03:04:05Z"), Some(NAME)), second);
    assert_eq!(next_name(at("2026-01-02T03:04:06Z"), Some(NAME)), "output-2026-01-02T03-04-06.000.log");
}

#[test]
fn age_is_read_from_the_name() {
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(oldest_kept(at("2026-01-03T03:04:05Z"), day), NAME);
    assert_eq!(oldest_kept(at("2026-01-03T03:04:05Z"), Duration::MAX), "output-1970-01-01T00-00-00.000.log");
}

#[test]
fn a_warning_is_due_now_and_then() {
    let fixture = Fixture::new(Options::default());
    let (output, start) = (fixture.logs.output(fixture.plugin), std::time::Instant::now());
    let is_due = |seconds| output.is_warning_due(start + Duration::from_secs(seconds));
    assert_eq!([0, 1, 9, 10, 11, 21].map(is_due), [true, false, false, true, false, true]);
}
