use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::{Sender, pipe},
    time::timeout,
};

use super::*;
use crate::logs::layout::Layout;

const DEADLINE: Duration = Duration::from_secs(20);

type Batches = Pin<Box<dyn Stream<Item = io::Result<LogBatch>> + Send>>;

struct Fixture {
    dir: TempDir,
    logs: Logs,
    plugin: PluginId,
    options: Options,
}

impl Fixture {
    fn new(options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let plugin = PluginId::from(xid::new());
        fs::create_dir(dir.path().join(plugin.to_string())).unwrap();
        Self { logs: Logs::new(dir.path().to_owned(), options), dir, plugin, options }
    }

    fn small(max_bytes: u64) -> Self {
        Self::new(Options { max_bytes, keep: 1000, ..Options::default() })
    }

    /// The same folder after a restart of plugd.
    fn restart(&mut self) {
        self.logs = Logs::new(self.dir.path().to_owned(), self.options);
    }

    fn plugin_dir(&self) -> PathBuf {
        self.dir.path().join(self.plugin.to_string())
    }

    fn folder(&self) -> PathBuf {
        self.plugin_dir().join("logs")
    }

    fn capture(&self) -> Sender {
        let (sender, receiver) = pipe().unwrap();
        self.logs.capture(self.plugin, receiver);
        sender
    }

    /// A whole run that prints this; returns when its file is put away.
    async fn run(&self, text: &str) {
        let line_break = u64::from(!text.ends_with('\n'));
        let head = self.layout().head + text.len() as u64 + line_break;
        let mut pipe = self.capture();
        print(&mut pipe, text).await;
        drop(pipe);
        self.wait_for(|layout| layout.head == head && layout.current().is_none()).await;
    }

    fn layout(&self) -> Arc<Layout> {
        self.logs.output(self.plugin).settled().unwrap()
    }

    async fn wait_for(&self, predicate: impl Fn(&Layout) -> bool) {
        let mut view = self.logs.output(self.plugin).watch();
        timeout(DEADLINE, view.wait_for(|view| view.as_deref().is_some_and(&predicate))).await.unwrap().unwrap();
    }

    fn stream(&self, from: From, follow: bool) -> Batches {
        Box::pin(self.logs.stream(self.plugin, from, follow))
    }

    async fn lines(&self, from: From) -> Vec<LogLine> {
        let batches: Vec<_> = timeout(DEADLINE, self.stream(from, false).collect()).await.unwrap();
        batches.into_iter().flat_map(|batch| batch.unwrap().lines).collect()
    }

    async fn texts(&self, from: From) -> Vec<String> {
        texts(&self.lines(from).await)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

async fn print(pipe: &mut Sender, text: &str) {
    timeout(DEADLINE, pipe.write_all(text.as_bytes())).await.unwrap().unwrap();
}

async fn next(batches: &mut Batches) -> LogBatch {
    timeout(DEADLINE, batches.next()).await.unwrap().unwrap().unwrap()
}

/// Reads so many lines from a stream.
async fn take(batches: &mut Batches, count: usize) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let batch = next(batches).await;
        assert!(!batch.lines_lost);
        lines.extend(batch.lines);
    }
    lines
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn printed(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[tokio::test]
async fn a_follower_gets_the_history_and_then_what_comes() {
    let fixture = Fixture::new(Options::default());
    fixture.run("one\n").await;
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    let history = next(&mut stream).await;
    assert_eq!(texts(&history.lines), ["one"]);
    assert!(history.caught_up);
    print(&mut pipe, "two\r\nthree\n").await;
    assert_eq!(texts(&take(&mut stream, 2).await), ["two", "three"]);
}

#[tokio::test]
async fn a_stream_of_a_plugin_that_never_ran_stays_open_until_it_runs() {
    let fixture = Fixture::new(Options::default());
    let mut stream = fixture.stream(From::Start, true);
    let opened = next(&mut stream).await;
    assert_eq!(opened, LogBatch { lines: vec![], lines_lost: false, caught_up: true });
    assert!(futures_util::FutureExt::now_or_never(stream.next()).is_none());
    fixture.run("hello\n").await;
    let batch = next(&mut stream).await;
    assert_eq!((texts(&batch.lines), batch.caught_up), (vec!["hello".to_owned()], false));
}

#[tokio::test]
async fn a_stream_that_does_not_follow_ends_after_the_history() {
    let fixture = Fixture::new(Options::default());
    assert_eq!(fixture.texts(From::Start).await, Vec::<String>::new());
    let mut pipe = fixture.capture();
    print(&mut pipe, "one\ntwo\n").await;
    fixture.wait_for(|layout| layout.head == 8).await;
    assert_eq!(fixture.texts(From::Start).await, ["one", "two"]);
}

#[tokio::test]
async fn an_unfinished_line_waits_for_its_end() {
    let fixture = Fixture::new(Options::default());
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    assert!(next(&mut stream).await.caught_up);
    print(&mut pipe, "one\npassw").await;
    assert_eq!(texts(&take(&mut stream, 1).await), ["one"]);
    print(&mut pipe, "ord: ").await;
    drop(pipe);
    assert_eq!(texts(&take(&mut stream, 1).await), ["password: "]);
}

#[tokio::test]
async fn each_end_of_a_run_rotates_and_only_the_newest_files_are_kept() {
    let fixture = Fixture::new(Options::default());
    for run in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
        fixture.run(run).await;
    }
    let files = fixture.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|name| names::is_rotated(name)), "{files:?}");
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
    let fixture = Fixture::small(100);
    let mut stream = fixture.stream(From::Start, true);
    let mut pipe = fixture.capture();
    for start in (0..1000).step_by(50) {
        print(&mut pipe, &printed(start..start + 50)).await;
    }
    assert_eq!(texts(&take(&mut stream, 1000).await), numbers(0..1000));
    let sizes = fixture.layout().segments.iter().map(|segment| segment.end - segment.start).collect::<Vec<_>>();
    assert!(sizes.len() >= 39 && sizes.iter().all(|size| *size <= 100), "{sizes:?}");
}

