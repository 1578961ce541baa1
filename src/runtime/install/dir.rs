//! Folders held open, and paths below them. A plugin may have put a link where a folder was: no name here is ever followed
//! through one.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd},
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, chmodat, fchmod, fchown, fstat, fsync,
        mkdirat, openat, renameat, renameat_with, statat, unlinkat,
    },
    io::Errno,
    path::Arg,
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        package::{clean, reserved},
        policy::User,
    },
    files,
};

/// Folder inside the install directory that belongs to plugd.
pub(super) const OWN_DIR: &str = ".plugd";

/// How a folder is opened, and nothing but a folder.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the owner of a folder needs in order to change what is in it.
const CHANGEABLE: Mode = Mode::RWXU;

/// Who owns what is laid out; plugd's own user when absent.
pub(super) type Owner = Option<User>;

#[derive(Debug)]
pub(super) struct Dir {
    descriptor: OwnedFd,
    path: PathBuf,
    owner: Owner,
}

impl Dir {
    /// Opens this folder, creating it (and what is above it) with mode 0755.
    pub(super) fn open(path: &Path, owner: Owner) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let is_new = create(CWD, path)?;
        let dir = Self { descriptor: open_folder(CWD, path)?, path: path.to_owned(), owner };
        if is_new {
            dir.settle()?
        } else {
            dir.adopt()?
        }
        Ok(dir)
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets nobody but its owner, and root, look into it.
    pub(super) fn close_to_others(&self) -> io::Result<()> {
        Ok(fchmod(&self.descriptor, Mode::RWXU)?)
    }

    /// The folder at this path below; `None` when there is none, or a link or file on the way.
    pub(super) fn find(&self, path: Option<&Inside>) -> io::Result<Option<Self>> {
        let mut dir = self.again()?;
        for name in path.iter().flat_map(|path| path.names()) {
            match dir.child(name)? {
                Some(child) => dir = child,
                None => return Ok(None),
            }
        }
        Ok(Some(dir))
    }

    /// The folder at this path below, created where missing. What is in the way is set aside.
    pub(super) fn find_or_create(&self, path: Option<&Inside>) -> io::Result<Self> {
        let mut dir = self.again()?;
        for name in path.iter().flat_map(|path| path.names()) {
            dir = dir.child_or_create(name)?;
        }
        Ok(dir)
    }

    /// The folder of this name, created if missing. What is in the way is set aside.
    pub(super) fn child_or_create(&self, name: &str) -> io::Result<Self> {
        if let Some(child) = self.child(name)? {
            child.adopt()?;
            return Ok(child);
        }
        self.set_aside(name)?;
        create(self.changeable()?, name)?;
        let child = self.child(name)?.ok_or(io::ErrorKind::NotADirectory)?;
        child.settle()?;
        Ok(child)
    }

