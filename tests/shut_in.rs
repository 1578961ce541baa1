//! What plugins can't reach, on a plugd that runs as any user: what is closed to them without any sandbox.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Api, Running, children, eventually, packaged, program};

/// A user who has nothing.
const USER: u32 = 54_321;

/// A plugd of [`USER`]'s, with these options; of the user who runs the tests, where that is not root.
struct OfUser {
    running: Running,
    api: Api,
    home: TempDir,
}

impl OfUser {
    async fn start(args: &[&str]) -> Self {
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut command = as_user(home.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(home.path().join("data")).args(args);
        let mut running = Running::start_reading_stderr(&mut command);
        let url = running.find("plugd serves on ").await.trim_start_matches("plugd serves on ").to_owned();
        let token = fs::read_to_string(home.path().join("data/admin.token")).unwrap();
        Self { running, api: Api::at(&url, Some(token.trim())), home }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    async fn stop(self) {
        self.running.interrupt();
        self.running.ended().await;
    }
}

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// plugd as a user who has nothing but this folder. That user may not be able to enter the folder of the tests' own binary: so
/// it is copied.
pub(crate) fn as_user(home: &Path) -> Command {
    let own = env!("CARGO_BIN_EXE_plugd");
    if !is_root() {
        return program(own);
    }
    let copy = home.join("plugd");
    fs::hard_link(own, &copy).or_else(|_| fs::copy(own, &copy).map(drop)).unwrap();
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
    chown(home, Some(USER), Some(USER)).unwrap();
    let mut command = program("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]).arg(copy);
    command.env("HOME", home);
    command
}

/// Runs this script as a plugin, which ends by itself; returns what it printed.
async fn printed(plugd: &OfUser, script: &str) -> String {
    printed_raw(plugd, &format!("({script}) 2>&1; echo end")).await
}

/// The same of one that prints to both streams, and `end` at its end.
async fn printed_raw(plugd: &OfUser, script: &str) -> String {
    let id = installed(plugd, script).await;
    plugd.api.begin(&id).await;
    let read = || Some(logged(plugd, &id)).filter(|text| text.lines().any(|line| line.ends_with(" F end")));
    eventually("the end of the script", read).await
}

async fn installed(plugd: &OfUser, script: &str) -> String {
    let manifest = json!({
        "id": "looker", "author": "tests", "name": "Looker", "description": "", "version": "1.0.0",
        "command": "sh", "args": ["-c", script],
    });
    plugd.api.upload(packaged(&manifest)).await.unwrap().id
}

/// All that is in its log.
fn logged(plugd: &OfUser, id: &str) -> String {
    let logs = plugd.data().join("plugins").join(id).join("logs");
    let files = fs::read_dir(logs).into_iter().flatten().map(|entry| entry.unwrap().path());
    files.filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[tokio::test]
async fn a_plugin_of_the_same_user_cannot_look_into_plugd_and_its_helpers() {
    let plugd = OfUser::start(&["--sandbox", "off", "--max-restart-attempts", "0"]).await;
    let own = plugd.running.pid();
    let child_of = |pid: u32| eventually("a child", move || children(pid).first().copied());
    let keeper = child_of(own).await;
    let helper = child_of(keeper).await;
    let script = format!(
        "init=$PPID; for pid in {own} {keeper} {helper} $init; do \
         cat /proc/$pid/environ >/dev/null && echo read; ls /proc/$pid/fd && echo read; \
         head -c 1 /proc/$pid/mem && echo read; done; \
         cat /proc/self/environ >/dev/null && echo its own"
    );
    let seen = printed(&plugd, &script).await;
    assert!(!seen.contains(" F read"), "{seen}");
    assert_eq!(seen.matches("ermission denied").count(), 12, "{seen}");
    assert!(seen.contains(" F its own"), "a program that they run is as any other: {seen}");
    plugd.stop().await;
}

/// The files in which a process says who it is in a user namespace are root's where it is not dumpable.
#[tokio::test]
async fn a_plugd_of_any_user_still_gives_its_plugins_a_world_of_their_own() {
    let plugd = OfUser::start(&["--max-restart-attempts", "0"]).await;
    let seen = printed(&plugd, "echo pid $$; cat /proc/1/environ >/dev/null && echo read; id -u").await;
    let user = geteuid().as_raw();
    let user = if user == 0 { USER } else { user };
    assert!(seen.contains(" F pid 2\n"), "{seen}");
    assert!(seen.contains(&format!(" F {user}\n")), "{seen}");
    assert!(!seen.contains(" F read"), "its init is closed to it too: {seen}");
    plugd.stop().await;
}

#[tokio::test]
async fn what_the_sandbox_may_have_refused_is_followed_by_a_hint_once() {
    for (level, hints) in [("protect", 1), ("off", 0)] {
        let plugd = OfUser::start(&["--sandbox", level, "--max-restart-attempts", "0"]).await;
        // A run has one line for both.
        let seen =
            printed_raw(&plugd, "for i in 1 2; do cat /proc/1/mem; echo x >/etc/plugd-x; done; echo end >&2").await;
        assert!(seen.matches("ermission denied").count() >= 2, "{seen}");
        assert_eq!(seen.matches("stderr F plugd: the sandbox may have refused this").count(), hints, "{level}: {seen}");
        plugd.stop().await;
    }
}

/// The kernel says so by a signal of its own.
#[tokio::test]
async fn a_program_that_the_sandbox_ends_is_followed_by_a_hint() {
    let plugd = OfUser::start(&["--max-restart-attempts", "0"]).await;
    let id = installed(&plugd, "kill -31 $$").await;
    plugd.api.begin(&id).await;
    let logged = || Some(logged(&plugd, &id)).filter(|text| text.contains("plugd: the sandbox has most likely ended"));
    eventually("the hint", logged).await;
    plugd.stop().await;
}
