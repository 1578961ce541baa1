//! Users and limits of processes.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

/// The soft and the hard limit that a process of the fixture has, by the kernel's name.
pub(super) async fn limits_in(fixture: &Fixture, name: &str) -> (String, String) {
    let mut started = fixture.start(mk_shell("cat /proc/self/limits; echo end"));
    started.spawned().await;
    eventually(|| fixture.output().ends_with("end\n")).await;
    let output = fixture.output();
    let line = output.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// A limit by the kernel's name, its value, and how it is set.
type Case = (&'static str, &'static str, fn(&mut Limits));

#[tokio::test]
async fn each_limit_reaches_the_process() {
    let cases: [Case; 5] = [
        ("Max address space", "1000000000", |limits| limits.memory_bytes = Some(1_000_000_000)),
        ("Max open files", "64", |limits| limits.open_files = Some(64)),
        ("Max processes", "4000", |limits| limits.processes = Some(4000)),
        ("Max file size", "1000000", |limits| limits.file_bytes = Some(1_000_000)),
        ("Max cpu time", "77", |limits| limits.cpu_seconds = Some(77)),
    ];
    for (name, expected, set) in cases {
        let fixture = mk_fixture_with(Files::default(), |options| set(&mut options.limits));
        assert_eq!(limits_in(&fixture, name).await, (expected.to_owned(), expected.to_owned()), "{name}");
    }
}

#[tokio::test]
async fn a_limit_beyond_the_hosts_is_the_hosts() {
    let most = getrlimit(Resource::Nofile).maximum.unwrap();
    let fixture = mk_fixture_with(Files::default(), |options| options.limits.open_files = Some(most + 1));
    assert_eq!(limits_in(&fixture, "Max open files").await.1, most.to_string());
}

/// Variable that turns this test program into a plugd with a low limit.
const ROLE: &str = "PLUGD_TEST_LOW_LIMIT";

#[tokio::test]
async fn in_the_role_of_a_plugd_with_a_low_limit() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum: Some(300) }).unwrap();
    raise_open_files();
    raise_open_files();
    assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: Some(300), maximum: Some(300) });
    assert_eq!(limits_in(&mk_fixture(), "Max open files").await, ("200".to_owned(), "300".to_owned()));
}

#[test]
fn plugd_raises_its_limit_of_open_files_and_not_that_of_its_plugins() {
    let name = "runtime::process::tests::limits::in_the_role_of_a_plugd_with_a_low_limit";
    let mut plugd = std::process::Command::new(std::env::current_exe().unwrap());
    let output = plugd.args(["--exact", name, "--nocapture"]).env(ROLE, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_plugin_runs_as_its_user_and_owns_its_folder() {
    // Only root may give files away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let files = Files(vec![("bin/run", 0o700, "#!/bin/sh\nid -u; id -g; id -G; echo mine >state && echo done\n")]);
    let user = User { uid: 54_321, gid: 54_322 };
    let fixture = mk_fixture_with(files, |options| options.user = Some(user));
    std::fs::set_permissions(fixture.folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let mut started = fixture.start(mk_spec("./bin/run", &[]));
    started.spawned().await;
    assert_eq!(fixture.lines(4).await, ["54321", "54322", "54322", "done"]);
    let dir = fixture.runtime.inner.installations.dir(PLUGIN);
    for path in [dir.clone(), dir.join("bin"), dir.join("bin/run"), dir.join("state")] {
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (user.uid, user.gid), "{}", path.display());
    }
    started.exited().await;
    started.emptied().await;
}

#[tokio::test]
async fn what_a_plugin_of_another_user_leaves_behind_is_ended_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = User { uid: 54_321, gid: 54_322 };
    let fixture = mk_fixture_with(Files::default(), |options| options.user = Some(user));
    std::fs::set_permissions(fixture.folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let mut started = fixture.start(mk_shell("setsid sh -c 'echo $$; exec sleep 1000' & exit 0"));
    started.spawned().await;
    let stray = pid_of(&fixture.lines(1).await[0]);
    started.exited().await;
    started.run.kill();
    started.emptied().await;
    assert!(!is_alive(stray));
}