#[tokio::test]
async fn every_cursor_resumes_after_its_line_over_rotations_and_a_restart() {
    let mut fixture = Fixture::small(50);
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
    fixture.wait_for(|layout| layout.head == 7).await;
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
    assert_eq!(batch, LogBatch { lines: vec![], lines_lost: true, caught_up: true });
}

#[tokio::test]
async fn positions_are_not_used_twice_when_the_newest_file_was_taken_away() {
    let mut fixture = Fixture::small(1000);
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
    let fixture = Fixture::new(Options { keep: 1, max_bytes: 50, ..Options::default() });
    fixture.run("one\n").await;
    let mut stream = fixture.stream(From::Start, true);
    assert_eq!(texts(&next(&mut stream).await.lines), ["one"]);
    fixture.run(&printed(0..100)).await;
    let batch = next(&mut stream).await;
    assert!(batch.lines_lost);
    assert_eq!(texts(&batch.lines).last().unwrap(), "99");
}

#[tokio::test]
async fn a_line_longer_than_the_limit_comes_in_pieces_that_resume() {
    let fixture = Fixture::new(Options { max_line: 1000, ..Options::default() });
    let line = "é".repeat(100_000);
    fixture.run(&format!("{line}\nshort\n")).await;
    let lines = fixture.lines(From::Start).await;
    assert_eq!(lines.len(), 201);
    assert_eq!(texts(&lines[..200]).concat(), line);
    assert_eq!(fixture.lines(From::After(lines[77].cursor)).await, lines[78..]);
}

