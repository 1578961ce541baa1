use std::{fs, path::Path};

use jiff::Timestamp;
use tokio::time::timeout;

use super::{source::tests::Shell, *};

/// No wait of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

fn mk_run(number: u8) -> RunId {
    RunId::from_bytes([number; 12])
}

fn mk_sample(memory_bytes: u64) -> Sample {
    let (time, cpu_time) = (Timestamp::UNIX_EPOCH, Duration::ZERO);
    Sample { time, memory_bytes, cpu_time, processes: 1, open_files: None }
}

fn mk_source() -> Source {
    Source { init: std::process::id(), group: None }
}

fn mk_runs(count: u8) -> Runs {
    let mut runs = Runs::default();
    for run in (0..count).map(mk_run) {
        runs.by_id.insert(run, Known { source: Arc::new(mk_source()), usage: None, sampled: None });
        runs.new.push_back(run);
    }
    runs
}

fn next(runs: &mut Runs, now: Instant) -> Option<RunId> {
    runs.next(now).map(|(run, _)| run)
}

#[test]
fn a_run_is_sampled_at_once_and_then_at_intervals() {
    let (mut runs, start) = (mk_runs(2), Instant::now());
    for number in [0, 1] {
        assert_eq!(next(&mut runs, start), Some(mk_run(number)));
        runs.take(mk_run(number), Some(mk_sample(1)), start);
    }
    assert_eq!(next(&mut runs, start + INTERVAL / 2), None);
    let later = start + INTERVAL;
    assert_eq!(next(&mut runs, later), Some(mk_run(0)));
    runs.take(mk_run(0), Some(mk_sample(2)), later);
    let usage = runs.by_id[&mk_run(0)].usage.clone().unwrap();
    assert_eq!((usage.memory_history.into(), usage.cpu_millis), (vec![1, 2], Some(0)));
}

#[test]
fn a_new_run_is_sampled_before_those_that_were_and_one_that_ended_never() {
    let (mut runs, start) = (mk_runs(2), Instant::now());
    runs.take(mk_run(0), Some(mk_sample(1)), start);
    runs.new = VecDeque::from([mk_run(1)]);
    let later = start + 2 * INTERVAL;
    assert_eq!(next(&mut runs, later), Some(mk_run(1)));
    runs.by_id.remove(&mk_run(0));
    assert_eq!(next(&mut runs, later), None);
    runs.take(mk_run(0), Some(mk_sample(1)), later);
    assert!(!runs.by_id.contains_key(&mk_run(0)), "it ended while it was sampled");
}

#[test]
fn what_is_looked_at_is_bounded_and_all_have_their_turn() {
    let shell = Shell::start("sleep 1000 & echo; wait", 1);
    let looks_for_one = {
        let mut looks = Looks::default();
        shell.source().read(&mut looks).unwrap();
        i64::from(looks.taken())
    };
    let (usages, source) = (Usages::default(), Arc::new(shell.source()));
    *usages.runs() = mk_runs(100);
    usages.runs().by_id.values_mut().for_each(|known| known.source = source.clone());
    let sampled = || usages.runs().by_id.values().filter(|known| known.sampled.is_some()).count();
    for so_far in 1..=50 {
        let mut left = looks_for_one + 1;
        assert!(usages.sample_some(&mut left));
        assert_eq!(
            (left, sampled()),
            (1 - looks_for_one, 2 * so_far),
            "what was taken too much is missing the next time"
        );
    }
    let mut left = 10;
    assert!(usages.sample_some(&mut left));
    assert_eq!(left, 10, "it is time for none of them");
}

#[tokio::test]
async fn sampling_ends_with_the_last_run_and_begins_anew() {
    let usages = Usages::default();
    let shell = Shell::start("sleep 1000 & echo; wait", 1);
    for _ in 0..2 {
        let (one, other) = (usages.sample(mk_run(1), shell.source()), usages.sample(mk_run(2), shell.source()));
        eventually(|| usages.of(mk_run(1)).is_some() && usages.of(mk_run(2)).is_some()).await;
        drop(one);
        assert!(usages.of(mk_run(1)).is_none() && usages.of(mk_run(2)).is_some());
        drop(other);
        eventually(|| !usages.runs().is_sampling).await;
    }
}

async fn eventually(is_so: impl Fn() -> bool) {
    let watch = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            ticks.tick().await;
        }
    };
    timeout(DEADLINE, watch).await.expect("it did not come true in time");
}

/// A control group, as far as its files go.
fn mk_group(folder: &Path, files: &[(&str, &str)]) -> Source {
    files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    Source { init: std::process::id(), group: Some(folder.to_owned()) }
}

#[test]
fn a_group_tells_what_its_run_uses() {
    let folder = tempfile::tempdir().unwrap();
    let own = std::process::id();
    let cpu = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n";
    let files = [("memory.current", "4096000\n"), ("cpu.stat", cpu), ("cgroup.procs", &format!("{own}\n"))];
    let mut looks = Looks::default();
    let reading = mk_group(folder.path(), &files).read(&mut looks).unwrap();
    assert_eq!((reading.memory_bytes, reading.cpu_time), (4_096_000, Duration::from_millis(2500)));
    assert_eq!(reading.processes, 1);
    assert!(reading.open_files.unwrap() > 2, "{reading:?}");
    assert!(looks.taken() < 6, "the tree is not looked at: {}", looks.taken());
}

#[tokio::test]
async fn what_a_group_does_not_tell_is_summed_up_over_the_tree() {
    let (shell, folder) = (Shell::start("sleep 1000 & echo; wait", 1), tempfile::tempdir().unwrap());
    let group = mk_group(folder.path(), &[("cgroup.procs", ""), ("cpu.stat", "usage_usec 7\n")]);
    let source = Source { group: group.group, ..shell.source() };
    let reading = source.read(&mut Looks::default()).unwrap();
    assert_eq!((reading.cpu_time, reading.processes), (Duration::from_micros(7), 1));
    // A process has none in the moment in which it becomes another program.
    let memory = || source.read(&mut Looks::default()).map_or(0, |reading| reading.memory_bytes);
    eventually(|| memory() > 100_000).await;
}
