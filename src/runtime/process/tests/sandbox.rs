//! What a plugin can reach that is shut in.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::domain::{
    Confinement,
    policy::{Policy, ProcessPolicy},
};

/// A fixture whose plugins are shut in, with a secret and another plugin beside their folder; below this folder.
fn mk_shut_in(level: SandboxLevel, parent: &str) -> Fixture {
    mk_shut_in_with(level, parent, |_| {})
}

/// The same, with other options.
fn mk_shut_in_with(level: SandboxLevel, parent: &str, change: impl FnOnce(&mut Options)) -> Fixture {
    let folder = tempfile::tempdir_in(parent).unwrap();
    fs::write(folder.path().join("admin.token"), "secret").unwrap();
    fs::create_dir_all(folder.path().join("plugins/other")).unwrap();
    let mut fixture = mk_fixture_with(Files::default(), |options| {
        options.plugin_dir = folder.path().join("plugins");
        options.lock = folder.path().join("lock");
        options.sandbox = Sandbox { level, hidden: vec![folder.path().into()], ..Sandbox::default() };
        change(options);
    });
    fixture.folder = folder;
    fixture
}

/// Where plugd's folders may be: below what a run has of its own, and elsewhere.
const PARENTS: [&str; 2] = ["/tmp", "/var/tmp"];

impl Fixture {
    /// What this script prints, which ends by itself.
    async fn printed(&self, script: &str) -> String {
        self.printed_under(ProcessPolicy::default(), script).await
    }

    /// The same, of a plugin of which the operator decided this.
    async fn printed_under(&self, process: ProcessPolicy, script: &str) -> String {
        let before = self.output().len();
        let policy = Arc::new(Policy { process, ..Policy::default() });
        let mut started = self.start(StartSpec { policy, ..mk_shell(&format!("({script}) 2>&1; echo end")) });
        started.spawned().await;
        started.exited().await;
        started.emptied().await;
        eventually(|| self.output()[before..].ends_with("end\n")).await;
        self.output()[before..].trim_end_matches("end\n").to_owned()
    }

    fn data(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }
}

#[tokio::test]
async fn a_plugin_sees_its_own_folder_and_none_of_plugds_files() {
    for (level, parent) in
        [(SandboxLevel::Protect, PARENTS[0]), (SandboxLevel::Protect, PARENTS[1]), (SandboxLevel::Strict, PARENTS[1])]
    {
        let fixture = mk_shut_in(level, parent);
        let data = fixture.data();
        let script = format!("cat {data}/admin.token; ls {data} {data}/plugins; stat {data}/lock {data}/plugins/other");
        let seen = fixture.printed(&script).await;
        assert!(!seen.contains("secret"), "{level:?} {parent}: {seen}");
        assert!(level == SandboxLevel::Strict || seen.contains(&PLUGIN.to_string()), "{level:?} {parent}: {seen}");
        assert_eq!(seen.matches("No such file").count(), 3, "{level:?} {parent}: {seen}");
        assert_eq!(fixture.printed("echo mine >state && cat state").await, "mine\n");
        let own = fixture.folder.path().join("plugins").join(PLUGIN.to_string());
        assert_eq!(fs::read_to_string(own.join("state")).unwrap(), "mine\n", "at its usual place");
    }
}

#[tokio::test]
async fn a_plugin_changes_its_own_folder_and_temporary_files_only() {
    for parent in PARENTS {
        let fixture = mk_shut_in(SandboxLevel::Protect, parent);
        let (data, token) = (fixture.data(), fixture.folder.path().join("admin.token"));
        let refused = fixture.printed("echo x >/etc/plugd-x; echo x >/var/tmp/plugd-x; echo x >/opt/plugd-x").await;
        assert_eq!(refused.matches("Permission denied").count(), 3, "{refused}");
        let mode = fs::metadata(data).unwrap().permissions().mode();
        fixture.printed(&format!("echo x >{data}/x; echo x >{data}/admin.token; chmod 777 {data}")).await;
        assert!(!fixture.folder.path().join("x").exists());
        assert_eq!(fs::read_to_string(token).unwrap(), "secret");
        assert_eq!(fs::metadata(data).unwrap().permissions().mode(), mode);
        let own = "echo kept >/tmp/kept && cat /tmp/kept; echo x >/dev/null; echo x >/dev/shm/$$.plugd && rm /dev/shm/$$.plugd";
        assert_eq!(fixture.printed(own).await, "kept\n");
        assert_eq!(
            fixture.printed("cat /tmp/kept; echo").await.matches("No such file").count(),
            1,
            "gone with its run"
        );
    }
}

