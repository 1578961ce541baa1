//! The marker: which package is in an install directory, and exactly what it brought.

use std::{collections::BTreeSet, io};

use serde::{Deserialize, Serialize};

use super::{dir::Dir, path::Inside};
use crate::domain::Digest;

/// Name of the marker in plugd's own folder of the install directory.
pub(super) const MARKER: &str = "installed.json";

/// Name of the contract's own marker (CONTRACT 7): who removes it has the package laid out anew at the next start.
pub(super) const LOCK: &str = ".sdxlock";

/// Most bytes of a marker: a package's 2048 files and as many folders with long paths have less. One of the most extreme
/// package may have more, which is then laid out at each start.
pub(super) const MAX_MARKER: u64 = 8 * 1024 * 1024;

/// Most bytes of the contract's marker.
pub(super) const MAX_LOCK: u64 = 1024;

/// The contract's marker of this package: its digest as hexadecimal digits, and a line break.
pub(super) fn lock(digest: Digest) -> String {
    let digest = digest.to_string();
    format!("{}\n", digest.split_once(':').map_or(&*digest, |(_, digits)| digits))
}

/// What a package brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The package.
    pub(super) digest: Digest,
    /// Its files.
    pub(super) files: Vec<MarkedFile>,
    /// Folders that it wants even where no file is in them.
    #[serde(default)]
    pub(super) folders: Vec<Inside>,
    /// Folders that were made for its files, or for those of a package before it.
    pub(super) dirs: BTreeSet<Inside>,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MarkedFile {
    pub(super) path: Inside,
    /// Bytes when it was laid out.
    pub(super) size: u64,
    /// Permission bits when it was laid out.
    pub(super) mode: u32,
}

impl Marker {
    /// The marker of this install directory. One that the plugin spoiled counts as none.
    pub(super) fn read(install: &Dir) -> io::Result<Option<Self>> {
        let own = Inside::own_dir();
        let Some(bytes) = install.find(Some(&own))?.map(|dir| dir.read(MARKER, MAX_MARKER)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).or_else(|error| {
            tracing::warn!(path = %install.path().display(), %error, "laying a package anew: its marker can't be read");
            Ok(None)
        })
    }

    /// Are all its files and folders there? What is in them is the plugin's affair: it may change its own files.
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
