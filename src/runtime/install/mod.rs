//! The install directory of a plugin: its own for life, with the files of one package laid into it.
//!
//! A package is staged beside the directory, then a plan of what goes and what comes is written, then the plan is
//! carried out, and the marker comes last. Stopped at any moment before the plan, nothing has changed; after it, the
//! next start carries the plan out to its end. A process therefore sees the old package or the new one.

mod dir;
mod layout;
mod removal;
#[cfg(test)]
mod tests;
mod users;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::words;
use crate::{
    domain::{
        Digest, Failure, PluginId, Stage,
        package::Package,
        policy::{User, UserRange},
    },
    files::Replace,
};
use dir::{Inside, Owner, give};
use layout::{Contents, Layout, MarkedFile};

pub(crate) use removal::remove_tree;
use removal::remove_until;
use users::Users;

/// Folder inside the plugin folder where packages are staged. No plugin's id begins with a dot.
const STAGING: &str = ".staging";

/// Folder inside the plugin folder of what is being deleted.
const TRASH: &str = ".trash";

/// How long it may take to take apart what is in there, which may be a million files: nobody waits for it.
const TRASH_LIMIT: Duration = Duration::from_secs(3600);

/// Bytes copied at a time.
const CHUNK: usize = 64 * 1024;

/// Files of a package that are unpacked at once: while some wait for the disk, which takes what waits together as one, others
/// are decompressed.
const AT_ONCE: usize = 8;

/// The files of a package. Each path comes once, and none is a folder of another.
pub trait PackageFiles: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Hands files to `sink`: its number, from 0, its path inside the package, its permission bits and its contents. Several
    /// may share the work: each takes the file whose number is `next`, until none is left.
    fn for_each(&self, next: &AtomicUsize, sink: &mut FileSink<'_>) -> io::Result<()>;

    /// Folders that it wants even where no file is in them.
    fn folders(&self) -> Vec<String> {
        Vec::new()
    }
}

impl PackageFiles for Package {
    fn count(&self) -> usize {
        self.files.len()
    }

    fn for_each(&self, next: &AtomicUsize, sink: &mut FileSink<'_>) -> io::Result<()> {
        self.extract_next(next, &mut |number, file, contents| sink(number, &file.path, file.mode, contents))
    }

    fn folders(&self) -> Vec<String> {
        self.folders.clone()
    }
}

/// Takes one file: number, path, mode, contents.
pub type FileSink<'a> = dyn FnMut(usize, &str, u32, &mut dyn Read) -> io::Result<()> + 'a;

/// The package that a plugin is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) plugin: PluginId,
    pub(crate) digest: Digest,
    /// User and group of the plugin's processes, who own its files, when they are not plugd's own.
    pub(crate) owner: Option<User>,
}

/// Where installations are.
#[derive(Debug)]
pub(crate) struct Installations {
    root: PathBuf,
    users: Users,
}

impl Installations {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, users: Users::default() }
    }

    pub(crate) fn dir(&self, plugin: PluginId) -> PathBuf {
        self.root.join(plugin.to_string())
    }

    fn staging(&self, plugin: PluginId) -> PathBuf {
        self.root.join(STAGING).join(plugin.to_string())
    }

    /// Finishes what an earlier start left half done, and says whether this package is in place.
    pub(crate) fn is_current(&self, wanted: Wanted, checkpoint: Checkpoint<'_>) -> Result<bool> {
        let layout = self.layout(wanted)?;
        layout.recover(checkpoint)?;
        layout.has(wanted.digest)
    }

    /// Lays this package out in place of the one before.
    pub(crate) fn lay(&self, wanted: Wanted, package: &dyn PackageFiles, checkpoint: Checkpoint<'_>) -> Result<()> {
        let layout = self.layout(wanted)?;
        layout.recover(checkpoint)?;
        layout.stage(wanted.digest, package, checkpoint)?;
        layout.recover(checkpoint)
    }

    fn layout(&self, wanted: Wanted) -> Result<Layout> {
        Layout::open(&self.dir(wanted.plugin), self.staging(wanted.plugin), wanted.owner)
    }

    /// Deletes everything of a plugin, whatever stands where its folders were.
    pub(crate) fn remove(&self, plugin: PluginId) -> io::Result<()> {
        let staging = remove_tree(&self.staging(plugin));
        let install = self.throw_away(&self.dir(plugin));
        // What is left of it anywhere still belongs to its user.
        let removed = install.and(staging);
        if removed.is_ok() {
            self.release_user(plugin);
        }
        removed
    }

    /// Moves a folder into the trash, at once, and takes it apart there.
    fn throw_away(&self, path: &Path) -> io::Result<()> {
        let trash = self.root.join(TRASH);
        fs::create_dir_all(&trash)?;
        let thrown = trash.join(xid::new().to_string());
        match fs::rename(path, &thrown) {
            Ok(()) => remove_until(&thrown, Instant::now() + TRASH_LIMIT),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) => remove_tree(path),
        }
    }

    /// The plugins that have an install directory.
    pub(crate) fn plugins(&self) -> io::Result<Vec<PluginId>> {
        let names = fs::read_dir(&self.root)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Takes apart what earlier deletions left in the trash. Nothing else is touched: folders that nobody here knows may
    /// be another plugd's.
    pub(crate) fn empty_trash(&self) -> io::Result<()> {
        remove_until(&self.root.join(TRASH), Instant::now() + TRASH_LIMIT)
    }
}