#[tokio::test]
async fn a_plugin_sees_no_process_but_its_own() {
    let fixture = mk_shut_in(SandboxLevel::Protect, "/tmp");
    let outside = std::process::id();
    let seen = fixture.printed(&format!("echo $$; kill -0 {outside}; ls /proc | grep -c '^[0-9]'")).await;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "2", "the second process of its world: {seen}");
    assert!(seen.contains("No such process"), "{seen}");
    assert!(lines.last().unwrap().parse::<u32>().unwrap() < 8, "{seen}");
}

#[tokio::test]
async fn a_plugin_has_no_capability_and_may_not_mount() {
    let fixture = mk_shut_in(SandboxLevel::Protect, "/tmp");
    let seen = fixture.printed("grep -E '^(NoNewPrivs|Seccomp:)' /proc/self/status").await;
    let values: Vec<&str> = seen.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(values, ["1", "2"], "{seen}");
    assert_eq!(capabilities(&fixture).await, NO_CAPABILITIES);
    let tried = "mount -t tmpfs none /tmp && echo done; umount /proc && echo done; unshare -Urm true && echo done";
    let refused = fixture.printed(tried).await;
    assert!(!refused.contains("done"), "{refused}");
}

/// As a service manager may start plugd: what is inheritable and ambient would outlive the bounding set's end.
#[tokio::test]
async fn capabilities_that_plugd_would_hand_on_are_given_up_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_folder, keeper) = mk_keeper("--inh-caps=+chown --ambient-caps=+chown");
    let fixture = mk_shut_in_with(SandboxLevel::Protect, "/tmp", |options| options.keeper = Some(keeper));
    assert_eq!(capabilities(&fixture).await, NO_CAPABILITIES);
}

const NO_CAPABILITIES: [u64; 5] = [0; 5];

/// The inheritable, permitted, effective, bounding and ambient capabilities of a plugin.
async fn capabilities(fixture: &Fixture) -> [u64; 5] {
    let seen = fixture.printed("grep ^Cap /proc/self/status").await;
    let sets = seen.lines().map(|line| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap());
    sets.collect::<Vec<_>>().try_into().unwrap()
}

/// A keeper that was started by `setpriv` with these options, in a folder of its own.
fn mk_keeper(options: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let (keeper, own) = (folder.path().join("keeper"), std::env::current_exe().unwrap());
    fs::write(&keeper, format!("#!/bin/sh\nexec setpriv {options} {} \"$@\"\n", own.display())).unwrap();
    fs::set_permissions(&keeper, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, keeper)
}

#[tokio::test]
async fn a_fork_loop_of_a_plugin_ends_with_its_run() {
    let fixture = mk_shut_in(SandboxLevel::Protect, "/tmp");
    // Sixty of them, each in a session of its own, in which each process starts the next one and ends.
    let script = "for i in $(seq 60); do setsid perl -e 'while (1) { fork && exit }' & done; exec sleep 1000";
    let mut started = fixture.start(mk_shell(script));
    started.spawned().await;
    eventually(|| started.run.pids().len() > 30).await;
    started.run.kill();
    started.exited().await;
    // The first process of its world tells that it is alone.
    started.emptied().await;
}

#[tokio::test]
async fn a_strict_sandbox_reads_the_systems_folders_only() {
    let file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    fs::write(&file, "public").unwrap();
    let script = format!("cat {}", file.path().display());
    assert_eq!(mk_shut_in(SandboxLevel::Protect, "/tmp").printed(&script).await, "public");
    assert!(mk_shut_in(SandboxLevel::Strict, "/tmp").printed(&script).await.contains("Permission denied"));
}

#[tokio::test]
async fn what_the_operator_allows_is_put_back() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let (read, write) = (folder.path().join("read"), folder.path().join("write"));
    fs::write(&read, "public").unwrap();
    fs::create_dir(&write).unwrap();
    let fixture = mk_shut_in(SandboxLevel::Strict, "/var/tmp");
    let script = format!("cat {0}; echo x >{0}; echo x >{1}/x; ls {1}", read.display(), write.display());
    assert_eq!(fixture.printed(&script).await.matches("cannot").count(), 3);
    let fixture = mk_shut_in_with(SandboxLevel::Strict, "/var/tmp", |options| {
        (options.sandbox.read, options.sandbox.write) = (vec![read.into()], vec![write.into()]);
    });
    let seen = fixture.printed(&script).await;
    assert!(seen.starts_with("public") && seen.ends_with("x\n"), "{seen}");
    assert_eq!(seen.matches("cannot create").count(), 1, "{seen}");
}

