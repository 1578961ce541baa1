//! From a folder to a package: a zip of what belongs into one, the same bytes for the same files.

mod contents;
mod folder;
mod ignored;
mod limits;
mod manifest;
mod remarks;
mod start;

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Args;
use serde_json::{Map, Value};
use zip::ZipArchive;

use self::contents::Contents;
use super::{
    failure::{Exit, Failure},
    ui::{Ui, quoted},
    usage,
};
use crate::{
    domain::{
        self,
        events::EventCatalog,
        package::{LIMITS, MAX_ARCHIVE, digest_of},
        text::unmarked,
    },
    files::{self, MAX_TEXT},
};

pub(super) use self::{
    folder::Folder,
    ignored::{Ignored, PLUGDIGNORE},
    manifest::{MANIFEST, Manifest, YAML},
    remarks::{nearest, remarks},
    start::{BUILD, not_here},
};

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
    pub(super) bytes: Bytes,
    /// "sha256:…" of it.
    pub(super) digest: String,
    /// The manifest in it as its author wrote it, if it can be read.
    pub(super) manifest: Option<Map<String, Value>>,
    /// What its author may not have meant.
    pub(super) remarks: Vec<String>,
    /// What of its folder is left out by a pattern, and that in words.
    pub(super) left_out: Vec<String>,
    pub(super) left_out_note: Option<String>,
}

impl Package {
    /// The package at a path: a folder is packaged and refused if a server would, an archive is taken as it is.
    ///
    /// # Errors
    /// It can't be read, or is too large.
    pub(super) fn read(path: &Path, manifest: &ManifestArg) -> Result<Self, Failure> {
        let about = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if about.is_dir() {
            return Self::of_folder(&Folder { dir: path, manifest: manifest.manifest.as_deref(), except: &[] });
        }
        if is_manifest(path) {
            return Err(Failure::new(format!("{} is a manifest, not a package", path.display()))
                .hint(format!(
                    "name its folder to have that packaged; `plugd register {}` is for a plugin that somebody else runs",
                    quoted(path)
                ))
                .exit(Exit::Refused));
        }
        if manifest.manifest.is_some() {
            return Err(usage(format!("--manifest is for folders, and {} is a file", path.display())));
        }
        let bytes = files::read(path, MAX_ARCHIVE).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => limits::too_large_archive(path),
            _ => unreadable(path, error),
        })?;
        let (manifest, bytes) = (manifest_in(&bytes), Bytes::from(bytes));
        // What is refused is for the server to say.
        let read = domain::package::Package::read(bytes.clone(), &EventCatalog::any()).ok();
        Ok(Self::new(bytes, manifest, read.as_ref()))
    }

    /// Packages a folder.
    ///
    /// # Errors
    /// It has no manifest, can't be read, or makes a package that no server takes.
    pub(super) fn of_folder(folder: &Folder<'_>) -> Result<Self, Failure> {
        let (manifest, contents, bytes) = Self::zip(folder)?;
        let read = domain::package::Package::read(bytes.clone(), &EventCatalog::any());
        let read = read.map_err(|error| contents.refused(error.into()))?;
        let mut package = Self::new(bytes, Some(manifest.object), Some(&read));
        package.remarks.extend(contents.of_links());
        Ok(Self { left_out_note: contents.of_left_out(), left_out: contents.left_out, ..package })
    }

    /// The digest that a folder's package would have, without a look at whether a server takes it.
    ///
    /// # Errors
    /// As of [`Package::of_folder`], but for what only a look into the package shows.
    pub(super) fn digest_of_folder(folder: &Folder<'_>) -> Result<String, Failure> {
        Ok(digest(&Self::zip(folder)?.2))
    }

    fn zip(folder: &Folder<'_>) -> Result<(Manifest, Contents, Bytes), Failure> {
        let manifest = Manifest::of_folder(folder.dir, folder.manifest)?;
        // What `plugd package` and `plugd download` leave behind when they are run in the folder.
        let earlier = manifest.id().map(|id| folder.dir.join(format!("{id}.zip")));
        let except: Vec<PathBuf> = folder.except.iter().cloned().chain(earlier).collect();
        let folder = Folder { except: &except, ..*folder };
        let contents = Contents::of(&folder)?;
        let bytes = Bytes::from(folder.zip(&manifest, &contents)?);
        Ok((manifest, contents, bytes))
    }

    fn new(bytes: Bytes, manifest: Option<Map<String, Value>>, read: Option<&domain::package::Package>) -> Self {
        let of_manifest = manifest.as_ref().map(|manifest| remarks(manifest, true)).unwrap_or_default();
        let remarks = of_manifest.into_iter().chain(read.map(start::remarks).unwrap_or_default()).collect();
        Self { digest: digest(&bytes), bytes, manifest, remarks, left_out: Vec::new(), left_out_note: None }
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

    /// Says what its author may not have meant, and what is not in it.
    pub(super) fn warn(&self, ui: &Ui) {
        self.remarks.iter().for_each(|remark| ui.warn(remark));
        self.left_out_note.iter().for_each(|note| ui.note(note));
    }
}

/// Is this file the manifest of a plugin, rather than a package?
#[must_use]
pub(super) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && matches!(extension, Some("json" | "yaml" | "yml"))
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
            let mut manifest = Vec::new();
            entry.take(LIMITS.manifest).read_to_end(&mut manifest).ok()?;
            return serde_json::from_slice(unmarked(&manifest).ok()?).ok();
        }
    }
    None
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::from(error).about(format_args!("can't read {}", path.display()))
}

/// The text of a file of the author's.
fn text(path: &Path) -> Result<String, Failure> {
    files::read_text(path, MAX_TEXT).map_err(|error| unreadable(path, error))
}

#[cfg(test)]
mod tests;
