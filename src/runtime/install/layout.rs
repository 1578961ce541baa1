//! What is in an install directory, and the way from one package to the next: a plan that is complete before anything is
//! changed, carried out, and a marker at the end that says which package is there.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::CWD;
use serde::{Deserialize, Serialize};

use super::{
    Checkpoint, InstallError, PackageFiles, Result, Staging, Step,
    dir::{Dir, Inside, OWN_DIR, Owner, unless_spoiled},
};
use crate::{domain::Digest, files};

/// Name of the marker in plugd's own folder of the install directory.
const MARKER: &str = "installed.json";

/// Name of the contract's own marker (CONTRACT 7): who removes it has the package laid out anew at the next start.
const LOCK: &str = ".sdxlock";

/// Most bytes of a marker: a package's 2048 files and as many folders with long paths have less. One of the most extreme
/// package may have more, which is then laid out at each start.
const MAX_MARKER: u64 = 8 * 1024 * 1024;

/// Most bytes of the contract's marker.
const MAX_LOCK: u64 = 1024;

/// Most bytes of a plan: the markers of the package before and of the one to come.
const MAX_PLAN: u64 = 2 * MAX_MARKER;

/// One plugin's install directory with its staging folder.
#[derive(Debug)]
pub(crate) struct Layout {
    install: Dir,
    staging: Staging,
}

impl Layout {
    /// Opens the install directory, creating it if missing.
    pub(super) fn open(install: &Path, staging: PathBuf, owner: Owner) -> Result<Self> {
        let dir = Dir::open(install, owner).map_err(|error| InstallError::disk("open", install, &error))?;
        Ok(Self { install: dir, staging: Staging::new(staging, owner) })
    }

    /// Whether this package is in place, with all of its files.
    pub(super) fn has(&self, digest: Digest) -> Result<bool> {
        match self.marker()? {
            Some(marker) if marker.digest == digest => {
                let is_whole = marker.is_complete(&self.install).and_then(|is| Ok(is && self.is_locked(digest)?));
                is_whole.map_err(|error| self.cannot("read", &error))
            }
            _ => Ok(false),
        }
    }

    /// Unpacks a package into staging and writes the plan: from here on there is no way back.
    pub(super) fn stage(&self, digest: Digest, package: &dyn PackageFiles, checkpoint: Checkpoint<'_>) -> Result<()> {
        self.staging.create()?;
        let contents = self.staging.unpack(digest, package, checkpoint)?;
        let old = self.marker()?;
        let plan = Plan::new(&self.install, old.as_ref(), contents);
        let plan = plan.map_err(|error| self.cannot("read", &error))?;
        self.staging.write(&self.staging.marker(), &json(&plan.marker)?)?;
        self.staging.write(&self.staging.lock(), lock(digest).as_bytes())?;
        self.staging.write_plan(&json(&plan)?)?;
        checkpoint(Step::Planned)
    }

    /// Carries out the plan that there is, and clears staging.
    pub(super) fn recover(&self, checkpoint: Checkpoint<'_>) -> Result<()> {
        if let Some(plan) = self.plan()? {
            self.remove(&plan, checkpoint)?;
            self.add(&plan, checkpoint)?;
            self.sync(&plan).map_err(|error| self.cannot("write", &error))?;
            self.mark().map_err(|error| self.cannot("write", &error))?;
            checkpoint(Step::Marked)?;
            files::remove_at(CWD, self.staging.plan()).map_err(|error| self.cannot("clear", &error))?;
            checkpoint(Step::Cleared)?;
        }
        self.staging.clear()
    }

    fn remove(&self, plan: &Plan, checkpoint: Checkpoint<'_>) -> Result<()> {
        for path in &plan.remove {
            self.in_parent(path, |dir| dir.remove_file(path.name()))?;
            checkpoint(Step::Removed)?;
        }
        for path in &plan.remove_dirs {
            self.in_parent(path, |dir| dir.remove_empty_dir(path.name()))?;
            checkpoint(Step::Removed)?;
        }
        Ok(())
    }

    fn in_parent(&self, path: &Inside, act: impl FnOnce(&Dir) -> io::Result<()>) -> Result<()> {
        let parent = self.install.find(path.parent().as_ref());
        let done = parent.and_then(|dir| dir.map_or(Ok(()), |dir| act(&dir)));
        done.map_err(|error| InstallError::disk("remove", path.to_string(), &error))
    }

    fn add(&self, plan: &Plan, checkpoint: Checkpoint<'_>) -> Result<()> {
        for (index, file) in plan.marker.files.iter().enumerate() {
            self.add_one(&self.staging.file(index), &file.path)
                .map_err(|error| InstallError::disk("write", file.path.to_string(), &error))?;
            checkpoint(Step::Added)?;
        }
        for folder in &plan.marker.folders {
            self.install
                .find_or_create(Some(folder))
                .map_err(|error| InstallError::disk("create", folder.to_string(), &error))?;
        }
        Ok(())
    }

    fn add_one(&self, staged: &Path, path: &Inside) -> io::Result<()> {
        // A file that is no longer staged was moved before the last interruption.
        if !staged.try_exists()? {
            return Ok(());
        }
        self.install.find_or_create(path.parent().as_ref())?.take(staged, path.name())
    }

    /// Forces every folder that changed to the disk, so that the marker can't come before what it vouches for. Of what was
    /// removed, by the word of a marker that the plugin may have written, that is the folder alone.
    fn sync(&self, plan: &Plan) -> io::Result<()> {
        let added = plan.marker.files.iter().flat_map(|file| file.path.ancestors());
        let removed = plan.remove.iter().chain(&plan.remove_dirs).filter_map(Inside::parent);
        for dir in &added.chain(removed).collect::<BTreeSet<Inside>>() {
            if let Some(dir) = self.install.find(Some(dir))? {
                dir.sync()?;
            }
        }
        self.install.sync()
    }

