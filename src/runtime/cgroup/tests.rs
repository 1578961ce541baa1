//! What is written where, on folders that look like groups; `process::tests::cgroup` has groups of this host.

use std::{os::unix::process::ExitStatusExt, process::Command};

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use super::*;

/// A group without processes, in which nobody is yet.
struct Fixture {
    folder: TempDir,
}

const ALL: &str = "cpuset cpu io memory pids\n";
const PLUGIN: PluginId = PluginId::from_bytes([3; 12]);
const RUN: RunId = RunId::from_bytes([7; 12]);
const LIMITS: Limits = Limits {
    memory_bytes: Some(1 << 20),
    open_files: Some(9),
    processes: Some(50),
    file_bytes: None,
    cpu_seconds: Some(3),
    cpu_millis: Some(1500),
};

/// A group like a service's, with these controllers, and these processes in it.
fn mk_fixture(controllers: &str, processes: &str) -> Fixture {
    let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
    fixture.write("cgroup.type", "domain\n");
    fixture.write("cgroup.controllers", controllers);
    fixture.write("cgroup.procs", processes);
    fixture.write(CONTROLLERS, "");
    fixture
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// What this process, which is in `own`, finds; its lock is in a folder of its own, not in the group.
    fn found(&self, own: &str, is_given: bool, lock: &Path) -> Cgroups {
        Cgroups::around(&self.path(own), is_given, lock).unwrap()
    }

    /// The groups in it.
    fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

fn mk_lock() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    (folder, lock)
}

fn this() -> String {
    std::process::id().to_string()
}

#[test]
fn plugd_steps_aside_so_that_its_group_can_share_out_what_it_has() {
    let (fixture, (_folder, lock)) = (mk_fixture(ALL, &format!("{}\n", this())), mk_lock());
    let cgroups = fixture.found("", true, &lock);
    assert_eq!(fixture.read("plugd/cgroup.procs"), this());
    // The kernel adds what is written to what is there; a file has the last.
    assert_eq!(fixture.read(CONTROLLERS), "+pids");
    assert!(cgroups.base.ends_with(fixture.folder.path()));
}

#[test]
fn where_others_are_in_the_group_plugd_stays_and_takes_nothing() {
    let (fixture, (_folder, lock)) = (mk_fixture(ALL, &format!("1\n{}\n", this())), mk_lock());
    let cgroups = fixture.found("", true, &lock);
    assert_eq!((cgroups.controllers(), fixture.read(CONTROLLERS).as_str()), (Controllers::default(), ""));
    assert_eq!(fixture.groups(), [] as [&str; 0], "not even the trial is left");
}

#[test]
fn what_is_not_given_is_not_taken() {
    let (fixture, (_folder, lock)) = (mk_fixture(ALL, &this()), mk_lock());
    let cgroups = fixture.found("", false, &lock);
    assert_eq!((cgroups.controllers(), fixture.groups().len()), (Controllers::default(), 0));
}

#[test]
fn the_highest_group_shares_out_with_processes_in_it() {
    let (fixture, (_folder, lock)) = (mk_fixture("pids\n", "1\n2\n"), mk_lock());
    fs::remove_file(fixture.path("cgroup.type")).unwrap();
    fixture.found("", true, &lock);
    assert_eq!(fixture.read(CONTROLLERS), "+pids");
    assert_eq!(fixture.groups(), [] as [&str; 0]);
}

/// A group in which there is one that is called as plugd's own, and these processes.
fn mk_fixture_above(processes: &str) -> Fixture {
    let fixture = mk_fixture("memory\n", processes);
    fs::create_dir(fixture.path("plugd")).unwrap();
    fixture
}

/// Marks a group as a service manager does. Not every file system takes a mark.
fn give(fixture: &Fixture) -> bool {
    let set = |name: &str| rustix::fs::setxattr(fixture.folder.path(), name, b"1", XattrFlags::empty());
    let is_given = MARKS.into_iter().any(|name| set(name).is_ok());
    if !is_given {
        eprintln!("skipped: files can't be marked here");
    }
    is_given
}

