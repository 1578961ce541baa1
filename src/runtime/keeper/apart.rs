//! An init in namespaces of its own: it is the first process of the run's, so that the kernel ends all of them with it, and
//! sees mounts of its own.

use std::{
    fs,
    io::{self, Read},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat, readlinkat},
    process::{DumpableBehavior, Gid, Uid, WaitOptions, getegid, geteuid, set_dumpable_behavior, waitpid},
};

use super::sys::{self, Fork};
use crate::runtime::sandbox;

/// Makes an init that is apart.
///
/// # Errors
/// The host does not allow it.
pub(super) fn fork() -> io::Result<Fork> {
    let (user, group) = (geteuid(), getegid());
    let forked = sys::fork_apart(!user.is_root())?;
    // It is no process to return an error from.
    if matches!(forked, Fork::Child) && !user.is_root() && map(user, group).is_err() {
        sys::exit(1);
    }
    Ok(forked)
}

/// Makes this process itself in its user namespace too, and nobody else anybody. The files of a process that is not dumpable
/// are root's, also those in which it says who it is: so it is dumpable for as long as that takes. It knows nothing of
/// its run yet.
fn map(user: Uid, group: Gid) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Whether this host lets a run be apart, with a `/proc` of its own. Tried once, by a process that ends at once.
pub(super) fn is_possible() -> bool {
    match fork() {
        Ok(Fork::Parent(child)) => {
            matches!(waitpid(Some(child), WaitOptions::empty()), Ok(Some((_, status))) if status.exit_status() == Some(0))
        }
        Ok(Fork::Child) => sys::exit(i32::from(sandbox::own_proc().is_err())),
        Err(_) => false,
    }
}

/// Who is who on the host, asked of the host's `/proc`, which this process opened before it got its own.
pub(super) struct HostIds(OwnedFd);

impl HostIds {
    pub(super) fn open() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, "/proc", flags, Mode::empty())?))
    }

    /// The ids of this process and of its first child, which must not have been reaped.
    pub(super) fn of_init_and_leader(&self) -> io::Result<(u32, u32)> {
        let own = readlinkat(&self.0, "self", Vec::new())?.into_string().map_err(io::Error::other)?;
        let list = format!("{own}/task/{own}/children");
        let list = openat(&self.0, list, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut children = String::new();
        fs::File::from(list).read_to_string(&mut children)?;
        let id = |text: &str| text.parse().map_err(|_| io::Error::other("the host's /proc tells no ids"));
        Ok((id(&own)?, id(children.split_whitespace().next().unwrap_or_default())?))
    }
}