#[tokio::test]
async fn a_policy_allows_one_plugin_more_or_less_than_all() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let script =
        format!("echo x >{path}/x && echo written; bash -c 'echo x >/dev/tcp/127.0.0.1/{port}' && echo connected");
    let fixture = mk_shut_in(SandboxLevel::Protect, "/tmp");
    let (strict, off) = (Some(SandboxLevel::Strict), Some(SandboxLevel::Off));
    let cases = [
        (ProcessPolicy::default(), [false, true]),
        (ProcessPolicy { sandbox: strict, ..ProcessPolicy::default() }, [false, false]),
        (ProcessPolicy { sandbox: strict, tcp_ports: vec![port], ..ProcessPolicy::default() }, [false, true]),
        (ProcessPolicy { write: vec![path], ..ProcessPolicy::default() }, [true, true]),
        (ProcessPolicy { sandbox: off, ..ProcessPolicy::default() }, [true, true]),
    ];
    for (policy, expected) in cases {
        let seen = fixture.printed_under(policy.clone(), &script).await;
        assert_eq!(["written", "connected"].map(|what| seen.contains(what)), expected, "{policy:?}: {seen}");
    }
}

#[tokio::test]
async fn what_lies_in_shared_memory_is_the_runs_own() {
    let others = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let script = format!("ls -A /dev/shm; echo x >{0}; ls -A /dev/shm", others.path().display());
    let name = others.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(mk_shut_in(SandboxLevel::Protect, "/var/tmp").printed(&script).await, format!("{name}\n"));
    assert_eq!(fs::read(&others).unwrap(), [0; 0]);
}

#[tokio::test]
async fn an_allowed_path_that_leads_over_a_link_is_refused_with_where_it_leads() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let link = folder.path().join("link");
    let fixture = mk_shut_in(SandboxLevel::Protect, "/var/tmp");
    std::os::unix::fs::symlink(fixture.data(), &link).unwrap();
    for path in [&link, &link.join("admin.token"), &link.join("plugins/other")] {
        let process = ProcessPolicy { read: vec![path.to_str().unwrap().to_owned()], ..ProcessPolicy::default() };
        let policy = Arc::new(Policy { process, ..Policy::default() });
        let failure = fixture.start(StartSpec { policy, ..mk_shell("exit 0") }).failed().await;
        assert!(failure.message.contains("over a link"), "{}", failure.message);
    }
}

#[tokio::test]
async fn an_interpreter_that_is_hidden_is_named_with_what_to_do() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let interpreter = folder.path().join("interpreter");
    fs::copy("/bin/sh", &interpreter).unwrap();
    let script = format!("printf '#!{}\\nexit 4\\n' >run; chmod 755 run", interpreter.display());
    let fixture = mk_shut_in(SandboxLevel::Protect, "/var/tmp");
    fixture.printed(&script).await;
    let failure = fixture.start(mk_spec("./run", &[])).failed().await;
    let words = format!("can't use {}: allow them its folder with --sandbox-read", interpreter.display());
    assert!(failure.message.contains(&words), "{}", failure.message);

    // A link to it is of no use where only the link's folder is allowed.
    let links = tempfile::tempdir_in("/tmp").unwrap();
    let link = links.path().join("link");
    std::os::unix::fs::symlink(&interpreter, &link).unwrap();
    let process = ProcessPolicy { read: vec![links.path().to_str().unwrap().to_owned()], ..ProcessPolicy::default() };
    let policy = Arc::new(Policy { process, ..Policy::default() });
    let failure = fixture.start(StartSpec { policy, ..mk_spec(link.to_str().unwrap(), &[]) }).failed().await;
    assert!(failure.message.contains(&words), "{}", failure.message);

    let allowed = |options: &mut Options| options.sandbox.read = vec![folder.path().into()];
    let fixture = mk_shut_in_with(SandboxLevel::Protect, "/var/tmp", allowed);
    fixture.printed(&script).await;
    let mut started = fixture.start(mk_spec("./run", &[]));
    started.spawned().await;
    assert_eq!(started.exited().await.code, Some(4));
}

/// A keeper that may not make namespaces, as in a container.
#[tokio::test]
async fn where_there_are_no_namespaces_the_rules_for_files_hold_alone() {
    // A user without privileges has user namespaces here, which nothing takes away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_folder, keeper) = mk_keeper("--bounding-set=-sys_admin");
    for parent in PARENTS {
        let fixture = mk_shut_in_with(SandboxLevel::Protect, parent, |options| options.keeper = Some(keeper.clone()));
        let mut started = fixture.start(mk_shell("exit 0"));
        let spawned = started.next().await;
        let held = matches!(spawned, RunEvent::Spawned { confinement: Some(Confinement::ProtectFilesOnly), .. });
        assert!(held, "{spawned:?}");
        started.exited().await;
        started.emptied().await;
        let data = fixture.data();
        let seen = fixture
            .printed(&format!("cat {data}/admin.token; ls {data}/plugins; echo x >{data}/x; echo x >/etc/x"))
            .await;
        assert_eq!(seen.matches("ermission denied").count(), 4, "{parent}: {seen}");
        assert_eq!(
            fixture.printed("echo mine >state && cat state; cat /etc/hostname >/dev/null && echo read").await,
            "mine\nread\n"
        );
        assert!(!fixture.folder.path().join("x").exists());
    }
}