    fn is_locked(&self, digest: Digest) -> io::Result<bool> {
        let found = self.install.read(LOCK, MAX_LOCK)?;
        Ok(found.is_some_and(|found| found == lock(digest).as_bytes()))
    }

    fn mark(&self) -> io::Result<()> {
        if self.staging.lock().try_exists()? {
            self.install.take(&self.staging.lock(), LOCK)?;
        }
        let own = self.install.child_or_create(OWN_DIR)?;
        if self.staging.marker().try_exists()? {
            own.take(&self.staging.marker(), MARKER)?;
        }
        // Should the contract's marker not come to the disk with it, the package is laid out once more.
        own.sync()
    }

    /// Reads the plan, if there is one. A spoiled one may be half carried out: then the package is to be laid out again.
    fn plan(&self) -> Result<Option<Plan>> {
        let path = self.staging.plan();
        if !path.try_exists().map_err(|error| InstallError::disk("read", &path, &error))? {
            return Ok(None);
        }
        let read = unless_spoiled(&path, files::read_at(CWD, &path, MAX_PLAN));
        let read = read.map_err(|error| InstallError::disk("read", &path, &error))?;
        match read.map(|bytes| serde_json::from_slice(&bytes)) {
            Some(Ok(plan)) => Ok(Some(plan)),
            Some(Err(_)) | None => {
                tracing::warn!(path = %path.display(), "laying a package anew: its plan can't be understood");
                self.install.remove_file(LOCK).map_err(|error| self.cannot("write", &error)).map(|()| None)
            }
        }
    }

    fn marker(&self) -> Result<Option<Marker>> {
        Marker::read(&self.install).map_err(|error| self.cannot("read", &error))
    }

    fn cannot(&self, verb: &str, error: &io::Error) -> InstallError {
        InstallError::disk(verb, self.install.path(), error)
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| InstallError::Disk(format!("cannot write the plan: {error}")))
}

/// The contract's marker of this package: its digest as hexadecimal digits, and a line break.
fn lock(digest: Digest) -> String {
    let digest = digest.to_string();
    format!("{}\n", digest.split_once(':').map_or(&*digest, |(_, digits)| digits))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    pub(super) digest: Digest,
    pub(super) files: Vec<MarkedFile>,
    /// Folders that it wants even where no file is in them.
    pub(super) folders: Vec<Inside>,
    /// Folders that were made for its files, or for those of a package before it.
    pub(super) dirs: BTreeSet<Inside>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MarkedFile {
    pub(super) path: Inside,
    /// Bytes when it was laid out.
    pub(super) size: u64,
    /// Permission bits when it was laid out.
    pub(super) mode: u32,
}

impl Marker {
    /// Reads the marker of this install directory. One that the plugin has spoiled counts as none.
    pub(super) fn read(install: &Dir) -> io::Result<Option<Self>> {
        let own = install.child(OWN_DIR)?;
        let Some(bytes) = own.map(|dir| dir.read(MARKER, MAX_MARKER)).transpose()?.flatten() else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).or_else(|error| {
            tracing::warn!(path = %install.path().display(), %error, "laying a package anew: its marker can't be read");
            Ok(None)
        })
    }

    /// Whether all its files and folders are there. The plugin may change what is in them.
    pub(super) fn is_complete(&self, install: &Dir) -> io::Result<bool> {
        for file in &self.files {
            let dir = install.find(file.path.parent().as_ref())?;
            if !dir.map(|dir| dir.has_file(file.path.name())).transpose()?.unwrap_or(false) {
                return Ok(false);
            }
        }
        self.folders.iter().try_fold(true, |all, folder| Ok(all && install.find(Some(folder))?.is_some()))
    }
}

/// What is to be done. Carrying it out twice, or from the middle, ends in the same files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    /// Files that only the old package brought.
    pub(super) remove: Vec<Inside>,
    /// Folders made for the old package alone, the deepest first; removed if empty.
    pub(super) remove_dirs: Vec<Inside>,
    /// What is true afterwards. File number N of it is staged under the name N.
    pub(super) marker: Marker,
}

#[derive(Debug)]
pub(super) struct Contents {
    pub(super) digest: Digest,
    /// In the order in which they are staged.
    pub(super) files: Vec<MarkedFile>,
    pub(super) folders: Vec<Inside>,
}

impl Plan {
    /// Plans the way from the old package to these files.
    pub(super) fn new(install: &Dir, old: Option<&Marker>, contents: Contents) -> io::Result<Self> {
        let Contents { digest, files, folders } = contents;
        let brought: HashSet<&Inside> = files.iter().map(|file| &file.path).collect();
        let below = files.iter().map(|file| &file.path).chain(&folders).flat_map(Inside::ancestors);
        let needed: BTreeSet<Inside> = below.chain(folders.iter().cloned()).collect();
        let old_files = old.iter().flat_map(|old| &old.files).map(|file| &file.path);
        let remove = old_files.filter(|path| !brought.contains(path)).cloned().collect();
        let old_dirs: BTreeSet<Inside> = old.map(|old| old.dirs.clone()).unwrap_or_default();
        let mut remove_dirs: Vec<Inside> = old_dirs.difference(&needed).cloned().collect();
        remove_dirs.sort_by_key(|path| std::cmp::Reverse(path.names().count()));
        let mut dirs = BTreeSet::new();
        for dir in needed {
            if old_dirs.contains(&dir) || install.find(Some(&dir))?.is_none() {
                dirs.insert(dir);
            }
        }
        Ok(Self { remove, remove_dirs, marker: Marker { digest, files, folders, dirs } })
    }
}
