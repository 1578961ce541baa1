//! The staging folder: a package unpacked beside the install directory, on the same file system.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    Checkpoint, InstallError, PackageFiles, Result, Step,
    dir::{Inside, Owner, give},
    layout::{Contents, MarkedFile},
    removal::remove_tree,
};
use crate::{domain::Digest, files::Replace};

/// Bytes copied at a time.
const CHUNK: usize = 64 * 1024;
/// Mode of a file whose entry in the archive has none (CONTRACT 7).
const DEFAULT_MODE: u32 = 0o644;

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

    pub(super) fn unpack(
        &self,
        digest: Digest,
        package: &dyn PackageFiles,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Contents> {
        let mut files = Vec::new();
        let mut failure = None;
        let outcome = package.for_each(&mut |path, mode, contents| {
            let staged = self.unpack_one(files.len(), (path, mode), contents).and_then(|file| {
                files.push(file);
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
            (None, Ok(())) => {
                let folders = package.folders();
                let folders = folders.iter().map(|folder| inside(folder.trim_end_matches('/')));
                let contents = Contents { digest, files, folders: folders.collect::<Result<_>>()? };
                check_names(&contents).map(|()| contents)
            }
        }
    }

    fn unpack_one(&self, index: usize, (path, mode): (&str, u32), contents: &mut dyn Read) -> Result<MarkedFile> {
        let path = inside(path)?;
        let staged = self.file(index);
        let cannot = |error: io::Error| InstallError::disk("write", path.to_string(), &error);
        let mut file = create_new(&staged).map_err(cannot)?;
        let size = copy(contents, &mut file, cannot)?;
        let mode = if mode & 0o777 == 0 { DEFAULT_MODE } else { mode & 0o777 };
        give(&file, self.owner).map_err(cannot)?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(cannot)?;
        file.sync_all().map_err(cannot)?;
        Ok(MarkedFile { path, size, mode })
    }

    /// Writes a small file here, whole or not at all, and forces it to the disk.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let durable = Replace { mode: 0o644, is_durable: true };
        durable.file(path, bytes).map_err(|error| InstallError::disk("write", path, &error))
    }
}

fn inside(path: &str) -> Result<Inside> {
    Inside::parse(path).map_err(InstallError::Package)
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn copy(from: &mut dyn Read, to: &mut File, cannot_write: impl Fn(io::Error) -> InstallError) -> Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(size),
            Ok(len) => {
                to.write_all(&chunk[..len]).map_err(&cannot_write)?;
                size += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

/// A package that breaks off is at fault itself; a disk that can't be read is not.
fn unreadable(error: &io::Error) -> InstallError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            InstallError::Package(error.to_string())
        }
        _ => InstallError::Disk(format!("cannot read the package: {}", crate::runtime::words(error))),
    }
}

/// Refuses a package that names a path twice, or both as a file and as a folder.
fn check_names(contents: &Contents) -> Result<()> {
    let above = contents.files.iter().flat_map(|file| file.path.ancestors());
    let dirs: BTreeSet<Inside> = above.chain(contents.folders.iter().cloned()).collect();
    let mut seen = BTreeSet::new();
    match contents.files.iter().find(|file| dirs.contains(&file.path) || !seen.insert(&file.path)) {
        Some(file) => Err(InstallError::Package(format!("it names {} twice", file.path))),
        None => Ok(()),
    }
}
