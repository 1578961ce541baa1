//! What a stream delivers, and when.

use super::*;

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
    assert_eq!(told(&opened), (vec![], false, true));
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
    fixture.wait_for(|layout| layout.head == records("one\ntwo\n", MAX_LINE).len() as u64).await;
    assert_eq!(fixture.texts(From::Start).await, ["one", "two"]);
}

#[tokio::test]
async fn a_shutdown_can_wait_until_all_is_written() {
    let fixture = Fixture::new(Options::default());
    let mut pipe = fixture.capture();
    print(&mut pipe, &printed(0..10_000)).await;
    assert!(futures_util::FutureExt::now_or_never(fixture.logs.drained()).is_none());
    drop(pipe);
    timeout(DEADLINE, fixture.logs.drained()).await.unwrap();
    assert_eq!(fixture.texts(From::Start).await, numbers(0..10_000));
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
    assert_eq!(fixture.logs.output(fixture.plugin).lost(), 0);
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
async fn a_line_of_plugd_comes_between_those_of_the_plugin() {
    let fixture = Fixture::new(Options::default());
    let mut pipe = fixture.capture();
    let mut batches = fixture.stream(From::Start, true);
    print(&mut pipe, "one\n").await;
    assert_eq!(texts(&take(&mut batches, 1).await), ["one"]);
    fixture.logs.note(fixture.plugin, "plugd: a note\nof one line");
    assert_eq!(texts(&take(&mut batches, 1).await), ["plugd: a note of one line"]);
    print(&mut pipe, "two\n").await;
    assert_eq!(texts(&take(&mut batches, 1).await), ["two"]);
}
