//! Disks that fail, files that are tampered with, plugins that are deleted.

use std::{os::unix::fs::symlink, path::Path};

use super::*;

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
