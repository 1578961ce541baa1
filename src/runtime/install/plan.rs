//! The plan: what an update takes away and what it brings, complete before anything is changed.

use std::{
    collections::{BTreeSet, HashSet},
    io,
};

use serde::{Deserialize, Serialize};

use super::{
    dir::Dir,
    marker::{MAX_MARKER, MarkedFile, Marker},
    path::Inside,
};
use crate::domain::Digest;

/// Most bytes of a plan: the markers of the package before and of the one to come.
pub(super) const MAX_PLAN: u64 = 2 * MAX_MARKER;

/// What is to be done. Carrying it out twice, or from the middle, ends in the same files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Files that only the old package brought.
    pub(super) remove: Vec<Inside>,
    /// Folders made for the old package alone, the deepest first; removed if empty.
    pub(super) remove_dirs: Vec<Inside>,
    /// What is true afterwards. File number N of it is staged under the name N.
    pub(super) marker: Marker,
}

/// What a package holds.
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
        remove_dirs.sort_by_key(|path| std::cmp::Reverse(path.depth()));
        let mut dirs = BTreeSet::new();
        for dir in needed {
            if old_dirs.contains(&dir) || install.find(Some(&dir))?.is_none() {
                dirs.insert(dir);
            }
        }
        Ok(Self { remove, remove_dirs, marker: Marker { digest, files, folders, dirs } })
    }
}
