//! From a folder to a package: a zip of what belongs into one, the same bytes for the same files.

mod folder;
mod ignored;
mod manifest;
mod remarks;

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};
use zip::ZipArchive;

use self::remarks::missing_command;
use super::{failure::Failure, ui::Ui, usage};
use crate::{
    domain::{
        package::{MAX_ARCHIVE, digest_of},
        text,
    },
    files,
};

pub(super) use self::{
    folder::Folder,
    ignored::is_ignored,
    manifest::{MANIFEST, Manifest},
    remarks::{is_near, remarks},
};

/// Most bytes of a manifest in an archive that are read to say something about it.
const MAX_MANIFEST: u64 = 1024 * 1024;

/// Which manifest a folder is packaged with, as an argument.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ManifestArg {
    /// Manifest of a folder, JSON or YAML [default: its manifest.json, manifest.yaml or manifest.yml]
    #[arg(long, short, value_name = "FILE")]
    pub(super) manifest: Option<PathBuf>,
}

/// A package, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// The archive.
    pub(super) bytes: Vec<u8>,
    /// "sha256:…" of it.
    pub(super) digest: String,
    /// The manifest in it as its author wrote it, if it can be read. Whether it is good is for the server to say.
    pub(super) manifest: Option<Map<String, Value>>,
    /// What of the folder is not in it, though its author may think so.
    missed: Vec<String>,
}

impl Package {
    fn new(bytes: Vec<u8>, manifest: Option<Map<String, Value>>) -> Result<Self, Failure> {
        if bytes.len() as u64 > MAX_ARCHIVE {
            return Err(Failure::new(format!("the package has {} bytes, more than 50 MiB", bytes.len()))
                .hint("leave out what the plugin does not need to run")
                .exit(super::failure::Exit::Refused));
        }
        Ok(Self { digest: digest(&bytes), bytes, manifest, missed: Vec::new() })
    }

    /// The package at a path: a folder is packaged, an archive is taken as it is.
    ///
    /// # Errors
    /// It can't be read, or is too large.
    pub(super) fn read(path: &Path, manifest: &ManifestArg) -> Result<Self, Failure> {
        let about = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if about.is_dir() {
            return Self::of_folder(&Folder { dir: path, manifest: manifest.manifest.as_deref(), except: &[] });
        }
        if manifest.manifest.is_some() {
            return Err(usage(format!("--manifest is for folders, and {} is a file", path.display())));
        }
        let bytes = files::read(path, MAX_ARCHIVE).map_err(|error| unreadable(path, error))?;
        let manifest = manifest_in(&bytes);
        Self::new(bytes, manifest)
    }

    /// Packages a folder.
    ///
    /// # Errors
    /// It has no manifest, can't be read, or makes too large a package.
    pub(super) fn of_folder(folder: &Folder<'_>) -> Result<Self, Failure> {
        let manifest = Manifest::of_folder(folder.dir, folder.manifest)?;
        // What `plugd package` and `plugd download` leave behind when they are run in the folder.
        let earlier = manifest.id().map(|id| folder.dir.join(format!("{id}.zip")));
        let except: Vec<PathBuf> = folder.except.iter().cloned().chain(earlier).collect();
        let (bytes, missed) = Folder { except: &except, ..*folder }.zip(&manifest)?;
        Ok(Self { missed, ..Self::new(bytes, Some(manifest.object))? })
    }

    /// The id in its manifest.
    #[must_use]
    pub(super) fn manifest_id(&self) -> Option<&str> {
        self.manifest.as_ref()?.get("id")?.as_str()
    }

    /// The version in its manifest.
    #[must_use]
    pub(super) fn version(&self) -> Option<&str> {
        self.manifest.as_ref()?.get("version")?.as_str()
    }

    /// What its author may not have meant.
    #[must_use]
    pub(super) fn remarks(&self) -> Vec<String> {
        let of_manifest = self.manifest.as_ref().map(|manifest| remarks(manifest, true)).unwrap_or_default();
        of_manifest.into_iter().chain(missing_command(&self.bytes)).chain(self.missed.iter().cloned()).collect()
    }

    /// Says so.
    pub(super) fn warn(&self, ui: &Ui) {
        self.remarks().iter().for_each(|remark| ui.warn(remark));
    }
}

/// "sha256:…" of some bytes.
#[must_use]
pub(super) fn digest(bytes: &[u8]) -> String {
    digest_of(bytes).to_string()
}

/// The first manifest in an archive, in whatever folder: the one that counts (CONTRACT 6).
fn manifest_in(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).ok()?;
        if entry.name().ok()?.rsplit('/').next() == Some(MANIFEST) {
            let mut bytes = Vec::new();
            entry.take(MAX_MANIFEST).read_to_end(&mut bytes).ok()?;
            return serde_json::from_str(text::decode(&bytes).ok()?).ok();
        }
    }
    None
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::from(error).about(format_args!("can't read {}", path.display()))
}

#[cfg(test)]
mod tests;
