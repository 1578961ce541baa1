//! Where the group of this process is in the file system: told by the kernel, never searched for.

use std::path::{Component, Path, PathBuf};

/// The folder of the group of version 2 that a process is in, from its `/proc/PID/cgroup` and `/proc/PID/mountinfo`. `None`
/// where the host has no such groups, or shows them nowhere.
pub(in crate::runtime) fn own_folder(cgroup: &str, mountinfo: &str) -> Option<PathBuf> {
    let path = own_path(cgroup)?;
    let mounts = mountinfo.lines().filter_map(mount);
    let mut folders = mounts.filter_map(|(root, point)| Some(point.join(path.strip_prefix(root).ok()?)));
    // What was mounted last is on top.
    folders.next_back()
}

/// Whether the group of a process is the highest that it can see, as in a container.
pub(super) fn is_at_the_top(cgroup: &str) -> bool {
    own_path(cgroup) == Some(Path::new("/"))
}

/// The path of the group below the highest that the process can see. One that leads out of that can't be followed.
fn own_path(cgroup: &str) -> Option<&Path> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let path = Path::new(path);
    (!path.components().any(|part| part == Component::ParentDir)).then_some(path)
}

/// Which group is mounted at which folder, if this line is of a mount of groups of version 2.
fn mount(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut fields = place.split(' ').skip(3).map(unescape);
    let mounted = (fields.next()?.into(), fields.next()?.into());
    (kind.split(' ').next() == Some("cgroup2")).then_some(mounted)
}

/// The kernel writes what separates fields as octal numbers.
fn unescape(field: &str) -> String {
    let written = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    written.into_iter().fold(field.to_owned(), |field, (number, letter)| field.replace(number, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1 with version 2 beside it.
    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const UNIFIED: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    /// Without a namespace of its own a container has its group mounted at the top.
    const CONTAINER: &str = "30 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";

    #[test]
    fn the_folder_is_the_path_below_the_mount() {
        let found = |cgroup: &str, mounts: &str| own_folder(cgroup, mounts).map(|found| found.display().to_string());
        let service = "0::/system.slice/plugd.service\n";
        assert_eq!(found(service, UNIFIED).as_deref(), Some("/sys/fs/cgroup/system.slice/plugd.service"));
        let hybrid = "9:name=systemd:/\n4:memory:/other\n0::/a\n";
        assert_eq!(found(hybrid, HYBRID).as_deref(), Some("/sys/fs/cgroup/unified/a"));
        assert_eq!(found("0::/docker/abc/b\n", CONTAINER).as_deref(), Some("/sys/fs/cgroup/b"));
        let spaced = "1 2 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/\n", spaced).as_deref(), Some("/my groups/"));
    }

    #[test]
    fn what_can_not_be_seen_is_not_found() {
        assert_eq!(own_folder("4:memory:/\n", HYBRID), None, "version 1 alone");
        assert_eq!(own_folder("0::/a\n", ""), None, "mounted nowhere");
        assert_eq!(own_folder("0::/docker/abcdef\n", CONTAINER), None, "another container's");
        assert_eq!(own_folder("0::/../a\n", UNIFIED), None, "outside of what it can see");
        assert!(is_at_the_top("0::/\n") && !is_at_the_top("0::/a\n"));
    }
}
