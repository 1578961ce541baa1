use std::fs::File;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;

fn key() -> RunKey {
    RunKey { plugin: PluginId::from_bytes([7; 12]), run: RunId::from_bytes([9; 12]) }
}

fn process(pid: u32, parent: u32, group: u32) -> Process {
    Process { pid, start_time: u64::from(pid), parent, group, session: group, is_zombie: false }
}

fn pids(found: &[Process]) -> Vec<u32> {
    found.iter().map(|process| process.pid).collect()
}

#[test]
fn a_name_with_parentheses_blanks_and_other_bytes_does_not_shift_the_fields() {
    let stat = b"42 (a) Z (b \xff c) S 1 42 40 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 3 0 987654 1 1";
    let read = Process::parse(42, stat).unwrap();
    let expected = Process { pid: 42, start_time: 987_654, parent: 1, group: 42, session: 40, is_zombie: false };
    assert_eq!(read, expected);
}

#[test]
fn the_run_is_read_from_the_environment() {
    let url = format!("ws://h/rpc?plugin_id=x&token={}-and-48-more", key().token_prefix());
    let block = format!("A=b\0PLUGD_RPC_URL={url}\0PLUGD_PLUGIN_ID={}\0", key().plugin);
    assert_eq!(RunKey::from_environ(block.as_bytes()), Some(key()));
    assert_eq!(RunKey::from_environ(b"PLUGD_RPC_URL=ws://h/rpc?token=short\0PLUGD_PLUGIN_ID=x\0"), None);
}

#[test]
fn descendants_that_left_group_and_environment_are_members() {
    let other = (process(5, 1, 5), None);
    let table = ProcessTable {
        processes: vec![
            other,
            (process(12, 11, 12), None),
            (process(11, 10, 11), None),
            (process(10, 1, 10), Some(key())),
        ],
    };
    assert_eq!(pids(&table.members(10, key())), [12, 11, 10]);
}

#[test]
fn a_leftover_group_without_proof_is_left_alone() {
    let table = ProcessTable { processes: vec![(process(10, 1, 10), None), (process(11, 10, 10), None)] };
    assert!(table.leftovers(Some((10, 10)), key()).is_empty());
}

#[test]
fn a_leader_with_another_start_time_proves_nothing_of_its_group() {
    let table = ProcessTable { processes: vec![(process(10, 1, 10), Some(key())), (process(11, 1, 10), None)] };
    assert_eq!(pids(&table.leftovers(Some((10, 99)), key())), [10]);
    assert_eq!(pids(&table.leftovers(Some((10, 10)), key())), [10, 11]);
}

#[test]
fn a_member_with_the_run_proves_the_group_of_a_dead_leader() {
    let table = ProcessTable { processes: vec![(process(11, 1, 10), Some(key())), (process(12, 1, 10), None)] };
    assert_eq!(pids(&table.leftovers(Some((10, 10)), key())), [11, 12]);
}

/// A folder like `/proc` in which process 7 lives.
fn mk_proc() -> tempfile::TempDir {
    let proc = tempfile::tempdir().unwrap();
    fs::create_dir(proc.path().join("7")).unwrap();
    fs::write(proc.path().join("7/stat"), "7 (a) S 1 7 7 0 -1 0 1 0 0 0 1 2 0 0 20 0 1 0 9 1 1").unwrap();
    fs::write(proc.path().join("7/environ"), "A=b\0").unwrap();
    proc
}

#[test]
fn a_process_that_is_gone_is_not_counted_and_one_that_cannot_be_read_fails_the_table() {
    let proc = mk_proc();
    fs::create_dir(proc.path().join("8")).unwrap();
    assert_eq!(ProcessTable::read_from(proc.path()).unwrap().processes.len(), 1);
    // Reading a folder fails, but not as reading what is gone does.
    for unreadable in ["8/stat", "7/environ"] {
        let proc = mk_proc();
        let path = proc.path().join(unreadable);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(&path).unwrap();
        assert!(ProcessTable::read_from(proc.path()).is_err(), "{unreadable}");
    }
}

/// Variable that turns this test program into a process out of descriptors.
const ROLE: &str = "PLUGD_TEST_OUT_OF_DESCRIPTORS";

#[test]
fn in_the_role_of_a_process_out_of_descriptors() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let own = Process::read(std::process::id()).unwrap().unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(own.is_alive().is_err(), "out of descriptors is not the same as dead");
    assert!(own.open().is_err());
    // One is left for the folder itself.
    files.pop();
    assert!(ProcessTable::read().is_err(), "a look at the processes that saw nobody does not say that nobody lives");
    files.clear();
    assert!(ProcessTable::read().unwrap().processes.iter().any(|(process, _)| *process == own));
}

#[test]
fn a_process_out_of_descriptors_does_not_take_the_living_for_dead() {
    let name = "runtime::process_table::tests::in_the_role_of_a_process_out_of_descriptors";
    let mut other = std::process::Command::new(std::env::current_exe().unwrap());
    let output = other.args(["--exact", name, "--nocapture"]).env(ROLE, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_environment_without_end_is_not_read_whole() {
    let proc = tempfile::tempdir().unwrap();
    let folder = proc.path().join("42");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("stat"), "42 (a) S 1 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 3 0 987654 1 1").unwrap();
    File::create(folder.join("environ")).unwrap().set_len(1 << 42).unwrap();
    let table = ProcessTable::read_from(proc.path()).unwrap();
    assert_eq!(table.processes.iter().map(|(process, run)| (process.pid, *run)).collect::<Vec<_>>(), [(42, None)]);
}
