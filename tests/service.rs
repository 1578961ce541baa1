//! plugd under a service manager.

use std::{env, fs, os::unix::net::UnixDatagram};

use tokio::task::spawn_blocking;

use crate::harness::{Plugd, Run, program, repository, within};

/// A service manager that listens, and what it hears next.
async fn heard(manager: &UnixDatagram) -> String {
    let manager = manager.try_clone().unwrap();
    let hearing = spawn_blocking(move || {
        let mut text = [0; 64];
        let len = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..len].to_vec()).unwrap()
    });
    within("news", hearing).await.unwrap()
}

#[tokio::test]
async fn its_manager_is_told_that_it_serves_and_that_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let mut plugd = Plugd::with(&[("NOTIFY_SOCKET", socket.to_str().unwrap())]).await;
    assert_eq!(heard(&manager).await, "READY=1");
    plugd.sigterm().await;
    assert_eq!(heard(&manager).await, "STOPPING=1");
}

/// Whether there is a systemd-analyze that can be asked this.
async fn can_analyze(args: &[&str]) -> bool {
    let is_there =
        find_program("systemd-analyze") && program("systemd-analyze").args(args).run().await.status.success();
    if !is_there {
        eprintln!("skipped: there is no systemd-analyze for this");
    }
    is_there
}

fn find_program(name: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(name).is_file())
}

#[tokio::test]
async fn the_unit_is_one_that_systemd_takes() {
    if !can_analyze(&["--version"]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("plugd.service");
    let text = fs::read_to_string(repository("packaging/plugd.service")).unwrap();
    // The program must be there, which is elsewhere here.
    fs::write(&unit, text.replace("/usr/bin/plugd", env!("CARGO_BIN_EXE_plugd"))).unwrap();
    let output = program("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).run().await;
    assert!(output.status.success(), "{output:?}");
    // Older ones do not know this one, and go on without.
    let complaints =
        output.stderr.lines().filter(|line| line.contains("plugd.service") && !line.contains("DelegateSubgroup"));
    assert_eq!(complaints.collect::<Vec<_>>(), [] as [&str; 0]);
}

/// What plugd needs to shut plugins in keeps the unit from a better mark: its head says which options those are.
const EXPOSURE: &str = "--threshold=60";

#[tokio::test]
async fn the_unit_is_not_more_exposed_than_it_has_to_be() {
    let offline = ["security", "--offline=true", "--no-pager", EXPOSURE];
    if can_analyze(&["security", "--offline=true", "--version"]).await {
        let output = program("systemd-analyze").args(offline).arg(repository("packaging/plugd.service")).run().await;
        assert!(output.status.success(), "{output:?}");
    }
}
