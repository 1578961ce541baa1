//! Runs in groups of their own, on hosts that let this program make groups. Limits need controllers, which few hosts give to
//! a test: what is written for them is in `cgroup::tests`.

use std::{fs, path::Path};

use super::{
    afterlife::{Member, mk_family},
    limits::limits_in,
    *,
};

/// Whether runs of this fixture have groups, without which a test has nothing to look at.
fn has_groups(fixture: &Fixture) -> bool {
    let has = fixture.runtime.inner.cgroups.is_some();
    if !has {
        eprintln!("skipped: this host lets nobody make control groups of version 2");
    }
    has
}

/// The folder of the group that a process is in.
fn group_of(pid: u32) -> PathBuf {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    crate::runtime::cgroup::own_folder(&read("cgroup"), &read("mountinfo")).unwrap()
}

fn is_in(pid: u32, group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.procs")).unwrap().lines().any(|line| line == pid.to_string())
}

/// Sixty of them, each in a session of its own, in which each process starts the next one and ends.
const FORK_LOOPS: &str = "for i in $(seq 60); do setsid perl -e 'while (1) { fork && exit }' & done; exec sleep 1000";

#[tokio::test]
async fn a_run_has_a_group_of_its_own_which_is_gone_with_it() {
    let fixture = mk_fixture();
    if !has_groups(&fixture) {
        return;
    }
    let spec = mk_shell("setsid sh -c 'echo $$; exec sleep 1000' & wait");
    let run = spec.run.to_string();
    let mut started = fixture.start(spec);
    let leader = started.spawned().await;
    let (group, stray) = (group_of(leader), pid_of(&fixture.lines(1).await[0]));
    assert!(group.to_str().unwrap().ends_with(&run), "{}", group.display());
    assert!(is_in(leader, &group) && is_in(stray, &group));
    assert!(!is_in(tree::parent(leader).unwrap(), &group), "the init outlives what it looks after");
    started.run.kill();
    started.exited().await;
    started.emptied().await;
    assert!(!group.exists());
}

#[tokio::test]
async fn fork_loops_end_with_their_run_where_there_is_no_namespace() {
    let fixture = mk_fixture();
    if !has_groups(&fixture) {
        return;
    }
    let mut started = fixture.start(mk_shell(FORK_LOOPS));
    let group = group_of(started.spawned().await);
    eventually(|| started.run.pids().len() > 30).await;
    started.run.kill();
    started.exited().await;
    started.emptied().await;
    assert!(!group.exists());
}

#[tokio::test]
async fn fork_loops_that_have_lost_their_init_end_when_they_are_killed() {
    let fixture = mk_fixture();
    if !has_groups(&fixture) {
        return;
    }
    let mut started = fixture.start(mk_shell(FORK_LOOPS));
    let leader = started.spawned().await;
    let group = group_of(leader);
    eventually(|| started.run.pids().len() > 30).await;
    kill_process(tree::to_pid(tree::parent(leader).unwrap()).unwrap(), Signal::KILL).unwrap();
    started.run.kill();
    started.exited().await;
    started.emptied().await;
    assert!(!group.exists());
}

#[tokio::test]
async fn a_killed_plugd_leaves_no_group() {
    if !has_groups(&mk_fixture()) {
        return;
    }
    let family = mk_family().await;
    let group = group_of(family.plugin[0]);
    assert!(group.exists());
    kill_process(tree::to_pid(family.pid(Member::Plugd)).unwrap(), Signal::KILL).unwrap();
    eventually(|| !group.exists()).await;
}

#[tokio::test]
async fn a_group_that_is_left_is_removed_by_the_next_plugd() {
    if !has_groups(&mk_fixture()) {
        return;
    }
    let family = mk_family().await;
    let group = group_of(family.plugin[0]);
    for member in [Member::Plugd, Member::Init] {
        kill_process(tree::to_pid(family.pid(member)).unwrap(), Signal::KILL).unwrap();
    }
    let lock = family.folder.path().join("lock");
    let next = mk_fixture_with(Files::default(), |options| options.lock = lock);
    next.runtime.remove_leftovers();
    eventually(|| !group.exists()).await;
}

#[tokio::test]
async fn where_a_group_can_not_be_entered_limits_hold_process_by_process() {
    let mut fixture = mk_fixture();
    let looks_like_a_group = tempfile::tempdir().unwrap();
    fs::write(looks_like_a_group.path().join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
    let mut options = mk_options(&fixture.folder);
    options.limits = Limits { memory_bytes: Some(1_000_000_000), processes: Some(4000), ..Limits::default() };
    let cgroups = Cgroups::around(looks_like_a_group.path(), false, &options.lock).unwrap();
    assert!(cgroups.controllers().memory && cgroups.controllers().pids);
    let (fetch, capture) = (mk_fetch(Files::default()), mk_capture(&fixture.output));
    fixture.runtime = ProcessRuntime::with_groups(options, fetch, capture, Some(cgroups)).unwrap();
    assert_eq!(limits_in(&fixture, "Max address space").await.0, "1000000000");
    fixture.output.lock().unwrap().clear();
    assert_eq!(limits_in(&fixture, "Max processes").await.0, "4000");
}
