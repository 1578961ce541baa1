//! A small disk for one scenario: it may be full, read-only or mounted anywhere, and nobody else notices.

use std::{env, process::Stdio};

use rustix::process::geteuid;

use super::skip;
use crate::harness::{Run, program};

/// Variable that says that this program has a disk of its own.
const ROLE: &str = "PLUGD_SMALL_DISK";
/// Room for a database with its reserve, and for little else.
const SIZE: &str = "48m";

/// Runs this test again in a mount namespace, where the folder for temporary files is a small disk of its own. True if it
/// runs there, as somebody who may mount; the caller is done otherwise.
pub(super) async fn has_own_disk(test: &str, scenario: &str) -> bool {
    if env::var_os(ROLE).is_some() {
        return true;
    }
    let namespaces: &[&str] =
        if geteuid().is_root() { &["--mount"] } else { &["--mount", "--user", "--map-root-user"] };
    if !program("unshare").args(namespaces).arg("true").run().await.status.success() {
        skip(scenario, "this host lets nobody mount a disk");
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={SIZE} none \"$TMPDIR\" && exec \"$@\"");
    let mut again = program("unshare");
    again.args(namespaces).args(["sh", "-c", &mount, "sh"]).arg(env::current_exe().unwrap());
    again.args(["--exact", &format!("faults::{test}"), "--nocapture"]);
    again.envs(env::vars_os()).env(ROLE, "1").env("TMPDIR", folder.path());
    let output = again.stderr(Stdio::inherit()).run_at_length().await;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{scenario}");
    false
}
