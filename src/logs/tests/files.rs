//! Rotation, retention, and cursors over both.

use super::*;

#[tokio::test]
async fn each_end_of_a_run_rotates_and_only_the_newest_files_are_kept() {
    let fixture = Fixture::new(Options::default());
    for run in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
        fixture.run(run).await;
    }
    let files = fixture.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|name| is_rotated(name)), "{files:?}");
    assert_eq!(fixture.texts(From::Start).await, ["c", "d", "e"]);
}

#[tokio::test]
async fn files_too_old_go_when_the_next_one_is_rotated() {
    let fixture = Fixture::new(Options::default());
    fs::create_dir(fixture.folder()).unwrap();
    fs::write(fixture.folder().join("output-2001-01-01T00-00-00.000.log"), "old\n").unwrap();
    fs::write(fixture.folder().join("output-mine.log"), "the plugin's own\n").unwrap();
    assert_eq!(fixture.texts(From::Start).await, ["old"]);
    fixture.run("new\n").await;
    assert_eq!(fixture.texts(From::Start).await, ["new"]);
    assert!(fixture.files().contains(&"output-mine.log".to_owned()));
}

#[tokio::test]
async fn a_file_rotates_before_it_grows_too_large_and_a_follower_misses_nothing() {
    let fixture = Fixture::small(1000);
    let mut stream = fixture.stream(From::Start, true);
    let mut pipe = fixture.capture();
    for start in (0..1000).step_by(50) {
        print(&mut pipe, &printed(start..start + 50)).await;
    }
    assert_eq!(texts(&take(&mut stream, 1000).await), numbers(0..1000));
    let sizes = fixture.layout().segments.iter().map(|segment| segment.end - segment.start).collect::<Vec<_>>();
    assert!(sizes.len() >= 39 && sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
}

#[tokio::test]
async fn every_cursor_resumes_after_its_line_over_rotations_and_a_restart() {
    let mut fixture = Fixture::small(500);
    fixture.run(&printed(0..40)).await;
    fixture.run("unfinished").await;
    let lines = fixture.lines(From::Start).await;
    for is_restarted in [false, true] {
        if is_restarted {
            fixture.restart();
        }
        fixture.run(&format!("restarted: {is_restarted}\n")).await;
        let all = fixture.lines(From::Start).await;
        assert_eq!(all[..lines.len()], lines);
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(fixture.lines(From::After(line.cursor)).await, all[index + 1..]);
        }
    }
}

#[tokio::test]
async fn what_an_earlier_plugd_left_unrotated_is_history_and_then_rotated() {
    let mut fixture = Fixture::new(Options::default());
    let mut pipe = fixture.capture();
    print(&mut pipe, "before\n").await;
    fixture.wait_for(|layout| layout.head > 0).await;
    let cursor = fixture.lines(From::Start).await[0].cursor;
    fixture.restart();
    assert_eq!(fixture.lines(From::Start).await[0].cursor, cursor);
    fixture.run("after\n").await;
    assert_eq!(fixture.texts(From::After(cursor)).await, ["after"]);
    assert_eq!(fixture.files().len(), 2);
}

#[tokio::test]
async fn a_cursor_that_is_no_longer_kept_starts_at_the_oldest_line_and_says_so() {
    let mut fixture = Fixture::new(Options { keep: 1, ..Options::default() });
    fixture.run("one\n").await;
    let cursor = fixture.lines(From::Start).await[0].cursor;
    fixture.run("two\n").await;
    assert!(!next(&mut fixture.stream(From::After(cursor), true)).await.lines_lost);
    fixture.run("three\n").await;
    let foreign = LogCursor { epoch: xid::new(), ..cursor };
    for cursor in [cursor, foreign] {
        let batch = next(&mut fixture.stream(From::After(cursor), true)).await;
        assert_eq!((texts(&batch.lines), batch.lines_lost), (vec!["three".to_owned()], true));
    }
    fs::remove_dir_all(fixture.folder()).unwrap();
    fixture.restart();
    let batch = next(&mut fixture.stream(From::After(cursor), true)).await;
    assert_eq!(told(&batch), (vec![], true, true));
}