#[test]
fn a_plugd_that_was_put_into_its_own_group_makes_the_runs_groups_beside_it() {
    let (fixture, (_folder, lock)) = (mk_fixture_above(""), mk_lock());
    if !give(&fixture) {
        return;
    }
    let cgroups = fixture.found("plugd", true, &lock);
    assert_eq!(cgroups.base, fixture.folder.path());
    assert_eq!(fixture.read(CONTROLLERS), "+memory");
    assert!(!fixture.path("plugd/plugd").exists());
}

#[test]
fn a_group_that_is_only_called_as_plugds_own_is_not_left() {
    let (of_an_admin, in_use) = (mk_fixture_above(""), mk_fixture_above("1\n"));
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: what a user may write to is the user's");
        return;
    }
    let is_marked = give(&in_use);
    for fixture in [Some(of_an_admin), is_marked.then_some(in_use)].into_iter().flatten() {
        let (_folder, lock) = mk_lock();
        let own = fixture.path("plugd");
        assert_eq!(fixture.found("plugd", false, &lock).base, own);
        assert_eq!(Outlook::around(&own, false).group, own);
        assert_eq!(fixture.read(CONTROLLERS), "");
    }
}

#[test]
fn what_runs_would_have_is_told_without_a_change() {
    let alone = mk_fixture(ALL, &this());
    let look = |fixture: &Fixture, is_given| Outlook::around(fixture.folder.path(), is_given);
    let found = look(&alone, true);
    assert_eq!((found.holds, found.obstacle, found.can_be_made), (Controllers::ALL, None, true));
    assert_eq!(found.group, alone.folder.path());
    let found = look(&alone, false);
    assert_eq!(found.holds, Controllers::default());
    assert!(found.obstacle.unwrap().contains("not given"));
    let shared = mk_fixture(ALL, &format!("1\n{}\n", this()));
    let found = look(&shared, true);
    assert_eq!((found.holds, found.obstacle.as_deref()), (Controllers::default(), Some("other processes are in it")));
    for fixture in [alone, shared] {
        assert_eq!((fixture.groups().len(), fixture.read(CONTROLLERS).as_str()), (0, ""));
    }
    assert!(!Outlook::around(Path::new("/none"), true).can_be_made);
}

/// Groups that hold all that there is.
fn mk_groups(fixture: &Fixture, lock: &Path) -> Cgroups {
    fixture.write(CONTROLLERS, "cpu memory pids\n");
    fixture.found("", true, lock)
}

#[test]
fn the_group_of_a_run_is_told_its_limits() {
    let (fixture, (_folder, lock)) = (mk_fixture("cpu memory pids\n", "1\n2\n"), mk_lock());
    let cgroups = mk_groups(&fixture, &lock);
    let group = cgroups.make(PLUGIN, RUN, LIMITS).unwrap();
    let told = |name: &str| fs::read_to_string(group.folder().join(name)).unwrap();
    assert_eq!(told("memory.max"), "1048576");
    assert_eq!(told("memory.oom.group"), "1");
    assert_eq!(told("pids.max"), "50");
    assert_eq!(told("cpu.max"), "150000 100000");
    assert_eq!(
        group.controllers().leave(LIMITS),
        Limits { memory_bytes: None, processes: None, ..LIMITS },
        "the rest is held process by process"
    );
}

#[test]
fn a_limit_that_is_refused_costs_no_other() {
    let (group, _) = mk_lock();
    // Nothing can be written to a folder.
    fs::create_dir(group.path().join("pids.max")).unwrap();
    let holds = Controllers::ALL.tell(group.path(), PLUGIN, LIMITS);
    assert_eq!(holds, Controllers { pids: false, ..Controllers::ALL });
    assert_eq!(holds.leave(LIMITS).processes, LIMITS.processes, "it is held process by process");
    assert_eq!(fs::read_to_string(group.path().join("cpu.max")).unwrap(), "150000 100000");
}

#[test]
fn a_group_is_kept_whatever_the_kernel_refuses_it() {
    let (_folder, lock) = mk_lock();
    let Ok(mut cgroups) = Cgroups::find(&lock) else {
        eprintln!("skipped: this host lets nobody make control groups of version 2");
        return;
    };
    // A group without controllers has none of their files.
    cgroups.controllers = Controllers::ALL;
    let group = cgroups.make(PLUGIN, RUN, Limits { memory_bytes: Some(u64::MAX), ..LIMITS }).unwrap();
    assert!(group.folder().join(PROCESSES).exists());
}

