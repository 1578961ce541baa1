//! Disks that fail, files that are tampered with, plugins that are deleted.

use std::{os::unix::fs::symlink, path::Path};

use super::*;

#[tokio::test]
async fn a_disk_that_takes_nothing_does_not_hold_up_the_plugin() {
    let fixture = Fixture::new(Options::default());
    fs::remove_dir(fixture.plugin_dir()).unwrap();
    fs::write(fixture.plugin_dir(), "a file where the plugin's directory should be").unwrap();
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    assert!(timeout(DEADLINE, stream.next()).await.unwrap().unwrap().is_err());
    print(&mut pipe, &printed(0..500_000)).await;
    // Or the last line may be dropped with those before it, which waited too long on a machine that is busy.
    let output = fixture.logs.output(fixture.plugin);
    let all_are_lost = async {
        while output.lost() < 500_000 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, all_are_lost).await.unwrap();
    fs::remove_file(fixture.plugin_dir()).unwrap();
    fs::create_dir(fixture.plugin_dir()).unwrap();
    print(&mut pipe, "back\n").await;
    drop(pipe);
    // What was lost has positions before any file is there.
    fixture.wait_for(|layout| !layout.segments.is_empty() && layout.current().is_none()).await;
    assert_eq!(fixture.texts(From::Start).await, ["back"]);
    assert_eq!(output.lost(), 500_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_does_not_hold_up_the_plugin() {
    let fixture = Fixture::new(Options::default());
    let output = fixture.logs.output(fixture.plugin);
    let (held, release) = (tokio::sync::oneshot::channel::<()>(), std::sync::mpsc::channel::<()>());
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    print(&mut pipe, "0\n").await;
    take(&mut stream, 1).await;
    let hang = std::thread::spawn(move || output.hang(held.0, &release.1));
    held.1.await.unwrap();
    print(&mut pipe, &printed(1..1_000_000)).await;
    assert!(fixture.logs.output(fixture.plugin).lost() > 0);
    release.0.send(()).unwrap();
    hang.join().unwrap();
    drop(pipe);
    fixture.wait_for(|layout| layout.head > 0 && layout.current().is_none()).await;
    let written = fixture.texts(From::Start).await.len() as u64;
    assert_eq!(written + fixture.logs.output(fixture.plugin).lost(), 1_000_000);
    let (mut expected, mut read) = (1, 1);
    while read < written {
        let batch = next(&mut stream).await;
        let numbers: Vec<u64> = batch.lines.iter().map(|line| line.text.parse().unwrap()).collect();
        let Some(first) = numbers.first() else { continue };
        assert_eq!(batch.lines_lost, *first != expected, "at {first} instead of {expected}");
        assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "a gap inside a batch");
        (expected, read) = (numbers.last().unwrap() + 1, read + numbers.len() as u64);
    }
    assert!(expected > written, "there was a gap");
}

#[tokio::test]
async fn lines_that_the_disk_did_not_take_leave_a_gap_that_followers_see() {
    let fixture = Fixture::small(50);
    let aside = fixture.dir.path().join("aside");
    let mut stream = fixture.stream(From::Start, true);
    fixture.append(0, "one\n");
    let one = take(&mut stream, 1).await.remove(0);
    // The file is full, and there is no folder for the next one.
    fs::rename(fixture.plugin_dir(), &aside).unwrap();
    fs::write(fixture.plugin_dir(), "").unwrap();
    fixture.append(0, "two\n");
    assert_eq!(told(&next(&mut stream).await), (vec![], true, false));
    fixture.append(0, "three\n");
    fs::remove_file(fixture.plugin_dir()).unwrap();
    fs::rename(aside, fixture.plugin_dir()).unwrap();
    fixture.append(0, "four\n");
    let batch = next(&mut stream).await;
    assert_eq!((texts(&batch.lines), batch.lines_lost), (vec!["four".to_owned()], true));
    let resumed = next(&mut fixture.stream(From::After(one.cursor), false)).await;
    assert_eq!(resumed, LogBatch { caught_up: true, ..batch });
    assert_eq!(fixture.logs.output(fixture.plugin).lost(), 2);
}

#[tokio::test]
async fn a_gap_inside_a_file_stays_where_it_is() {
    let mut fixture = Fixture::new(Options::default());
    let output = fixture.logs.output(fixture.plugin);
    fixture.append(0, "one\ntwo\n");
    fixture.append(100, "three\nfour\n");
    fixture.append(0, "five\n");
    let lines = fixture.lines(From::Start).await;
    for is_rotated in [false, true] {
        if is_rotated {
            output.finish(50);
            let end = next(&mut fixture.stream(From::After(lines[4].cursor), true)).await;
            assert_eq!(told(&end), (vec![], true, true));
        }
        for _ in ["as it is", "after a restart"] {
            assert_eq!(fixture.files().len(), 1);
            assert_eq!(texts(&lines), ["one", "two", "three", "four", "five"]);
            assert_eq!(fixture.lines(From::Start).await, lines);
            assert_eq!(fixture.lines(From::Tail(4)).await, lines[1..]);
            assert_eq!(fixture.lines(From::After(lines[2].cursor)).await, lines[3..]);
            for (index, is_lossy) in [(0, false), (1, true), (2, false)] {
                let batch = next(&mut fixture.stream(From::After(lines[index].cursor), true)).await;
                assert_eq!(batch.lines_lost, is_lossy, "{index}");
            }
            fixture.restart();
        }
    }
    assert_eq!(fixture.layout().head, lines[4].cursor.position + 50);
}

#[tokio::test]
async fn many_gaps_do_not_make_a_file_of_many_parts() {
    let fixture = Fixture::new(Options { keep: 100, ..Options::default() });
    for number in 0..100 {
        fixture.append(1, &format!("{number}\n"));
    }
    assert_eq!(fixture.texts(From::Start).await, numbers(0..100));
    assert!(fixture.files().len() > 2 && fixture.layout().current_parts() <= 32);
}

/// It is plugd's, and what a plugin puts there does not cost it its log.
#[tokio::test]
async fn what_is_in_place_of_the_folder_is_neither_followed_nor_kept() {
    let elsewhere = TempDir::new().unwrap();
    let stand_ins: [&dyn Fn(&Path); 3] =
        [&|path| symlink(elsewhere.path(), path).unwrap(), &|path| fs::write(path, "").unwrap(), &mk_fifo];
    for stand_in in stand_ins {
        let fixture = Fixture::new(Options::default());
        stand_in(&fixture.folder());
        assert_eq!(fixture.texts(From::Start).await, Vec::<String>::new());
        fixture.run("one\n").await;
        assert_eq!(fixture.texts(From::Start).await, ["one"]);
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_link_or_a_pipe_in_place_of_the_file_is_replaced() {
    let fixture = Fixture::new(Options::default());
    fs::create_dir(fixture.folder()).unwrap();
    let (target, current) = (fixture.plugin_dir().join("target"), fixture.folder().join("output.log"));
    fs::write(&target, "mine\n").unwrap();
    symlink(&target, &current).unwrap();
    assert_eq!(fixture.texts(From::Start).await, Vec::<String>::new());
    fixture.run("one\n").await;
    mk_fifo(&current);
    fixture.run("two\n").await;
    fs::hard_link(&target, &current).unwrap();
    fixture.run("three\n").await;
    assert_eq!(fixture.texts(From::Start).await, ["one", "two", "three"]);
    assert_eq!(fs::read_to_string(target).unwrap(), "mine\n");
}

/// One spoiled file would hide what the others have until it is rotated out.
#[tokio::test]
async fn a_pipe_in_place_of_a_rotated_file_is_a_gap_before_the_others() {
    let fixture = Fixture::small(50);
    ["one\n", "two\n", "three\n"].iter().for_each(|line| fixture.append(0, line));
    let names = fs::read_dir(fixture.folder()).unwrap().map(|entry| entry.unwrap().path());
    let oldest = names.filter(|path| path.to_string_lossy().contains("output-")).min().unwrap();
    fs::remove_file(&oldest).unwrap();
    mk_fifo(&oldest);
    assert_eq!(fixture.texts(From::Start).await, ["two", "three"]);
}

fn mk_fifo(path: &Path) {
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::RUSR, 0).unwrap();
}

#[tokio::test]
async fn a_file_taken_away_or_emptied_while_it_is_written_is_followed_by_a_new_one() {
    let fixture = Fixture::new(Options::default());
    let current = fixture.folder().join("output.log");
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    print(&mut pipe, "one\n").await;
    take(&mut stream, 1).await;
    fs::remove_file(&current).unwrap();
    print(&mut pipe, "two\n").await;
    assert_eq!(texts(&take(&mut stream, 1).await), ["two"]);
    fs::File::create(&current).unwrap();
    print(&mut pipe, "three\n").await;
    assert_eq!(texts(&take(&mut stream, 1).await), ["three"]);
    fs::remove_dir_all(fixture.folder()).unwrap();
    print(&mut pipe, "four\n").await;
    assert_eq!(texts(&take(&mut stream, 1).await), ["four"]);
    assert_eq!(fixture.texts(From::Start).await, ["four"]);
}

#[tokio::test]
async fn a_removed_plugin_ends_its_streams_and_its_folder_does_not_come_back() {
    let fixture = Fixture::new(Options::default());
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    print(&mut pipe, "one\n").await;
    take(&mut stream, 1).await;
    let output = fixture.logs.output(fixture.plugin);
    fixture.logs.remove(fixture.plugin);
    assert!(timeout(DEADLINE, stream.next()).await.unwrap().is_none());
    fs::remove_dir_all(fixture.plugin_dir()).unwrap();
    print(&mut pipe, "two\n").await;
    drop(pipe);
    drop(stream);
    wait_until(|| Arc::strong_count(&output) == 1).await;
    assert!(!fixture.plugin_dir().exists());
}

#[tokio::test]
async fn a_huge_file_in_the_folder_is_neither_searched_to_its_end_nor_counted_with() {
    let fixture = Fixture::new(Options::default());
    fs::create_dir(fixture.folder()).unwrap();
    let inflate = |name: &str, length| {
        fs::File::create(fixture.folder().join(name)).unwrap().set_len(length).unwrap();
    };
    inflate("output-2026-01-01T00-00-00.000.log", folder::MAX_LENGTH + 1);
    inflate("output-2026-01-01T00-00-00.001.log", folder::MAX_LENGTH);
    assert_eq!(fixture.layout().head, folder::MAX_LENGTH);
    fixture.append(0, "one\n");
    assert_eq!(fixture.texts(From::Tail(10)).await, ["one"]);
}

#[tokio::test]
async fn of_a_folder_with_very_many_files_the_newest_are_known() {
    let fixture = Fixture::new(Options { keep: usize::MAX, max_age: Duration::MAX, ..Options::default() });
    fs::create_dir(fixture.folder()).unwrap();
    let name = |number: usize| format!("output-2026-01-01T00-{:02}-{:02}.000.log", number / 60, number % 60);
    for number in 0..=folder::MAX_ROTATED {
        fs::write(fixture.folder().join(name(number)), format!("{number}\n")).unwrap();
    }
    let lines = fixture.texts(From::Start).await;
    assert_eq!((lines.len(), lines[0].as_str()), (folder::MAX_ROTATED, "1"));
    fixture.run("new\n").await;
    let files = fixture.files();
    assert!(files.len() <= folder::MAX_ROTATED + 1 && !files.contains(&name(2)), "{} files", files.len());
}