/// Lays a package out as a plugin's install directory in this folder, owned by this process' user. Blocking.
///
/// # Errors
/// The package or the disk is at fault: which, in words.
pub fn lay_out(root: &Path, plugin: PluginId, digest: Digest, package: &dyn PackageFiles) -> Result<(), Failure> {
    let wanted = Wanted { plugin, digest, owner: None };
    Ok(Installations::new(root.to_owned()).lay(wanted, package, &|_| Ok(()))?)
}

/// A step that was just completed. Stopping after any of them is safe; the tests stop after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Staged,
    Planned,
    Removed,
    Added,
    Marked,
    Cleared,
}

/// Called after each step; an error stops the work there.
pub(crate) type Checkpoint<'a> = &'a (dyn Fn(Step) -> Result<()> + Sync);

#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("bad package: {0}")]
    Package(String),
    /// The disk is at fault: `cannot write lib/x: No space left on device`.
    #[error("{0}")]
    Disk(String),
    #[error("no user is left for this plugin, each of {0} has one: widen --plugin-uids or delete a plugin")]
    NoUser(UserRange),
    #[error("the user {uid} of the plugin's policy is that of plugin {holder}: give one of them another one")]
    HeldUser { uid: u32, holder: PluginId },
    #[error("the policy's user needs a plugd that is root: `plugd policy unset {0} user`")]
    PolicyUser(PluginId),
    /// The result is not wanted any more.
    #[error("the start was cancelled")]
    Cancelled,
}

pub(crate) type Result<T, E = InstallError> = std::result::Result<T, E>;

impl InstallError {
    /// `cannot <verb> <path>: <words>`.
    pub(crate) fn disk(verb: &str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        Self::Disk(format!("cannot {verb} {}: {}", path.as_ref().display(), words(error)))
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let failure = Self::new(Stage::Start, error.to_string());
        let is_permanent = match error {
            InstallError::Package(_)
            | InstallError::NoUser(_)
            | InstallError::HeldUser { .. }
            | InstallError::PolicyUser(_) => true,
            InstallError::Disk(_) | InstallError::Cancelled => false,
        };
        if is_permanent { failure.permanent() } else { failure }
    }
}

/// The staging folder of one plugin.
#[derive(Debug)]
pub(super) struct Staging {
    dir: PathBuf,
    owner: Owner,
}

impl Staging {
    pub(super) fn new(dir: PathBuf, owner: Owner) -> Self {
        Self { dir, owner }
    }

    pub(super) fn plan(&self) -> PathBuf {
        self.dir.join("plan.json")
    }

    /// Where the marker waits for its turn.
    pub(super) fn marker(&self) -> PathBuf {
        self.dir.join("marker.json")
    }