    /// What this name is, without following it.
    pub(super) fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        files::if_there(statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from))
    }

    /// Whether this name is a plain file.
    pub(super) fn has_file(&self, name: &str) -> io::Result<bool> {
        Ok(self.stat(name)?.is_some_and(|stat| kind(&stat) == FileType::RegularFile))
    }

    /// Moves a staged file here. A file or link of that name is replaced; a folder is set aside.
    pub(super) fn take(&self, staged: &Path, name: &str) -> io::Result<()> {
        if self.stat(name)?.is_some_and(|stat| kind(&stat) == FileType::Directory) {
            self.set_aside(name)?;
        }
        Ok(renameat(CWD, staged, self.changeable()?, name)?)
    }

    /// Deletes a file or link; that there is none, or a folder, is no error.
    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        match files::remove_at(self.changeable()?, name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(()),
            removed => removed,
        }
    }

    /// Deletes a folder if it is an empty one.
    pub(super) fn remove_empty_dir(&self, name: &str) -> io::Result<()> {
        match unlinkat(self.changeable()?, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR | Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a file of this folder; `None` when there is none, or none that plugd can have written.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let read = match files::read_at(&self.descriptor, name, limit) {
            // The plugin may have closed it, but it is plugd's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                permit(&self.descriptor, name, Mode::RUSR)?;
                files::read_at(&self.descriptor, name, limit)
            }
            read => read,
        };
        unless_spoiled(&self.path.join(name), read)
    }

    /// Forces the folder's names to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.descriptor)?)
    }

    fn again(&self) -> io::Result<Self> {
        Ok(Self { descriptor: self.descriptor.try_clone()?, path: self.path.clone(), owner: self.owner })
    }

    /// The folder of this name; `None` when there is none, or a link or file in its place.
    pub(super) fn child(&self, name: &str) -> io::Result<Option<Self>> {
        match open_folder(&self.descriptor, name) {
            Ok(descriptor) => Ok(Some(Self { descriptor, path: self.path.join(name), owner: self.owner })),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames what has this name to `<name>.saved`, or to a name of its own where that one is taken or too long, so that
    /// nothing that the plugin wrote is lost. A link is deleted.
    fn set_aside(&self, name: &str) -> io::Result<()> {
        match self.stat(name)? {
            None => return Ok(()),
            Some(stat) if kind(&stat) == FileType::Symlink => return self.remove_file(name),
            Some(_) => {}
        }
        let dir = self.changeable()?;
        let rename = |aside: String| renameat_with(dir, name, dir, aside, RenameFlags::NOREPLACE);
        match rename(format!("{name}.saved")) {
            Err(Errno::EXIST | Errno::NAMETOOLONG) => Ok(rename(format!("saved-{}", xid::new()))?),
            done => Ok(done?),
        }
    }

    /// Its descriptor, for a change. A folder that the plugin made read-only is opened up; where that is refused and
    /// needed, the change is refused too and says so.
    fn changeable(&self) -> io::Result<&OwnedFd> {
        let mode = Mode::from_raw_mode(fstat(&self.descriptor)?.st_mode & 0o7777);
        if !mode.contains(CHANGEABLE) {
            let _ = fchmod(&self.descriptor, mode | CHANGEABLE);
        }
        Ok(&self.descriptor)
    }

    /// Takes over a folder that another user has made: plugins may have run as that one before.
    fn adopt(&self) -> io::Result<()> {
        let user = fstat(&self.descriptor)?.st_uid;
        if self.owner.is_some_and(|owner| owner.uid != user) { give(&self.descriptor, self.owner) } else { Ok(()) }
    }

    /// Gives a new folder its mode, whatever the umask, and its owner.
    fn settle(&self) -> io::Result<()> {
        fchmod(&self.descriptor, Mode::from_raw_mode(0o755))?;
        give(&self.descriptor, self.owner)
    }
}

/// Opens a folder, and nothing but a folder. Permissions that its owner has taken away are given back.
pub(super) fn open_folder(from: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    let open = || openat(&from, name, FOLDER, Mode::empty());
    let folder = match open() {
        Err(Errno::ACCESS) => {
            permit(&from, name, CHANGEABLE)?;
            open()?
        }
        opened => opened?,
    };
    // To be read is not enough: what is in it must be reached too.
    let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode & 0o7777);
    if !mode.contains(Mode::XUSR) {
        let _ = fchmod(&folder, mode | CHANGEABLE);
    }
    Ok(folder)
}

/// Adds permissions to a folder or file that may not even be opened; a link is not followed. A descriptor of this kind
/// takes a mode by way of its name alone.
fn permit(from: impl AsFd, name: impl Arg, more: Mode) -> Result<(), Errno> {
    let closed = openat(from, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let found = fstat(&closed)?;
    if kind(&found) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    let mode = Mode::from_raw_mode(found.st_mode & 0o7777) | more;
    chmodat(CWD, format!("/proc/self/fd/{}", closed.as_raw_fd()), mode, AtFlags::empty())
}

/// `None` when there is no such file, or something else in its place: a folder, a pipe, a link, too large a file.
pub(super) fn unless_spoiled<T>(path: &Path, read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge) => {
            tracing::warn!(path = %path.display(), %error, "what is there is not plugd's, and counts as nothing");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Gives a file or folder to the user that plugins run as.
pub(super) fn give(descriptor: impl AsFd, owner: Owner) -> io::Result<()> {
    match owner {
        Some(User { uid, gid }) => Ok(fchown(descriptor, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?),
        None => Ok(()),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Creates a folder; says whether it is new.
fn create(parent: impl AsFd, name: impl Arg) -> io::Result<bool> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A path of plain names below the install directory, separated by `/`; none of plugd's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Inside(String);

impl Inside {
    /// Reads a path as a package has it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let cleaned = clean(path).and_then(|path| match reserved(&path) {
            Some(why) => Err(why),
            None if path.is_empty() => Err("it names the install directory itself"),
            None => Ok(Self(path)),
        });
        cleaned.map_err(|why| format!("the path {path:?} is not allowed in a package: {why}"))
    }

    pub(super) fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// All folders above it, the nearest first.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    pub(super) fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Inside {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}
