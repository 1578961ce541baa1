//! What each line says, filters, and several plugins in one stream.

use std::collections::HashMap;

use super::*;

#[tokio::test]
async fn a_line_says_when_where_and_in_which_run_it_was_printed_even_after_a_restart() {
    let mut fixture = Fixture::new(Options::default());
    let (source, begun) = (fixture.source(), Timestamp::now());
    let [mut stdout, mut stderr] = fixture.capture_both(source.clone());
    let mut stream = fixture.stream(From::Start, true);
    print(&mut stdout, "one\n").await;
    let mut lines = take(&mut stream, 1).await;
    print(&mut stderr, "two\n").await;
    lines.extend(take(&mut stream, 1).await);
    assert_eq!(lines.iter().map(|line| line.stream).collect::<Vec<_>>(), [Some(Stream::Stdout), Some(Stream::Stderr)]);
    for line in &lines {
        assert_eq!(line.run, Some(source.run));
        assert!((begun..=Timestamp::now()).contains(&line.time.unwrap()), "{line:?}");
    }
    drop((stdout, stderr));
    fixture.wait_for(|layout| layout.current().is_none()).await;
    fixture.restart();
    fixture.run("three\n").await;
    let again = fixture.lines(From::Start).await;
    assert_eq!(again[..2], lines);
    assert!(again[2].run.is_some_and(|run| run != source.run));
}

#[tokio::test]
async fn lines_are_chosen_by_time_stream_and_run() {
    let fixture = Fixture::new(Options::default());
    let source = fixture.source();
    let [mut stdout, mut stderr] = fixture.capture_both(source.clone());
    let mut stream = fixture.stream(From::Start, true);
    for (pipe, text) in [(&mut stdout, "a\n"), (&mut stderr, "b\n")] {
        print(pipe, text).await;
        take(&mut stream, 1).await;
    }
    drop((stdout, stderr));
    fixture.wait_for(|layout| layout.current().is_none()).await;
    fixture.run("c\nd\n").await;
    let lines = fixture.lines(From::Start).await;
    let chosen = async |from, filter| texts(&fixture.filtered(from, filter).await).concat();
    let since = |index: usize| Filter { since: lines[index].time, ..Filter::default() };
    assert_eq!(chosen(From::Start, since(1)).await, "bcd");
    assert_eq!(chosen(From::Start, since(2)).await, "cd");
    let of_stream = |stream| Filter { stream: Some(stream), ..Filter::default() };
    assert_eq!(chosen(From::Start, of_stream(Stream::Stdout)).await, "acd");
    assert_eq!(chosen(From::Start, of_stream(Stream::Stderr)).await, "b");
    assert_eq!(chosen(From::After(lines[0].cursor), of_stream(Stream::Stdout)).await, "cd");
    assert_eq!(chosen(From::Tail(1), of_stream(Stream::Stderr)).await, "b");
    assert_eq!(chosen(From::Tail(3), of_stream(Stream::Stdout)).await, "acd");
    let of_run = Filter { run: Some(source.run), ..Filter::default() };
    assert_eq!(chosen(From::Start, of_run.clone()).await, "ab");
    assert_eq!(chosen(From::Tail(1), of_run).await, "b");
}

#[tokio::test]
async fn the_last_lines_are_counted_whole_however_many_pieces_they_have() {
    let fixture = Fixture::new(Options { max_line: 10, ..Options::default() });
    fixture.run("short\nthis line has many pieces\nlast\n").await;
    assert_eq!(fixture.texts(From::Tail(2)).await.concat(), "this line has many pieceslast");
    assert_eq!(fixture.texts(From::Tail(3)).await.concat(), "shortthis line has many pieceslast");
}

#[tokio::test]
async fn lines_that_are_not_wanted_do_not_hold_up_those_that_are() {
    let fixture = Fixture::new(Options::default());
    let [mut stdout, mut stderr] = fixture.capture_both(fixture.source());
    let filter = Filter { stream: Some(Stream::Stderr), ..Filter::default() };
    let mut stream: Batches =
        Box::pin(fixture.logs.stream(fixture.plugin, From::Start, Query { filter, is_following: true }));
    assert!(next(&mut stream).await.caught_up);
    print(&mut stdout, &printed(0..10_000)).await;
    print(&mut stderr, "wanted\n").await;
    assert_eq!(texts(&take(&mut stream, 1).await), ["wanted"]);
}

type Known = Arc<Mutex<Vec<PluginId>>>;

