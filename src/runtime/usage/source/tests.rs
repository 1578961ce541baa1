use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use rustix::process::{Signal, kill_process};

use super::*;
use crate::runtime::keeper::tree;

fn mk_stat(name: &str, state: &str, fields: &str) -> String {
    format!(
        "17 ({name}) {state} 1 17 17 0 -1 4194560 100 0 0 0 {fields} 20 0 1 0 4711 8192000 250 18446744073709551615\n"
    )
}

#[test]
fn a_stat_is_read_whatever_the_process_is_called() {
    for name in ["sleep", "a b", ") R 1 (", "\u{fffd}"] {
        let stat = Stat::parse(mk_stat(name, "S", "5 6 7 8").as_bytes());
        let expected = Stat { has_ended: false, cpu: 11, cpu_of_ended: 15, pages: 250 };
        assert_eq!(stat, Some(expected), "{name:?}");
    }
    assert!(Stat::parse(mk_stat("sleep", "Z", "5 6 7 8").as_bytes()).unwrap().has_ended);
    assert_eq!(Stat::parse(b"17 (sleep) S 1 17"), None);
    assert_eq!(Stat::parse(b""), None);
}

#[test]
fn the_files_of_a_group_are_read() {
    assert_eq!(cpu_of_group(b"nr_periods 0\nusage_usec 12\nuser_usec 3\n"), Some(Duration::from_micros(12)));
    assert_eq!(cpu_of_group(b"user_usec 3\n"), None);
    assert_eq!(numbers(b"12\n345\n"), Some(vec![12, 345]));
    assert_eq!(numbers(b""), Some(Vec::new()));
    assert_eq!(numbers(b"12\nx\n"), None);
    assert_eq!(number::<u64>(b"4096\n"), Some(4096));
}

#[test]
fn a_number_that_was_cut_in_two_is_left_out() {
    let mut bytes = b"12345 ".repeat(MAX_BYTES as usize / 6 + 1);
    bytes.truncate(MAX_BYTES as usize);
    let read = numbers(whole(&bytes)).unwrap();
    assert!(read.len() > 10_000 && read.iter().all(|pid| *pid == 12345));
    assert_eq!(whole(b"12 34"), b"12 34", "nothing was cut");
}

/// A shell, which ends with all that it started when it is dropped.
pub(in crate::runtime::usage) struct Shell {
    process: Child,
    /// The lines that it printed first.
    lines: Vec<String>,
}

impl Shell {
    /// Runs this script, and waits for so many lines of it.
    pub(in crate::runtime::usage) fn start(script: &str, lines: usize) -> Self {
        let mut process = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = output.lines().take(lines).collect::<Result<_, _>>().unwrap();
        Self { process, lines }
    }

    pub(in crate::runtime::usage) fn source(&self) -> Source {
        Source { init: self.process.id(), group: None }
    }

    /// Kills what it started.
    fn end_children(&self) {
        for pid in tree::descendants(self.process.id()) {
            let _ = kill_process(tree::to_pid(pid).unwrap(), Signal::KILL);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.end_children();
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

#[test]
fn all_that_came_from_a_process_is_seen_and_what_ended_counts() {
    // The loop ends before the sleeps are seen; nobody but the shell has what it used.
    let script = "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); \
                  sleep 1000 <&0 3</dev/null 4</dev/null & sh -c 'sleep 1000 & echo $!; wait' & wait";
    let mut shell = Shell::start(script, 1);
    let reading = shell.source().read(&mut Looks::default()).unwrap();
    assert_eq!(reading.processes, 3, "both sleeps and the shell between: {reading:?}");
    assert!(reading.open_files.unwrap() >= 3 * 3 + 2, "{reading:?}");
    assert!(reading.memory_bytes > 1_000_000, "{reading:?}");
    assert!(reading.cpu_time >= Duration::from_millis(20), "{reading:?}");
    shell.end_children();
    shell.process.wait().unwrap();
    assert_eq!(shell.source().read(&mut Looks::default()), None, "nothing of it lives");
}

#[test]
fn a_run_of_very_many_processes_takes_no_more_looks_than_others_may() {
    let shell = Shell::start("for i in $(seq 400); do sleep 1000 & echo $!; done; wait", 400);
    assert_eq!(shell.lines.len(), 400);
    let mut looks = Looks::default();
    let reading = shell.source().read(&mut looks).unwrap();
    assert_eq!(looks.taken(), MAX_LOOKS);
    assert!((200..400).contains(&reading.processes), "the first are counted: {reading:?}");
    assert_eq!(reading.open_files, None, "there are no looks left for them");
}
