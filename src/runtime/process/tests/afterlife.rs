//! What happens to processes when the plugd that started them is gone.

use std::{
    fs,
    io::{BufReader, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Stdio},
};

use super::*;
use crate::runtime::{
    keeper,
    leftovers::Leftover,
    process_table::RunKey,
    record::{LeaderRecord, Records},
};

/// A process that somebody else started: killed and reaped when dropped.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let group = crate::runtime::process_table::to_pid(self.0.id()).unwrap();
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

impl Sleeper {
    /// A shell with a child, leading a group, as a plugin of this run or as nobody's.
    fn mk(key: Option<RunKey>) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo; wait"]).process_group(0).stdout(Stdio::piped());
        if let Some(key) = key {
            command.env("PLUGD_PLUGIN_ID", key.plugin.to_string()).env("PLUGD_RPC_URL", mk_url(key.run));
        }
        let mut child = command.spawn().unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Self(child)
    }

    fn record(&self) -> LeaderRecord {
        let process = Process::read(self.0.id()).unwrap().unwrap();
        LeaderRecord { pid: process.pid, pgid: process.group, start_time: process.start_time }
    }

    fn is_alive(&self) -> bool {
        is_alive(self.0.id())
    }

    /// Live members of its group.
    fn group(&self) -> Vec<u32> {
        let is_member =
            |pid: &u32| Process::read(*pid).unwrap().is_some_and(|p| p.group == self.0.id() && !p.is_zombie);
        let names = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).filter(is_member).collect()
    }
}

fn mk_records(fixture: &Fixture) -> Records {
    Records::new(fixture.folder.path().join("runs")).unwrap()
}

#[tokio::test]
async fn a_start_kills_a_group_that_is_proven() {
    let fixture = mk_fixture();
    let key = mk_key(41);
    let leftover = Sleeper::mk(Some(key));
    let pids = leftover.group();
    assert_eq!(pids.len(), 2);
    mk_records(&fixture).write(key, Some(leftover.record())).unwrap();
    let report = fixture.runtime.end_leftovers().await.unwrap();
    assert_eq!((report.killed.len(), report.surviving.len(), report.stale), (1, 0, 0));
    let Leftover { plugin, run, pids: killed } = &report.killed[0];
    assert_eq!((*plugin, *run), (PLUGIN, key.run));
    assert!(pids.iter().all(|pid| killed.contains(pid)));
    assert_eq!(leftover.group(), Vec::<u32>::new());
    assert!(!fixture.record().exists());
}

#[tokio::test]
async fn a_start_finds_a_run_whose_record_has_no_pid_yet() {
    let fixture = mk_fixture();
    let key = mk_key(42);
    let leftover = Sleeper::mk(Some(key));
    mk_records(&fixture).write(key, None).unwrap();
    assert_eq!(fixture.runtime.end_leftovers().await.unwrap().killed.len(), 1);
    assert!(!leftover.is_alive());
}

#[tokio::test]
async fn a_start_leaves_an_unrelated_process_alone() {
    let fixture = mk_fixture();
    let key = mk_key(43);
    let records = mk_records(&fixture);
    let unrelated = Sleeper::mk(None);
    let of_another_run = Sleeper::mk(Some(mk_key(44)));
    let mut other_start = Sleeper::mk(None).record();
    other_start.pid = unrelated.0.id();
    other_start.pgid = unrelated.0.id();
    for leader in [unrelated.record(), of_another_run.record(), other_start] {
        records.write(key, Some(leader)).unwrap();
        let report = fixture.runtime.end_leftovers().await.unwrap();
        assert_eq!((report.killed.len(), report.stale), (0, 1));
        assert!(!fixture.record().exists());
    }
    assert_eq!((unrelated.group().len(), of_another_run.group().len()), (2, 2));
}