#[tokio::test]
async fn a_long_line_shows_before_its_end() {
    let fixture = Fixture::new(Options { max_line: 1000, ..Options::default() });
    let mut stream = fixture.stream(From::Start, true);
    let mut pipe = fixture.capture();
    print(&mut pipe, &"x".repeat(1001)).await;
    assert_eq!(take(&mut stream, 1).await[0].text.len(), 1000);
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_replaced() {
    let fixture = Fixture::new(Options::default());
    let mut pipe = fixture.capture();
    pipe.write_all(b"a\xff\0b\n").await.unwrap();
    let mut stream = fixture.stream(From::Start, true);
    assert_eq!(texts(&take(&mut stream, 1).await), ["a\u{fffd}\0b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_reaches_every_follower_in_bounded_batches() {
    let fixture = Fixture::new(Options { max_bytes: 100_000, keep: 1000, ..Options::default() });
    let mut streams: Vec<_> = (0..3).map(|_| fixture.stream(From::Start, true)).collect();
    let mut pipe = fixture.capture();
    let flood = tokio::spawn(async move { print(&mut pipe, &printed(0..200_000)).await });
    for stream in &mut streams {
        let mut count: u32 = 0;
        while count < 200_000 {
            let batch = next(stream).await;
            assert!(batch.lines.len() <= 256 && !batch.lines_lost);
            for line in batch.lines {
                assert_eq!(line.text, count.to_string());
                count += 1;
            }
        }
    }
    flood.await.unwrap();
    assert_eq!(fixture.logs.dropped(fixture.plugin), 0);
}

#[tokio::test]
async fn the_last_lines_are_found_over_several_files() {
    let fixture = Fixture::small(50);
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
async fn a_follower_may_start_with_the_last_lines() {
    let fixture = Fixture::new(Options::default());
    fixture.run(&printed(0..10)).await;
    let mut stream = fixture.stream(From::Tail(2), true);
    let first = next(&mut stream).await;
    assert_eq!((texts(&first.lines), first.caught_up), (numbers(8..10), true));
    fixture.run("new\n").await;
    assert_eq!(texts(&take(&mut stream, 1).await), ["new"]);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_does_not_hold_up_the_plugin() {
    let fixture = Fixture::new(Options::default());
    fs::write(fixture.folder(), "a file where the folder should be").unwrap();
    let mut pipe = fixture.capture();
    let mut stream = fixture.stream(From::Start, true);
    assert!(timeout(DEADLINE, stream.next()).await.unwrap().unwrap().is_err());
    print(&mut pipe, &printed(0..500_000)).await;
    fs::remove_file(fixture.folder()).unwrap();
    print(&mut pipe, "back\n").await;
    drop(pipe);
    fixture.wait_for(|layout| layout.head > 0 && layout.current().is_none()).await;
    let lines = fixture.texts(From::Start).await;
    assert_eq!(lines.last().unwrap(), "back");
    assert_eq!(fixture.logs.dropped(fixture.plugin), 500_001 - lines.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_does_not_hold_up_the_plugin() {
    let fixture = Fixture::new(Options::default());
    let output = fixture.logs.output(fixture.plugin);
    let (held, release) = (tokio::sync::oneshot::channel::<()>(), std::sync::mpsc::channel::<()>());
    let hang = std::thread::spawn(move || output.hang(held.0, &release.1));
    held.1.await.unwrap();
    let mut pipe = fixture.capture();
    print(&mut pipe, &printed(0..1_000_000)).await;
    assert!(fixture.logs.dropped(fixture.plugin) > 0);
    release.0.send(()).unwrap();
    hang.join().unwrap();
    drop(pipe);
    fixture.wait_for(|layout| layout.head > 0 && layout.current().is_none()).await;
    let written = fixture.texts(From::Start).await.len() as u64;
    assert_eq!(written + fixture.logs.dropped(fixture.plugin), 1_000_000);
}

#[tokio::test]
async fn a_link_in_place_of_the_folder_is_not_followed() {
    let fixture = Fixture::new(Options::default());
    let elsewhere = TempDir::new().unwrap();
    symlink(elsewhere.path(), fixture.folder()).unwrap();
    let mut pipe = fixture.capture();
    print(&mut pipe, "one\n").await;
    drop(pipe);
    wait_until(|| fixture.logs.dropped(fixture.plugin) == 1).await;
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
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
async fn two_captures_at_once_do_not_mix_their_lines() {
    let fixture = Fixture::new(Options::default());
    let (mut one, mut two) = (fixture.capture(), fixture.capture());
    for _ in 0..100 {
        print(&mut one, "aa").await;
        print(&mut two, "bb").await;
        print(&mut one, "aa\n").await;
        print(&mut two, "bb\n").await;
    }
    drop((one, two));
    let mut stream = fixture.stream(From::Start, true);
    let lines = texts(&take(&mut stream, 200).await);
    assert!(lines.iter().all(|line| line == "aaaa" || line == "bbbb"));
}

#[tokio::test]
async fn a_forged_file_of_positions_does_no_harm() {
    let mut fixture = Fixture::new(Options::default());
    fixture.run("one\n").await;
    let forged = ["", "{}", r#"{"epoch":"9m4e2mr0ui3e8a215n4g","files":[{"inode":1,"start":18446744073709551615}]}"#];
    for text in forged {
        fs::write(fixture.folder().join(".positions"), text).unwrap();
        fixture.restart();
        assert_eq!(fixture.texts(From::Start).await, ["one"]);
    }
}

/// Waits until something without a signal of its own is so.
async fn wait_until(predicate: impl Fn() -> bool) {
    let wait = async {
        while !predicate() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap();
}
