//! What becomes of a run when those that look after it are killed: plugd, the two processes of the keeper, the init.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};

use super::*;

/// Variable that turns this test program into a plugd whose files are in the folder that it names.
const ROLE: &str = "PLUGD_TEST_ROLE";

/// Everything of a run that can be told from here: those who look after it, and its own processes.
pub(super) struct Family {
    plugd: Child,
    pub(super) folder: TempDir,
    keepers: [u32; 2],
    init: u32,
    pub(super) plugin: Vec<u32>,
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.plugd.kill();
        let _ = self.plugd.wait();
        // No plugd is started after it, which would remove what nobody was left to remove.
        let lock = self.folder.path().join("lock");
        let _ = File::open(&lock).unwrap().lock();
        if let Ok(cgroups) = Cgroups::find(&lock) {
            remove_leftovers(cgroups.leftovers());
        }
    }
}

/// A plugd whose plugin has a child, and a grandchild that left its session, group, parent and environment.
#[tokio::test]
async fn in_the_role_of_plugd() {
    let Some(folder) = std::env::var_os(ROLE).map(PathBuf::from) else { return };
    let fixture = mk_fixture_with(Files::default(), |options| options.lock = folder.join("lock"));
    // So many that to kill them takes a while.
    let script =
        "env -i setsid sh -c 'for i in $(seq 50); do sleep 1000 & done; echo $!'; sleep 1000 & echo $!; echo $$; wait";
    for round in 1.. {
        let mut started = fixture.start(mk_shell(script));
        started.spawned().await;
        let pids = fixture.lines(3 * round).await;
        let pids = pids[3 * (round - 1)..].join("\n");
        fs::write(folder.join("new"), pids).unwrap();
        fs::rename(folder.join("new"), folder.join(round.to_string())).unwrap();
        started.exited().await;
        started.emptied().await;
    }
}

/// The pids that the plugin of this round told.
async fn told(folder: &TempDir, round: u32) -> Vec<u32> {
    let file = folder.path().join(round.to_string());
    eventually(|| file.exists()).await;
    fs::read_to_string(file).unwrap().lines().map(pid_of).collect()
}

pub(super) async fn mk_family() -> Family {
    let folder = tempfile::tempdir().unwrap();
    let mut plugd = Command::new(std::env::current_exe().unwrap());
    let name = "runtime::process::tests::afterlife::in_the_role_of_plugd";
    plugd.args(["--exact", name, "--nocapture"]).env(ROLE, folder.path()).stdout(Stdio::null());
    let plugd = plugd.spawn().unwrap();
    let plugin = told(&folder, 1).await;
    assert!(plugin.len() == 3 && plugin.iter().all(|pid| is_alive(*pid)));
    let only_child = |pid: u32| tree::children(pid)[0];
    let first = only_child(plugd.id());
    let keepers = [first, only_child(first)];
    Family { plugd, folder, keepers, init: only_child(keepers[1]), plugin }
}

impl Family {
    pub(super) fn pid(&self, of: Member) -> u32 {
        match of {
            Member::Plugd => self.plugd.id(),
            Member::Keeper(index) => self.keepers[index],
            Member::Init => self.init,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Member {
    Plugd,
    Keeper(usize),
    Init,
}

const MEMBERS: [Member; 4] = [Member::Plugd, Member::Keeper(0), Member::Keeper(1), Member::Init];

/// Kills these at once and sees to it that nothing of the run is left, and that plugd goes on if it lives.
async fn kill_together(killed: &[Member]) {
    let family = mk_family().await;
    for member in killed {
        // It may have followed the one before already.
        let _ = kill_process(tree::to_pid(family.pid(*member)).unwrap(), Signal::KILL);
    }
    if !killed.contains(&Member::Plugd) {
        let again = told(&family.folder, 2).await;
        let left = family.plugin.iter().any(|pid| is_alive(*pid));
        assert!(!left, "{killed:?}: the next run begins when nothing of this one is left");
        assert!(again.iter().all(|pid| is_alive(*pid)), "{killed:?}");
        return;
    }
    let lock = File::open(family.folder.path().join("lock")).unwrap();
    eventually(|| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()).await;
    assert!(!family.plugin.iter().any(|pid| is_alive(*pid)), "{killed:?}: the lock says that nothing is left");
    // Who held it last has no more to do than to end.
    eventually(|| MEMBERS.iter().all(|member| !is_alive(family.pid(*member)))).await;
}

#[tokio::test]
async fn nothing_is_left_when_one_of_them_is_killed() {
    for member in MEMBERS {
        kill_together(&[member]).await;
    }
}

#[tokio::test]
async fn nothing_is_left_when_two_of_them_are_killed_at_once() {
    for (index, one) in MEMBERS.into_iter().enumerate() {
        for other in &MEMBERS[index + 1..] {
            kill_together(&[one, *other]).await;
        }
    }
}

#[tokio::test]
async fn the_lock_is_held_until_nothing_of_a_killed_plugd_lives() {
    let family = mk_family().await;
    // An init that is stopped can't end what it has: neither may the next plugd begin.
    let _init = Suspended::new(family.init);
    let keeper = Suspended::new(family.keepers[1]);
    kill_process(tree::to_pid(family.plugd.id()).unwrap(), Signal::KILL).unwrap();
    eventually(|| !is_alive(family.plugd.id())).await;
    let lock = File::open(family.folder.path().join("lock")).unwrap();
    assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err());
    assert!(family.plugin.iter().all(|pid| is_alive(*pid)));
    drop(keeper);
    eventually(|| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()).await;
    assert!(!family.plugin.iter().any(|pid| is_alive(*pid)));
}
