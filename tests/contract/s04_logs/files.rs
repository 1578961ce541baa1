//! The files: names, order, rotation, and what survives.

use std::{fs, path::PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::{beginning, printing, raw::Raw, run};
use crate::harness::{Knobs, Plugd};

fn folder(plugd: &Plugd, id: &str) -> PathBuf {
    plugd.data_dir().join("plugins").join(id).join("logs")
}

/// Names of the log files, sorted.
fn names(plugd: &Plugd, id: &str) -> Vec<String> {
    let entries = fs::read_dir(folder(plugd, id)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".log")).collect();
    names.sort();
    names
}

/// A name that a rotation so long ago has given.
fn rotated(days: i64, hours: i64) -> String {
    let at = Timestamp::now() - SignedDuration::from_hours(days * 24 + hours);
    format!("output-{}.log", at.strftime("%Y-%m-%dT%H-%M-%S%.3f"))
}

#[tokio::test]
async fn what_is_printed_goes_to_output_log_which_is_renamed_after_every_exit_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo run").await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    Raw::open(&plugd, &id).await.until("connected\n\n").await;
    assert_eq!(names(&plugd, &id), ["output.log"]);
    // In the format of the CRI.
    let text = fs::read_to_string(folder(&plugd, &id).join("output.log")).unwrap();
    let texts: Vec<_> = text.lines().map(|line| line.split_once("Z stdout F ").unwrap().1).collect();
    assert!(texts[0] == "run" && texts[1].starts_with("pid "), "{text}");

    plugd.rest().set_active(&id, "inactive").await.expect(200);
    Raw::open(&plugd, &id).await.until("stopping: SIGINT\n\n").await;

    // The rotation follows the last line.
    crate::harness::eventually("the rotation", || (names(&plugd, &id)[0] != "output.log").then_some(())).await;
    let names = names(&plugd, &id);
    let [name] = names.as_slice() else { panic!("{names:?}") };
    let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "output-9999-99-99T99-99-99.999.log");
}

#[tokio::test]
async fn at_most_three_rotated_files_are_kept_so_history_is_the_last_three_runs_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo x >> runs; echo run $(wc -l < runs)").await;
    for _ in 0..5 {
        run(&plugd, &id).await;
    }
    plugd.rest().set_active(&id, "active").await.expect(200);
    let mut raw = Raw::open(&plugd, &id).await;
    while beginning(&raw.lines_so_far(), "run ").last() != Some(&"run 6") {
        raw.until("connected\n\n").await;
        raw.body.push_str(": seen\n\n");
    }
    assert_eq!(beginning(&raw.lines(), "run "), ["run 3", "run 4", "run 5", "run 6"]);
    assert_eq!(names(&plugd, &id).len(), 4, "three and the current one");
}

#[tokio::test]
async fn a_crash_rotates_too_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo x >> runs; echo run $(wc -l < runs); [ $(wc -l < runs) -gt 2 ] || exit 1").await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    let mut raw = Raw::open(&plugd, &id).await;
    raw.until("connected\n\n").await;
    assert_eq!(beginning(&raw.lines(), "run "), ["run 1", "run 2", "run 3"]);
    assert_eq!(names(&plugd, &id).len(), 3);
}

/// As another host of the contract has left them.
#[tokio::test]
async fn history_is_the_rotated_files_in_the_order_of_their_names_and_then_the_current_one_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo mine").await;
    fs::create_dir_all(folder(&plugd, &id)).unwrap();
    for (name, text) in [
        ("output.log".to_owned(), "current\n"),
        (rotated(2, 0), "first\nsecond\n"),
        (rotated(1, 0), "third"),
        ("notes.txt".to_owned(), "not a log\n"),
    ] {
        fs::write(folder(&plugd, &id).join(name), text).unwrap();
    }
    let mut raw = Raw::open(&plugd, &id).await;
    let before = "data: first\n\ndata: second\n\ndata: third\n\ndata: current\n\n";
    assert_eq!(raw.until("current\n\n").await, before);
    run(&plugd, &id).await;
    assert!(raw.until("SIGINT\n\n").await.starts_with(&format!("{before}data: mine\n\n")));
}

#[tokio::test]
async fn a_rotated_file_is_kept_for_28_days_4() {
    let plugd = Plugd::start().await;
    let id = printing(&plugd, "echo mine").await;
    fs::create_dir_all(folder(&plugd, &id)).unwrap();
    let (old, young) = (rotated(28, 1), rotated(27, 23));
    for name in [&old, &young] {
        fs::write(folder(&plugd, &id).join(name), "text\n").unwrap();
    }
    run(&plugd, &id).await;
    let is_pruned = || (!folder(&plugd, &id).join(&old).exists()).then_some(());
    crate::harness::eventually("the removal of an old log", is_pruned).await;
    assert!(folder(&plugd, &id).join(&young).exists());
}

#[tokio::test]
async fn history_survives_deactivation_and_a_restart_or_a_kill_of_the_host_4() {
    const KNOBS: Knobs = &[("PLUGD_LOG_KEEP", "10")];
    let mut plugd = Plugd::with(KNOBS).await;
    let id = printing(&plugd, "echo x >> runs; echo run $(wc -l < runs)").await;
    run(&plugd, &id).await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    assert!(plugd.sigterm().await.0.success());
    plugd.restart().await;
    let mut raw = Raw::open(&plugd, &id).await;
    while !raw.lines_so_far().contains(&"run 3") {
        raw.until("connected\n\n").await;
        raw.body.push_str(": seen\n\n");
    }
    plugd.kill_9().await;
    plugd.restart().await;
    let mut raw = Raw::open(&plugd, &id).await;
    while !raw.lines_so_far().contains(&"run 4") {
        raw.until("connected\n\n").await;
        raw.body.push_str(": seen\n\n");
    }
    assert_eq!(beginning(&raw.lines(), "run "), ["run 1", "run 2", "run 3", "run 4"]);
}
