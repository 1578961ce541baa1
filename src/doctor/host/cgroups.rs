//! Control groups: which version there is, and what of it plugd may use.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Check, text};

/// Where version 2 is mounted: by itself, or beside version 1.
const ROOTS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "version 2"), ("/sys/fs/cgroup/unified", "version 2 beside version 1 (hybrid)")];

/// The controllers with which a plugin is limited.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

const REMEDY: &str = "limits of memory, processes and processor time for a whole plugin need control groups of version 2 that are \
                      plugd's: `Delegate=yes` in its unit; without them plugins run with --limit-… only, for each process";

pub(super) fn control_groups() -> Check {
    let subject = "control groups";
    let found = ROOTS.iter().find(|(root, _)| Path::new(root).join("cgroup.procs").exists());
    let Some((root, version)) = found else { return Check::warning(subject, "no version 2", REMEDY) };
    let own = own(Path::new(root), &text("/proc/self/cgroup"));
    let state = State::of(&own, &text(own.join("cgroup.controllers")));
    let found = format!("{version}: {}", state.words());
    if state.is_enough() { Check::ok(subject, found) } else { Check::warning(subject, found, REMEDY) }
}

/// The folder of this process's group, by what the kernel says of it.
fn own(root: &Path, said: &str) -> PathBuf {
    let path = said.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    root.join(path.trim_start_matches('/'))
}

/// What plugd may do with its group.
struct State {
    is_own: bool,
    can_kill: bool,
    controllers: Vec<&'static str>,
}

impl State {
    fn of(group: &Path, controllers: &str) -> Self {
        let has = |name: &&str| controllers.split_whitespace().any(|one| one == *name);
        Self {
            is_own: accessat(CWD, group, Access::WRITE_OK, AtFlags::EACCESS).is_ok(),
            can_kill: group.join("cgroup.kill").exists(),
            controllers: NEEDED.into_iter().filter(has).collect(),
        }
    }

    fn is_enough(&self) -> bool {
        self.is_own && self.controllers.len() == NEEDED.len()
    }

    fn words(&self) -> String {
        let own = if self.is_own { "plugd may make groups" } else { "plugd may make no groups" };
        let controllers = match self.controllers.as_slice() {
            [] => "none of cpu, memory, pids".to_owned(),
            some => some.join(", "),
        };
        // The root has no such file.
        let kill = if self.can_kill { "; cgroup.kill" } else { "" };
        format!("{own}; controllers: {controllers}{kill}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_the_one_of_version_2() {
        let said = "4:memory:/other\n1:name=systemd:/init.scope\n0::/system.slice/plugd.service\n";
        assert_eq!(own(Path::new("/r"), said), Path::new("/r/system.slice/plugd.service"));
        assert_eq!(own(Path::new("/r"), "0::/\n"), Path::new("/r"));
    }

    #[test]
    fn all_controllers_are_needed_and_a_folder_to_write_to() {
        let folder = tempfile::tempdir().unwrap();
        let state = |controllers: &str| State::of(folder.path(), controllers);
        assert!(state("cpuset cpu io memory pids").is_enough());
        assert!(!state("memory pids").is_enough());
        assert!(state("memory pids").words().contains("memory, pids"));
        assert!(!state("").is_enough());
        assert!(!State::of(&folder.path().join("none"), "cpu memory pids").is_enough());
    }
}