fn now(known: &Known) -> Option<impl Fn() -> Vec<PluginId> + use<>> {
    let known = Arc::clone(known);
    Some(move || known.lock().unwrap().clone())
}

/// No plugin comes later.
const NONE_LATER: Option<fn() -> Vec<PluginId>> = None;

impl Fixture {
    /// Another plugin beside this one, which prints this.
    fn print_as(&self, plugin: PluginId, text: &str) {
        fs::create_dir_all(self.dir.path().join(plugin.to_string())).unwrap();
        self.logs.output(plugin).append(None, 0, &records(text, MAX_LINE));
    }
}

fn mk_plugins<const N: usize>() -> [PluginId; N] {
    std::array::from_fn(|_| PluginId::from(xid::new()))
}

#[tokio::test]
async fn a_stream_of_several_has_the_lines_of_each_and_of_those_that_come_later() {
    let (fixture, known) = (Fixture::new(Options::default()), Known::default());
    let [one, two, late] = mk_plugins();
    for id in [one, two] {
        fixture.print_as(id, "before\n");
    }
    let query = Query { is_following: true, ..Query::default() };
    let starts = [one, two].map(|id| (id, From::Tail(0))).to_vec();
    let mut stream = Box::pin(fixture.logs.stream_several(starts, now(&known), query));
    let mut opened = HashMap::new();
    for _ in [one, two] {
        let (id, batch) = timeout(DEADLINE, stream.next()).await.unwrap().unwrap();
        let batch = batch.unwrap();
        assert_eq!(told(&batch), (vec![], false, true));
        opened.insert(id, batch.cursor);
    }
    known.lock().unwrap().extend([one, two, late]);
    for id in [one, two, late] {
        fixture.print_as(id, &format!("line of {id}\n"));
    }
    let mut seen = HashMap::new();
    while seen.len() < 3 {
        let (id, batch) = timeout(DEADLINE, stream.next()).await.unwrap().unwrap();
        let lines = texts(&batch.unwrap().lines);
        assert!(lines.is_empty() || seen.insert(id, lines).is_none());
    }
    assert!(seen.iter().all(|(id, lines)| *lines == [format!("line of {id}")]), "{seen:?}");
    // The place of a plugin that printed nothing while it was followed is known too.
    let resumed = fixture.logs.stream(one, From::After(opened[&one]), Query::default());
    let resumed: Vec<_> = resumed.collect().await;
    assert_eq!(texts(&resumed[0].as_ref().unwrap().lines), seen[&one]);
}

#[tokio::test]
async fn a_plugin_that_can_not_be_read_or_is_deleted_does_not_end_the_stream_of_the_others() {
    let fixture = Fixture::new(Options::default());
    let [good, bad, gone] = mk_plugins();
    fixture.print_as(good, "one\n");
    fixture.print_as(gone, "one\n");
    fs::write(fixture.dir.path().join(bad.to_string()), "no folder").unwrap();
    let query = Query { is_following: true, ..Query::default() };
    let starts = [good, bad, gone].map(|id| (id, From::Start)).to_vec();
    let mut stream = Box::pin(fixture.logs.stream_several(starts, NONE_LATER, query));
    let mut seen: HashMap<PluginId, Result<usize, ()>> = HashMap::new();
    for _ in 0..3 {
        let (id, batch) = timeout(DEADLINE, stream.next()).await.unwrap().unwrap();
        seen.insert(id, batch.map(|batch| batch.lines.len()).map_err(drop));
    }
    assert_eq!(seen, HashMap::from([(good, Ok(1)), (gone, Ok(1)), (bad, Err(()))]));
    fixture.logs.remove(gone);
    fixture.print_as(good, "two\n");
    let (id, batch) = timeout(DEADLINE, stream.next()).await.unwrap().unwrap();
    assert_eq!((id, texts(&batch.unwrap().lines)), (good, vec!["two".to_owned()]));
    fixture.logs.remove(good);
    assert!(timeout(DEADLINE, stream.next()).await.unwrap().is_none(), "nobody is left who could print");
}

#[tokio::test]
async fn more_plugins_than_a_stream_takes_are_refused_one_by_one() {
    let fixture = Fixture::new(Options::default());
    let starts = (0..MAX_PLUGINS + 2).map(|_| (PluginId::from(xid::new()), From::Start)).collect();
    let items: Vec<_> = fixture.logs.stream_several(starts, NONE_LATER, Query::default()).collect().await;
    assert_eq!(items.iter().filter(|(_, batch)| batch.is_err()).count(), 2);
    assert_eq!(items.len(), MAX_PLUGINS + 2);
}