    /// Where the contract's marker waits for its turn.
    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("marker.sdxlock")
    }

    /// Where file number `index` of the package is.
    pub(super) fn file(&self, index: usize) -> PathBuf {
        self.dir.join(index.to_string())
    }

    pub(super) fn clear(&self) -> Result<()> {
        remove_tree(&self.dir).map_err(|error| InstallError::disk("remove", &self.dir, &error))
    }

    /// Creates the folder, which only plugd may enter, anew.
    pub(super) fn create(&self) -> Result<()> {
        let cannot = |error: io::Error| InstallError::disk("create", &self.dir, &error);
        fs::create_dir_all(&self.dir).map_err(cannot)?;
        fs::set_permissions(&self.dir, Permissions::from_mode(0o700)).map_err(cannot)
    }

    fn unpack(&self, digest: Digest, package: &dyn PackageFiles, checkpoint: Checkpoint<'_>) -> Result<Contents> {
        let next = AtomicUsize::new(0);
        let unpack = || {
            let unpacked = self.unpack_some(package, &next, checkpoint);
            // The others find nothing more to do.
            unpacked.inspect_err(|_| next.store(usize::MAX / 2, Ordering::Relaxed))
        };
        let shares: Vec<_> = thread::scope(|scope| {
            let help = |_| thread::Builder::new().spawn_scoped(scope, unpack).ok();
            let helpers: Vec<_> = (1..package.count().min(AT_ONCE)).filter_map(help).collect();
            let mut shares = vec![unpack()];
            shares.extend(helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic))));
            shares
        });
        let mut files: Vec<_> = shares.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        files.sort_unstable_by_key(|(number, _)| *number);
        let folders = package.folders();
        let folders = folders.iter().map(|folder| inside(folder.trim_end_matches('/')));
        let folders = folders.collect::<Result<_>>()?;
        Ok(Contents { digest, files: files.into_iter().map(|(_, file)| file).collect(), folders })
    }

    /// Unpacks files for as long as there are any.
    fn unpack_some(
        &self,
        package: &dyn PackageFiles,
        next: &AtomicUsize,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Vec<(usize, MarkedFile)>> {
        let mut files = Vec::new();
        let mut failure = None;
        let outcome = package.for_each(next, &mut |number, path, mode, contents| {
            let staged = self.unpack_one(number, (path, mode), contents).and_then(|file| {
                files.push((number, file));
                checkpoint(Step::Staged)
            });
            staged.map_err(|error| {
                failure = Some(error);
                io::Error::other("staging failed")
            })
        });
        match (failure, outcome) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(unreadable(&error)),
            (None, Ok(())) => Ok(files),
        }
    }

    fn unpack_one(&self, number: usize, (path, mode): (&str, u32), contents: &mut dyn Read) -> Result<MarkedFile> {
        let path = inside(path)?;
        let staged = self.file(number);
        let cannot = |error: io::Error| InstallError::disk("write", path.to_string(), &error);
        let mut file = create_new(&staged, 0o600).map_err(cannot)?;
        let size = copy(contents, &mut file, cannot)?;
        let mode = mode & 0o777;
        give(&file, self.owner).map_err(cannot)?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(cannot)?;
        file.sync_all().map_err(cannot)?;
        Ok(MarkedFile { path, size, mode })
    }

    /// Writes a small file here and forces it to the disk. Its name comes there with that of the plan, which is later.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let write = || {
            let mut file = create_new(path, 0o644)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| InstallError::disk("write", path, &error))
    }

    /// Writes the plan, whole or not at all, and forces it to the disk with all the names here.
    pub(super) fn write_plan(&self, bytes: &[u8]) -> Result<()> {
        let (path, durable) = (self.plan(), Replace { mode: 0o644, is_durable: true });
        durable.file(&path, bytes).map_err(|error| InstallError::disk("write", &path, &error))
    }
}

fn inside(path: &str) -> Result<Inside> {
    Inside::parse(path).map_err(InstallError::Package)
}

fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

fn copy(from: &mut dyn Read, to: &mut File, cannot_write: impl Fn(io::Error) -> InstallError) -> Result<u64> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut size = 0;
    loop {
        chunk.clear();
        (&mut *from).take(CHUNK as u64).read_to_end(&mut chunk).map_err(|error| unreadable(&error))?;
        if chunk.is_empty() {
            return Ok(size);
        }
        to.write_all(&chunk).map_err(&cannot_write)?;
        size += chunk.len() as u64;
    }
}

/// A package that breaks off is at fault itself; a disk that can't be read is not.
fn unreadable(error: &io::Error) -> InstallError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            InstallError::Package(error.to_string())
        }
        _ => InstallError::Disk(format!("cannot read the package: {}", words(error))),
    }
}
