//! plugd under a service manager.

use std::{fs, os::unix::net::UnixDatagram, path::Path};

use tokio::task::spawn_blocking;

use crate::harness::{Output, Plugd, Run, program, repository, within};

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

/// What systemd's checks say; `make tools` installs them.
async fn analyze(args: &[&str], unit: &Path) -> Output {
    program("systemd-analyze").args(args).arg(unit).run().await
}

#[tokio::test]
async fn the_unit_is_one_that_systemd_takes() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("plugd.service");
    let text = fs::read_to_string(repository("packaging/plugd.service")).unwrap();
    // The program must be there, which is elsewhere here.
    fs::write(&unit, text.replace("/usr/bin/plugd", env!("CARGO_BIN_EXE_plugd"))).unwrap();
    let output = analyze(&["verify", "--man=no"], &unit).await;
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
    let unit = repository("packaging/plugd.service");
    let output = analyze(&["security", "--offline=true", "--no-pager", EXPOSURE], &unit).await;
    // systemd before 250 looks at units that run only.
    let is_too_old = output.stderr.contains("unrecognized option");
    assert!(output.status.success() || is_too_old, "{output:?}");
}

#[test]
fn the_unit_sets_no_option_that_plugins_could_not_be_shut_in_with() {
    let unit = fs::read_to_string(repository("packaging/plugd.service")).unwrap();
    for option in ["RestrictNamespaces", "PrivateUsers", "ProtectProc", "ProcSubset", "RestrictSUIDSGID"] {
        assert!(unit.contains(option), "its head says why not {option}");
        assert!(!unit.lines().any(|line| line.starts_with(option)), "{option}");
    }
}
