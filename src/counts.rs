//! How many instructions the hot paths take, held against what is recorded: no clock, so that a busy machine tells the same.
//!
//! A path is an ordinary test, which ends with [`repeat`]. `make counts` has callgrind run it so many times and twice as
//! many: the difference is what the path takes, without what the test program does before and after it.
//!
//! This counts in the program of the unit tests, which `make test` has built: an optimized one would take minutes more. What a
//! path does that it need not, or does twice, shows here as well, but not in the same proportion: JSON that is written weighs
//! so much that a clone of a record beside it is lost in the tolerance.

#![allow(clippy::print_stdout, reason = "the counts are for people")]

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, Output},
};

use serde::{Deserialize, Serialize};

/// What is recorded. After a change that is meant: `make counts RECORD=1`, then read the difference.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.json");

/// The variable that says how often a path is taken.
const TIMES: &str = "PLUGD_COUNTED_TIMES";

/// The variable with which this records.
const RECORD: &str = "PLUGD_COUNTS_RECORD";

/// The paths, and how often each is taken: so often that the rest of the test program, whose hashes are seeded anew each time,
/// moves a count by a few instructions only.
const PATHS: [(&str, u64); 3] = [
    ("domain::lifecycle::tests::counted::step", 100),
    ("grpc::convert::tests::counted::encode", 50),
    ("store::tests::counted::append", 20),
];

/// By how much a count may differ from what is recorded, in percent.
const TOLERANCE: f64 = 2.0;

/// What `benches/counts.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    /// What else decides how many there are.
    measured_with: Conditions,
    /// Instructions that each path takes once.
    instructions: BTreeMap<String, u64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Conditions {
    compiler: String,
    profile: String,
    target: String,
    c_library: String,
}

/// Takes a path: once where it is a test like others, and as often as it is told where it is counted.
pub(crate) fn repeat(mut path: impl FnMut()) {
    let times = env::var(TIMES).map_or(1, |times| times.parse().unwrap());
    (0..times).for_each(|_| path());
}

#[test]
#[ignore = "needs valgrind: `make counts`"]
fn the_hot_paths_take_as_many_instructions_as_recorded() {
    let counts = PATHS.map(|(path, times)| (path.to_owned(), count(path, times)));
    let now = Counts { measured_with: Conditions::here(), instructions: counts.into() };
    if env::var_os(RECORD).is_some() {
        fs::write(BASELINE, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    let recorded: Counts = serde_json::from_str(&fs::read_to_string(BASELINE).unwrap()).unwrap();
    let moved = now.instructions.iter().filter(|(path, count)| has_moved(path, **count, &recorded)).count();
    if now.measured_with != recorded.measured_with {
        println!("Not comparable: recorded with {:?}, counted with {:?}", recorded.measured_with, now.measured_with);
        return;
    }
    assert_eq!(moved, 0, "more than {TOLERANCE} % away; where it is meant, record it: make counts RECORD=1");
}

/// Says what a path takes, and whether that is too far from what is recorded.
fn has_moved(path: &str, count: u64, recorded: &Counts) -> bool {
    let Some(before) = recorded.instructions.get(path) else {
        println!("{path}: {count}, not recorded");
        return true;
    };
    let change = 100.0 * (count as f64 / *before as f64 - 1.0);
    println!("{path}: {count}, recorded {before} ({change:+.2} %)");
    change.abs() > TOLERANCE
}

/// What the path takes once.
fn count(path: &str, times: u64) -> u64 {
    (collected(path, 2 * times) - collected(path, times)) / times
}

/// All instructions of this program when it takes a path so many times.
fn collected(path: &str, times: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe().unwrap());
    valgrind.args(["--exact", path, "--test-threads=1"]).env(TIMES, times.to_string());
    let (stdout, stderr) = said(&mut valgrind);
    assert!(stdout.contains("1 passed"), "{path} is no test:\n{stdout}");
    let total = stderr.lines().find_map(|line| line.split_once("Collected : "));
    total.unwrap_or_else(|| panic!("no count:\n{stderr}")).1.trim().parse().unwrap()
}

/// What a program says; it has to end well.
fn said(command: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

impl Conditions {
    fn here() -> Self {
        let line = |program, argument| said(Command::new(program).arg(argument)).0.trim().to_owned();
        Self {
            compiler: line("rustc", "--version"),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" }.to_owned(),
            target: format!("{}-{}", env::consts::ARCH, env::consts::OS),
            c_library: line("getconf", "GNU_LIBC_VERSION"),
        }
    }
}
