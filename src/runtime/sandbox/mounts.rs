//! The view of the file system that a run has, where the host allows namespaces.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, fstat, statvfs},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, mount_remount,
        move_mount, open_tree,
    },
};

use super::Sandbox;

/// Where programs put temporary files, and what they share.
pub(super) const TEMPORARY: [&str; 2] = ["/tmp", "/dev/shm"];

/// Most bytes of temporary files of a run in each of these, which are in memory, and most files.
const TEMPORARY_LIMITS: &std::ffi::CStr = c"mode=1777,size=256m,nr_inodes=100k";

/// Room for the folders on the way to the plugin's own.
const COVER_LIMITS: &std::ffi::CStr = c"mode=755,size=64k,nr_inodes=256";

/// Flags of file systems on which no program gains anything.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Gives this process, which is the first of its namespaces, a `/proc` of its own. What the host mounts and unmounts is still
/// mounted and unmounted here too, where the host shares that.
///
/// # Errors
/// The host does not allow it.
pub(in crate::runtime) fn own_proc() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount(c"proc", c"/proc", c"proc", PLAIN | MountFlags::NOEXEC, None)?;
    Ok(())
}

/// Hides plugd's folders from this process, which has its [`own_proc`], and from all that it will start, but for the plugin's
/// own. `/tmp` becomes the run's own: in memory, and gone with it.
///
/// # Errors
/// What can't be mounted.
pub(in crate::runtime) fn enter(sandbox: &Sandbox, folder: &Path) -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Not every host has these folders, and they may be links.
    let temporary: Vec<PathBuf> = TEMPORARY.into_iter().filter_map(|folder| fs::canonicalize(folder).ok()).collect();
    let covers: Vec<PathBuf> = sandbox.hidden.iter().map(PathBuf::from).chain(temporary.clone()).collect();
    let kept = kept(sandbox, folder, &covers)?;
    for temporary in &temporary {
        mount(c"none", temporary, c"tmpfs", PLAIN, TEMPORARY_LIMITS)?;
    }
    // What was below those is covered already.
    let hidden: Vec<&OsString> = sandbox.hidden.iter().filter(|hidden| Path::new(hidden).is_dir()).collect();
    for hidden in &hidden {
        mount(c"none", *hidden, c"tmpfs", PLAIN, COVER_LIMITS)?;
    }
    kept.iter().try_for_each(put_back)?;
    for hidden in hidden {
        mount_remount(hidden, PLAIN | MountFlags::RDONLY, COVER_LIMITS)?;
    }
    Ok(())
}

/// A folder or file as it was before it was covered.
struct Kept {
    path: PathBuf,
    tree: OwnedFd,
    is_read_only: bool,
}

/// What stays where it is though its folder is covered: the plugin's own, and what the operator allows.
fn kept(sandbox: &Sandbox, folder: &Path, covers: &[PathBuf]) -> io::Result<Vec<Kept>> {
    let own = [(folder.to_owned(), false)].into_iter();
    let read = sandbox.read.iter().map(|path| (PathBuf::from(path), true));
    let write = sandbox.write.iter().map(|path| (PathBuf::from(path), false));
    let all = own.chain(read).chain(write);
    let covered = all.filter(|(path, _)| covers.iter().any(|cover| path.starts_with(cover)) && path.exists());
    covered.map(|(path, is_read_only)| Kept::take(path, is_read_only)).collect()
}

impl Kept {
    fn take(path: PathBuf, is_read_only: bool) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(super::without_links(&path)?, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?;
        Ok(Self { path, tree, is_read_only })
    }
}

fn put_back(kept: &Kept) -> io::Result<()> {
    match FileType::from_raw_mode(fstat(&kept.tree)?.st_mode) {
        FileType::Directory => fs::create_dir_all(&kept.path)?,
        _ => {
            fs::create_dir_all(kept.path.parent().unwrap_or(&kept.path))?;
            File::create(&kept.path)?;
        }
    }
    move_mount(&kept.tree, "", CWD, &kept.path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    if kept.is_read_only {
        // Whoever may write to `/tmp` could write to what is put back below it too. The flags that it has must stay.
        let flags = MountFlags::from_bits_truncate(statvfs(&kept.path)?.f_flag.bits().try_into().unwrap_or_default());
        let kept_flags = flags & (MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC);
        mount_remount(&kept.path, MountFlags::BIND | MountFlags::RDONLY | kept_flags, c"")?;
    }
    Ok(())
}
