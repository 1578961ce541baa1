//! What a process gets, and what is said when there is none.

use std::{
    collections::BTreeSet,
    fs::File,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::{FdFlags, fcntl_setfd},
};

use super::*;
use crate::domain::{Error, Reason, Stage};

#[tokio::test]
async fn an_exit_code_is_told() {
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell("exit 42"));
    started.spawned().await;
    assert_eq!(started.exited().await, Exit { code: Some(42), signal: None, out_of_memory: false });
    started.emptied().await;
}

#[tokio::test]
async fn a_signal_is_told() {
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell("kill -TERM $$"));
    started.spawned().await;
    assert_eq!(started.exited().await, Exit { code: None, signal: Some(15), out_of_memory: false });
    started.emptied().await;
}

#[tokio::test]
async fn the_environment_is_the_allowlist_and_the_plugins_own_three() {
    let fixture = mk_fixture();
    let spec = mk_spec("env", &[]);
    let allowed = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
    let mut expected: BTreeSet<String> = std::env::vars()
        .filter(|(name, _)| allowed.contains(&name.as_str()) || name.starts_with("LC_"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    expected.insert(format!("STORYDEN_RPC_URL={}", spec.url.expose()));
    expected.insert(format!("PLUGD_RPC_URL={}", spec.url.expose()));
    expected.insert(format!("PLUGD_PLUGIN_ID={PLUGIN}"));
    assert!(std::env::vars().count() > expected.len() - 3, "the test program has more variables than it passes on");
    let mut started = fixture.start(spec);
    started.spawned().await;
    started.exited().await;
    started.emptied().await;
    let given: BTreeSet<String> = fixture.lines(expected.len()).await.into_iter().collect();
    assert_eq!(given, expected);
}

#[tokio::test]
async fn no_descriptor_is_inherited() {
    let leak = File::open("/proc/self/status").unwrap();
    fcntl_setfd(&leak, FdFlags::empty()).unwrap();
    assert!(leak.as_raw_fd() > 2);
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell("ls /proc/$$/fd; readlink /proc/$$/fd/0; echo done"));
    started.spawned().await;
    assert_eq!(fixture.lines(5).await, ["0", "1", "2", "/dev/null", "done"]);
    started.exited().await;
    started.emptied().await;
}

#[tokio::test]
async fn a_process_leads_a_session_and_can_gain_no_privileges() {
    let fixture = mk_fixture();
    let script = "grep -E '^(NoNewPrivs|SigIgn|SigBlk)' /proc/self/status; ulimit -c; pwd; echo done";
    let mut started = fixture.start(mk_shell(script));
    let pid = started.spawned().await;
    let lines = fixture.lines(6).await;
    let words: Vec<&str> = lines.iter().map(|line| line.split_whitespace().last().unwrap()).collect();
    let install = fixture.runtime.inner.installations.dir(PLUGIN);
    assert_eq!(words, ["0000000000000000", "0000000000000000", "1", "0", install.to_str().unwrap(), "done"]);
    started.exited().await;
    started.emptied().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_program_of_the_package_runs_with_its_arguments_as_they_are() {
    let files = Files(vec![("bin/run", 0o755, "#!/bin/sh\necho \"$1\"\n")]);
    let fixture = mk_fixture_with(files, |_| {});
    let mut started = fixture.start(mk_spec("./bin/run", &["a b; $HOME"]));
    started.spawned().await;
    assert_eq!(fixture.lines(1).await, ["a b; $HOME"]);
}

#[tokio::test]
async fn a_command_that_can_never_run_is_a_permanent_failure_in_clear_words() {
    let files = Files(vec![("plain", 0o644, "x"), ("lost", 0o755, "#!/no/such/interpreter\n")]);
    let fixture = mk_fixture_with(files, |_| {});
    for (command, words) in [
        ("./x", r#"command "./x" not found in the package"#),
        ("./plain", r#"command "./plain" is not executable: set its permission bits in the archive"#),
        ("", "the manifest has no command"),
        ("no-such-program", r#"command "no-such-program" not found on the host's PATH"#),
        (
            "./lost",
            r#"command "./lost" cannot run: the interpreter "/no/such/interpreter" that its first line names is not on this host (No such file or directory)"#,
        ),
    ] {
        let failure = fixture.start(mk_spec(command, &[])).failed().await;
        assert_eq!(failure.message, words);
        assert!(failure.is_permanent, "{words}");
        assert_eq!(failure.stage, Stage::Start);
    }
}

/// What is said of a program of the package with these contents.
async fn said_of(contents: &'static str) -> String {
    let fixture = mk_fixture_with(Files(vec![("run", 0o755, contents)]), |_| {});
    let failure = fixture.start(mk_spec("./run", &[])).failed().await;
    assert!(failure.is_permanent, "{}", failure.message);
    let start = r#"command "./run" cannot run: "#;
    failure.message.strip_prefix(start).unwrap_or_else(|| panic!("{}", failure.message)).to_owned()
}

#[tokio::test]
async fn a_file_that_is_no_program_is_not_run_by_a_shell_but_described() {
    for (contents, words) in [
        ("", "an empty file (Exec format error)"),
        ("\u{feff}#!/bin/sh\necho run\n", "byte order mark"),
        ("echo run by a shell\n", "neither an ELF program nor a script"),
        ("#!/bin/sh\r\necho run\r\n", r#""/bin/sh\r""#),
        ("#!/usr/bin/env sh\r\necho run\r\n", r#""sh\r""#),
        ("MZ\0", "neither an ELF program nor a script"),
    ] {
        let said = said_of(contents).await;
        assert!(said.contains(words), "{contents:?}: {said}");
    }
}

#[tokio::test]
async fn a_program_for_another_processor_is_named() {
    let mut own = std::fs::read("/bin/sh").unwrap();
    own[18..20].copy_from_slice(&22_u16.to_le_bytes());
    let fixture = mk_fixture_with(Files(vec![("run", 0o755, "")]), |_| {});
    fixture.start(mk_spec("./run", &[])).failed().await;
    std::fs::write(fixture.runtime.inner.installations.dir(PLUGIN).join("run"), own).unwrap();
    let failure = fixture.start(mk_spec("./run", &[])).failed().await;
    assert!(failure.message.contains("a program for s390x processors"), "{}", failure.message);
}

#[tokio::test]
async fn what_is_no_file_in_place_of_a_program_is_named() {
    let fixture = mk_fixture_with(Files(vec![("bin/run", 0o755, "")]), |_| {});
    let failure = fixture.start(mk_spec("./bin", &[])).failed().await;
    assert_eq!(failure.message, r#"command "./bin" is a folder, not a program"#);
    let pipe = fixture.runtime.inner.installations.dir(PLUGIN).join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o755.into(), 0).unwrap();
    let failure = fixture.start(mk_spec("./pipe", &[])).failed().await;
    assert_eq!(failure.message, r#"command "./pipe" is a named pipe, not a program"#);
}

#[tokio::test]
async fn a_folder_that_the_plugins_user_may_not_enter_is_named() {
    // Only root may run plugins as others.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = User { uid: 54_321, gid: 54_322 };
    let files = Files(vec![("run", 0o755, "#!/bin/sh\n")]);
    let fixture = mk_fixture_with(files, |options| options.user = Some(user));
    std::fs::set_permissions(fixture.folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    for command in ["./run", "sh"] {
        let failure = fixture.start(mk_spec(command, &[])).failed().await;
        let words = format!("user 54321 may not enter the folder {}: ", fixture.folder.path().display());
        assert!(failure.message.contains(&words), "{}", failure.message);
    }
}

const MOUNTED: &str = "PLUGD_TEST_NOEXEC";

#[tokio::test]
async fn in_the_role_of_a_plugd_whose_plugins_are_mounted_noexec() {
    let Some(folder) = std::env::var_os(MOUNTED) else { return };
    let files = Files(vec![("run", 0o755, "#!/bin/sh\n")]);
    let fixture = mk_fixture_with(files, |options| options.plugin_dir = folder.into());
    let failure = fixture.start(mk_spec("./run", &[])).failed().await;
    assert!(failure.message.contains("mounted with noexec"), "{}", failure.message);
}

#[test]
fn a_noexec_mount_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let unshare = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-Urm", "sh", "-ec", script, "sh"]).arg(folder.path()).env(MOUNTED, folder.path());
        command
    };
    let mount = "mount -t tmpfs -o noexec none \"$1\"";
    // Not every host lets its users mount something.
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        return;
    }
    let name = "runtime::process::tests::spawn::in_the_role_of_a_plugd_whose_plugins_are_mounted_noexec";
    let mut plugd = unshare(&format!("{mount}; exec \"$2\" --exact {name} --nocapture"));
    let output = plugd.arg(std::env::current_exe().unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_disk_that_refuses_is_a_failure_worth_another_try() {
    let fixture = mk_fixture();
    std::fs::write(fixture.folder.path().join("plugins"), "in the way").unwrap();
    let failure = fixture.start(mk_shell("exit 0")).failed().await;
    assert!(!failure.is_permanent);
    assert!(failure.message.starts_with("cannot "), "{}", failure.message);
    assert!(!failure.message.contains("os error"), "{}", failure.message);
}

#[tokio::test]
async fn a_package_that_is_gone_is_a_permanent_failure() {
    let fetch: FetchPackage =
        Arc::new(|_| Box::pin(async { Err(Error::new(Reason::PackageNotFound, "the package is gone")) }));
    let failure = mk_runtime_fetching(fetch, |_| {}).start(mk_shell("exit 0")).failed().await;
    assert_eq!((failure.message.as_str(), failure.is_permanent), ("the package is gone", true));
}

#[tokio::test]
async fn a_package_that_does_not_come_in_time_is_worth_another_try() {
    let fetch: FetchPackage = Arc::new(|_| Box::pin(std::future::pending()));
    let fixture = mk_runtime_fetching(fetch, |_| {});
    let prepare_timeout = Duration::from_millis(20);
    let failure = fixture.start(StartSpec { prepare_timeout, ..mk_shell("exit 0") }).failed().await;
    assert!(!failure.is_permanent);
    assert!(failure.message.contains("not laid out within"), "{}", failure.message);
}

#[tokio::test]
async fn waiting_for_a_turn_is_no_failure() {
    let stuck = PluginId::from_bytes([50; 12]);
    let lost = Digest([51; 32]);
    let fetch: FetchPackage = Arc::new(move |digest| {
        Box::pin(async move {
            if digest == lost {
                std::future::pending::<()>().await;
            }
            Ok(Box::new(Files::default()) as Box<dyn PackageFiles>)
        })
    });
    let fixture = mk_runtime_fetching(fetch, |options| {
        options.max_concurrent_starts = 1;
    });
    let prepare_timeout = Duration::from_secs(1);
    let mk_stuck = |plugin| {
        let run: RunId = xid::new().into();
        let url = mk_url(run).into();
        fixture.start(StartSpec { plugin, run, url, package: lost, prepare_timeout, ..mk_shell("exit 0") })
    };
    let ahead = [mk_stuck(stuck), mk_stuck(PluginId::from_bytes([52; 12]))];
    let mut last = fixture.start(mk_shell("exit 0"));
    last.spawned().await;
    last.exited().await;
    last.emptied().await;
    for started in ahead {
        assert!(started.failed().await.message.contains("not laid out within"));
    }
}

#[tokio::test]
async fn a_stop_before_the_spawn_cancels_it_and_frees_its_turn() {
    let fetch: FetchPackage = Arc::new(|_| Box::pin(std::future::pending()));
    let fixture = mk_runtime_fetching(fetch, |options| options.max_concurrent_starts = 1);
    for order in [|run: &dyn Run| run.stop(), |run: &dyn Run| run.kill()] {
        let started = fixture.start(mk_shell("exit 0"));
        order(&*started.run);
        started.emptied().await;
    }
    timeout(DEADLINE, fixture.runtime.remove(PLUGIN)).await.unwrap().unwrap();
    assert!(!fixture.runtime.inner.installations.dir(PLUGIN).exists());
}

#[tokio::test]
async fn a_keeper_that_does_not_answer_fails_a_start_and_what_comes_of_it_later_is_killed() {
    // A keeper that goes on has to keep to it, too, on a busy machine.
    let fixture = mk_fixture_with(Files::default(), |options| options.spawn_timeout = Duration::from_secs(3));
    let worker = fixture.keeper().await;
    let late = "echo late; exec sleep 1000";
    // More than a socket takes before somebody reads.
    let long = format!("{late} # {}", "x".repeat(100_000));
    for (script, words) in [(late, "is not run within"), (&long, "no process is made within")] {
        let suspended = Suspended::new(worker);
        let failure = fixture.start(mk_shell(script)).failed().await;
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(!failure.is_permanent);
        drop(suspended);
        // The next start waits for the end of the one that was given up.
        let mut started = fixture.start(mk_shell("exit 5"));
        started.spawned().await;
        assert_eq!(started.exited().await.code, Some(5));
        started.emptied().await;
        eventually(|| tree::descendants(worker).is_empty()).await;
    }
}

#[tokio::test]
async fn nothing_is_started_while_something_of_an_earlier_plugd_lives() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let fixture = mk_fixture_with(Files::default(), |options| options.lock = folder.path().join("lock"));
    let mut started = fixture.start(mk_shell("exit 0"));
    let other = PluginId::from_bytes([8; 12]);
    let impatient = mk_fixture_with(Files::default(), |options| {
        options.lock = folder.path().join("lock");
        options.spawn_timeout = Duration::from_millis(50);
    });
    let failure = impatient.start(StartSpec { plugin: other, ..mk_shell("exit 0") }).failed().await;
    assert!(failure.message.contains("an earlier plugd started has not ended within"), "{}", failure.message);
    assert!(started.events.try_recv().is_err());
    drop((lock, impatient));
    started.spawned().await;
    started.exited().await;
    started.emptied().await;
}

#[tokio::test]
async fn a_keeper_that_always_ends_is_not_started_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let (program, starts) = (folder.path().join("keeper"), folder.path().join("starts"));
    std::fs::write(&program, format!("#!/bin/sh\necho >>{}\nexit 3\n", starts.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let begun = std::time::Instant::now();
    let fixture = mk_fixture_with(Files::default(), |options| options.keeper = Some(program));
    eventually(|| std::fs::read_to_string(&starts).is_ok_and(|starts| starts.lines().count() >= 3)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "two pauses of a second");
    drop(fixture);
}