#[test]
fn what_the_group_does_not_hold_is_left_to_each_process() {
    let none = Controllers::default();
    assert_eq!(none.settings(LIMITS), []);
    assert_eq!(none.leave(LIMITS), LIMITS);
    let memory = Controllers { memory: true, ..none };
    assert_eq!(memory.settings(Limits::default()), [("memory.oom.group", "1".to_owned())], "without a limit, too");
    assert_eq!(memory.leave(LIMITS), Limits { memory_bytes: None, ..LIMITS });
}

#[test]
fn leftovers_are_removed_if_they_are_this_plugds_and_empty() {
    let (fixture, (_folder, lock), (_other, another)) = (mk_fixture("", ""), mk_lock(), mk_lock());
    let cgroups = fixture.found("", true, &lock);
    let theirs = fixture.found("", true, &another).prefix.clone();
    let ours = |name: &str| format!("{}{name}", cgroups.prefix);
    // What a process of a plugin may have made in its group goes with it.
    fs::create_dir_all(fixture.path(&ours("a")).join("below/below")).unwrap();
    for name in [ours("b"), format!("{theirs}a"), "plugd".to_owned(), "other".to_owned()] {
        fs::create_dir(fixture.path(&name)).unwrap();
    }
    // A folder with a file is not removed, as a group with a process is not.
    fs::create_dir(fixture.path(&ours("busy"))).unwrap();
    fixture.write(&format!("{}/file", ours("busy")), "");
    remove_leftovers(cgroups.leftovers());
    let mut left = fixture.groups();
    left.sort();
    let mut expected = [format!("{theirs}a"), "plugd".to_owned(), "other".to_owned(), ours("busy")];
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_group_that_could_not_be_removed_is_tried_again() {
    let (fixture, (_folder, lock)) = (mk_fixture("", ""), mk_lock());
    let cgroups = fixture.found("", true, &lock);
    let group = cgroups.make(PLUGIN, RUN, Limits::default()).unwrap();
    let busy = group.folder().join("busy");
    fs::write(&busy, "").unwrap();
    drop(group);
    assert_eq!(fixture.groups().len(), 1);
    fs::remove_file(&busy).unwrap();
    drop(cgroups);
    assert_eq!(fixture.groups(), [] as [&str; 0]);
}

#[test]
fn a_start_tries_a_few_of_the_groups_that_are_left_and_others_next_time() {
    let (fixture, (_folder, lock)) = (mk_fixture("", ""), mk_lock());
    let cgroups = fixture.found("", true, &lock);
    let left: Vec<PathBuf> = (0..2 * RETRIES).map(|number| fixture.path(&format!("left-{number:02}"))).collect();
    for group in &left {
        fs::create_dir(group).unwrap();
    }
    // The first can't be removed, which keeps none that come later.
    fs::write(left[0].join("busy"), "").unwrap();
    cgroups.left.lock().unwrap().extend(left.iter().cloned());
    cgroups.remove_left(RETRIES);
    let (tried, others) = left.split_at(RETRIES);
    assert!(tried[0].exists() && tried[1..].iter().all(|group| !group.exists()));
    assert!(others.iter().all(|group| group.exists()));
    cgroups.remove_left(RETRIES);
    assert!(others.iter().all(|group| !group.exists()));
    assert_eq!(*cgroups.left.lock().unwrap(), [tried[0].clone()]);
}

/// A way to have all killed that is in a group.
type Kill = fn(&RunGroup);

/// In a group of this host. Fork loops seldom outrun whoever kills them one by one, so that they would not show it.
#[test]
fn what_is_in_a_group_is_killed_by_one_order() {
    let (_folder, lock) = mk_lock();
    let Ok(groups) = Cgroups::find(&lock) else {
        return eprintln!("skipped: this host lets nobody make control groups of version 2");
    };
    let ways: [Kill; 2] = [RunGroup::kill, |group| Membership::open(group.folder().into()).unwrap().kill().unwrap()];
    for kill in ways {
        let group = groups.make(PLUGIN, RUN, Limits::default()).unwrap();
        // One that is not killed ends by itself, and fails the test.
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(group.folder().join("cgroup.procs"), process.id().to_string()).unwrap();
        kill(&group);
        assert_eq!(process.wait().unwrap().signal(), Some(9));
    }
}