#[tokio::test]
async fn a_start_leaves_records_of_another_boot_alone() {
    let fixture = mk_fixture();
    let key = mk_key(45);
    let process = Sleeper::mk(Some(key));
    mk_records(&fixture).write(key, Some(process.record())).unwrap();
    let record = fs::read_to_string(fixture.record()).unwrap();
    let boot = mk_records(&fixture).boot_id().to_owned();
    fs::write(fixture.record(), record.replace(&boot, "another")).unwrap();
    assert_eq!(fixture.runtime.end_leftovers().await.unwrap().stale, 1);
    assert!(process.is_alive());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_removed() {
    let fixture = mk_fixture();
    fs::create_dir_all(fixture.record().parent().unwrap()).unwrap();
    fs::write(fixture.record(), "{").unwrap();
    assert_eq!(fixture.runtime.end_leftovers().await.unwrap(), LeftoversReport::default());
    assert!(!fixture.record().exists());
}

#[tokio::test]
async fn a_start_ends_an_earlier_run_first() {
    let fixture = mk_fixture();
    let key = mk_key(46);
    let leftover = Sleeper::mk(Some(key));
    mk_records(&fixture).write(key, Some(leftover.record())).unwrap();
    let mut started = fixture.start(mk_shell("exit 0"));
    started.spawned().await;
    assert_eq!(leftover.group(), Vec::<u32>::new());
    started.exited().await;
    started.emptied().await;
}

#[test]
fn a_keeper_kills_what_is_listed_at_the_end_of_its_input() {
    let (listed, forgotten, unproven) = (mk_key(51), mk_key(52), mk_key(53));
    let (doomed, spared, other) = (Sleeper::mk(Some(listed)), Sleeper::mk(Some(forgotten)), Sleeper::mk(None));
    let (reader, mut writer) = io::pipe().unwrap();
    let watching = std::thread::spawn(move || keeper::watch(BufReader::new(reader)));
    writer.write_all(b"nonsense\n+1\n").unwrap();
    writer.write_all(keeper::watch_line(doomed.record(), listed).as_bytes()).unwrap();
    writer.write_all(keeper::watch_line(spared.record(), forgotten).as_bytes()).unwrap();
    writer.write_all(keeper::watch_line(other.record(), unproven).as_bytes()).unwrap();
    writer.write_all(keeper::forget_line(spared.record().pgid).as_bytes()).unwrap();
    assert_eq!(doomed.group().len(), 2, "nothing is killed while its input lasts");
    drop(writer);
    watching.join().unwrap().unwrap();
    assert_eq!(doomed.group(), Vec::<u32>::new());
    assert_eq!((spared.group().len(), other.group().len()), (2, 2));
}

/// Variable that turns this test program into a part of plugd.
const ROLE: &str = "PLUGD_TEST_ROLE";

/// A program that is a keeper: this one, in that role.
fn mk_keeper(folder: &TempDir) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = folder.path().join("keeper");
    let name = "runtime::process::tests::afterlife::in_the_role_of_a_keeper";
    let script = format!("#!/bin/sh\n{ROLE}=keeper exec {} --exact {name} --nocapture\n", test.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn in_the_role_of_a_keeper() {
    if std::env::var(ROLE).is_ok_and(|role| role == "keeper") {
        keeper::run().unwrap();
    }
}

/// A plugd that is about to be killed: its plugin has a grandchild and a stray, whose pids go to a file.
#[tokio::test]
async fn in_the_role_of_plugd() {
    let Some(folder) = std::env::var(ROLE).ok().filter(|role| role.starts_with('/')) else { return };
    let fixture = mk_fixture_with(Files::default(), |options| {
        options.keeper = Some(PathBuf::from(&folder).join("keeper"));
        options.runs_dir = PathBuf::from(&folder).join("runs");
    });
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & sh -c 'echo $$; exec sleep 1000' & echo $$; wait";
    let mut started = fixture.start(mk_shell(script));
    started.spawned().await;
    let pids = fixture.lines(3).await.join("\n");
    fs::write(format!("{folder}/pids.new"), pids).unwrap();
    fs::rename(format!("{folder}/pids.new"), format!("{folder}/pids")).unwrap();
    std::future::pending().await
}

#[tokio::test]
async fn a_plugd_that_is_killed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    mk_keeper(&folder);
    let name = "runtime::process::tests::afterlife::in_the_role_of_plugd";
    let mut plugd = Command::new(std::env::current_exe().unwrap());
    plugd.args(["--exact", name, "--nocapture"]).env(ROLE, folder.path()).stdout(Stdio::null()).process_group(0);
    let mut plugd = Sleeper(plugd.spawn().unwrap());
    eventually(|| folder.path().join("pids").exists()).await;
    let pids: Vec<u32> = fs::read_to_string(folder.path().join("pids")).unwrap().lines().map(pid_of).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)));
    plugd.0.kill().unwrap();
    eventually(|| !pids.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn a_keeper_that_dies_is_replaced_and_told_what_lives() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("keeper");
    let log = folder.path().join("log");
    fs::write(&program, format!("#!/bin/sh\necho $$ >>{0}\nexec cat >>{0}\n", log.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let fixture = mk_fixture_with(Files::default(), |options| options.keeper = Some(program));
    let log = || fs::read_to_string(&log).unwrap_or_default();
    let mut started = fixture.start(mk_shell("while :; do sleep 1; done"));
    let group = started.spawned().await;
    let is_told = |count: usize| log().lines().filter(|line| line.starts_with(&format!("+{group} "))).count() == count;
    eventually(|| is_told(1)).await;
    let keeper = pid_of(log().lines().next().unwrap());
    rustix::process::kill_process(crate::runtime::process_table::to_pid(keeper).unwrap(), Signal::KILL).unwrap();
    eventually(|| is_told(2)).await;
    assert!(is_alive(group), "a keeper's death is no reason to kill");
    started.run.kill();
    started.exited().await;
    started.emptied().await;
    eventually(|| log().lines().any(|line| line == format!("-{group}"))).await;
}