#[tokio::test]
async fn positions_are_not_used_twice_when_the_newest_file_was_taken_away() {
    let mut fixture = Fixture::small(10_000);
    fixture.run("one\n").await;
    fixture.run("two\n").await;
    let cursor = fixture.lines(From::Start).await[1].cursor;
    fs::remove_file(fixture.folder().join(fixture.files().pop().unwrap())).unwrap();
    fixture.restart();
    fixture.run("a longer line\n").await;
    let batch = next(&mut fixture.stream(From::After(cursor), false)).await;
    assert!(batch.lines_lost);
}

#[tokio::test]
async fn a_cursor_whose_place_is_within_a_line_is_refused() {
    let fixture = Fixture::new(Options::default());
    fixture.run("one\ntwo\n").await;
    let lines = fixture.lines(From::Start).await;
    let after = lines[0].cursor;
    assert_eq!(fixture.lines(From::After(after)).await, lines[1..]);
    for position in [after.position - 1, after.position + 1, lines[1].cursor.position - 1] {
        let mut stream = fixture.stream(From::After(LogCursor { position, ..after }), false);
        let refused = timeout(DEADLINE, stream.next()).await.unwrap().unwrap().unwrap_err();
        assert!(refused.get_ref().unwrap().is::<NotACursor>(), "{position}: {refused}");
    }
}

#[tokio::test]
async fn a_line_of_another_program_that_is_read_in_pieces_is_resumed_after_any_of_them() {
    let fixture = Fixture::new(Options::default());
    fs::create_dir(fixture.folder()).unwrap();
    fs::write(fixture.folder().join("output.log"), format!("short\n{}\nlast", "é".repeat(100_000))).unwrap();
    let lines = fixture.lines(From::Start).await;
    assert!(lines.len() > 4 && lines[1].continues, "{}", lines.len());
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(fixture.lines(From::After(line.cursor)).await, lines[number + 1..]);
    }
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_after_older_files_have_gone() {
    let mut fixture = Fixture::new(Options { keep: 1, ..Options::default() });
    fixture.run("one\n").await;
    fixture.run("two\nthree\n").await;
    let lines = fixture.lines(From::Start).await;
    fixture.restart();
    assert_eq!(fixture.lines(From::After(lines[0].cursor)).await, lines[1..]);
}

#[tokio::test]
async fn a_reader_slower_than_the_files_are_kept_is_told_that_lines_are_lost() {
    let fixture = Fixture::new(Options { keep: 1, max_bytes: 500, ..Options::default() });
    fixture.run("one\n").await;
    let mut stream = fixture.stream(From::Start, true);
    assert_eq!(texts(&next(&mut stream).await.lines), ["one"]);
    fixture.run(&printed(0..100)).await;
    let batch = next(&mut stream).await;
    assert!(batch.lines_lost);
    assert_eq!(texts(&batch.lines).last().unwrap(), "99");
}

#[tokio::test]
async fn the_last_lines_are_found_over_several_files() {
    let fixture = Fixture::small(500);
    fixture.run(&printed(0..100)).await;
    fixture.run("\n\nlast").await;
    for (lines, expected) in [(0, 0), (1, 1), (3, 3), (4, 4), (50, 50), (103, 103), (104, 103), (u32::MAX, 103)] {
        let tail = fixture.texts(From::Tail(lines)).await;
        assert_eq!(tail.len(), expected, "{lines}");
        assert_eq!(tail, fixture.texts(From::Start).await[103 - expected..]);
    }
}

#[tokio::test]
async fn the_last_lines_are_found_in_a_file_of_many_blocks() {
    let fixture = Fixture::new(Options::default());
    fixture.run(&format!("{}{}\n", printed(0..100_000), "x".repeat(200_000))).await;
    assert_eq!(fixture.texts(From::Tail(30_001)).await[..30_000], numbers(70_000..100_000));
}

#[tokio::test]
async fn a_forged_file_of_positions_does_no_harm() {
    let mut fixture = Fixture::new(Options::default());
    fixture.run("one\n").await;
    let forged = [
        "",
        "{}",
        r#"{"epoch":"9m4e2mr0ui3e8a215n4g","parts":[{"inode":1,"start":18446744073709551615,"offset":0,"run":null}],"head":0}"#,
    ];
    for text in forged {
        fs::write(fixture.folder().join(".positions"), text).unwrap();
        fixture.restart();
        assert_eq!(fixture.texts(From::Start).await, ["one"]);
    }
}
