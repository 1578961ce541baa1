//! Carrying plans out.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::CWD;

use super::{
    Checkpoint, InstallError, PackageFiles, Result, Step,
    dir::{Dir, Owner, unless_spoiled},
    marker::{self, LOCK, MARKER, MAX_LOCK, Marker},
    path::{Inside, OWN_DIR},
    plan::{MAX_PLAN, Plan},
    stage::Staging,
};
use crate::{domain::Digest, files};

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

    /// Is this package in place, with all of its files?
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
        self.staging.write(&self.staging.lock(), marker::lock(digest).as_bytes())?;
        self.staging.write(&self.staging.plan(), &json(&plan)?)?;
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
            remove_if_there(&self.staging.plan()).map_err(|error| self.cannot("clear", &error))?;
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
        Ok(found.is_some_and(|found| found == marker::lock(digest).as_bytes()))
    }

    fn mark(&self) -> io::Result<()> {
        if self.staging.lock().try_exists()? {
            self.install.take(&self.staging.lock(), LOCK)?;
        }
        let own = self.install.child_or_create(OWN_DIR)?;
        if self.staging.marker().try_exists()? {
            own.take(&self.staging.marker(), MARKER)?;
        }
        own.sync()?;
        self.install.sync()
    }

    /// The plan that there is. One that somebody spoiled may be half carried out: then the package is to be laid anew.
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

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
