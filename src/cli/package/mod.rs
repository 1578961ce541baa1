//! Packages: made of folders, read, checked. `plugd package` and `plugd validate`.

mod folder;
mod manifest;
mod size;
mod start;

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Args;
use serde_json::{Map, Value, json};
use zip::ZipArchive;

use self::folder::Contents;
use super::{
    failure::{Exit, Failure},
    file::{self, unreadable},
    ui::{Ui, first_few, quoted, sanitize},
    usage,
};
use crate::{
    domain::{
        self,
        events::EventCatalog,
        package::{LIMITS, MAX_ARCHIVE, digest_of},
        text::unmarked,
    },
    files, storyden,
};

pub(super) use self::{
    folder::{Folder, Ignored, PLUGDIGNORE},
    manifest::{MANIFEST, Manifest, YAML, remarks},
    start::BUILD,
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
    manifest: Option<Map<String, Value>>,
    /// What its author may not have meant.
    pub(super) remarks: Vec<String>,
    /// What of its folder is left out by a pattern.
    pub(super) left_out: Vec<String>,
}

impl Package {
    /// The package at a path: a folder is packaged and refused if a server would, an archive is taken as it is.
    pub(super) fn read(path: &Path, manifest: &ManifestArg) -> Result<Self, Failure> {
        let about = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if about.is_dir() {
            return Self::of_folder(&Folder { dir: path, manifest: manifest.manifest.as_deref(), except: &[] });
        }
        if is_manifest(path) {
            return Err(no_package(path));
        }
        if manifest.manifest.is_some() {
            return Err(usage(format!("--manifest is for folders, and {} is a file", path.display())));
        }
        let bytes = files::read(path, MAX_ARCHIVE).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => size::too_large_archive(path),
            _ => unreadable(path, error),
        })?;
        let (manifest, bytes) = (manifest_in(&bytes), Bytes::from(bytes));
        // What is refused is for the server to say.
        let read = domain::package::Package::read(bytes.clone(), &EventCatalog::any()).ok();
        Ok(Self::new(bytes, manifest, read.as_ref()))
    }

    /// Packages a folder, unless it makes a package that no server takes.
    pub(super) fn of_folder(folder: &Folder<'_>) -> Result<Self, Failure> {
        let (manifest, contents, bytes) = Self::zip(folder)?;
        let read = domain::package::Package::read(bytes.clone(), &EventCatalog::any());
        let read = read.map_err(|error| contents.refused(error.into()))?;
        let mut package = Self::new(bytes, Some(manifest.object), Some(&read));
        package.remarks.extend(contents.remark_on_links());
        Ok(Self { left_out: contents.left_out, ..package })
    }

    /// The digest that a folder's package would have, without a look at whether a server takes it.
    pub(super) fn digest_of_folder(folder: &Folder<'_>) -> Result<String, Failure> {
        Ok(digest_of(&Self::zip(folder)?.2).to_string())
    }

    fn zip(folder: &Folder<'_>) -> Result<(Manifest, Contents, Bytes), Failure> {
        let manifest = Manifest::of_folder(folder.dir, folder.manifest)?;
        // What `plugd package` and `plugd download` leave behind when they are run in the folder.
        let earlier = manifest.id().map(|id| folder.dir.join(format!("{id}.zip")));
        let except: Vec<PathBuf> = folder.except.iter().cloned().chain(earlier).collect();
        let folder = Folder { except: &except, ..*folder };
        let contents = Contents::of(&folder)?;
        let bytes = contents.zip(&manifest, LIMITS.archive)?;
        Ok((manifest, contents, bytes.into()))
    }

    fn new(bytes: Bytes, manifest: Option<Map<String, Value>>, read: Option<&domain::package::Package>) -> Self {
        let of_manifest = manifest.as_ref().map(|manifest| remarks(manifest, true)).unwrap_or_default();
        let remarks = of_manifest.into_iter().chain(read.map(start::remarks).unwrap_or_default()).collect();
        Self { digest: digest_of(&bytes).to_string(), bytes, manifest, remarks, left_out: Vec::new() }
    }

    /// The id in its manifest.
    pub(super) fn manifest_id(&self) -> Option<&str> {
        self.manifest.as_ref()?.get("id")?.as_str()
    }

    /// The version in its manifest.
    pub(super) fn version(&self) -> Option<&str> {
        self.manifest.as_ref()?.get("version")?.as_str()
    }

    /// What is left out by a pattern, and how to have it.
    pub(super) fn left_out_note(&self) -> Option<String> {
        let first = self.left_out.first()?;
        let remedy = format!("to have one, add a line like `!{first}` to {PLUGDIGNORE} (patterns as in a .gitignore)");
        Some(format!("left out: {}; {remedy}", first_few(&self.left_out)))
    }

    /// Says what its author may not have meant, and what is not in it.
    pub(super) fn warn(&self, ui: &Ui) {
        self.remarks.iter().for_each(|remark| ui.warn(remark));
        self.left_out_note().iter().for_each(|note| ui.note(note));
    }
}

/// Make a package of a plugin's folder
///
/// A manifest in YAML becomes manifest.json in it. Left out are whatever has a name that begins with a dot (not within
/// node_modules), what editors leave behind (*~, *.swp, #*#), __pycache__, target at the top, node_modules/.bin, links, and the
/// package itself. A .plugdignore at the top has patterns as a .gitignore has: it leaves out more, or brings something
/// back (!.well-known). What a server would refuse is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd package my-plugin\n  plugd package my-plugin -O dist/my-plugin.zip --force")]
pub(super) struct Pack {
    /// Folder of the plugin
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    manifest: ManifestArg,
    /// Where to write it; - for standard output [default: a name after the manifest id]
    #[arg(long, short = 'O', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

impl Pack {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let except: Vec<PathBuf> = self.file.iter().cloned().collect();
        let folder = Folder { dir: &self.dir, manifest: self.manifest.manifest.as_deref(), except: &except };
        let package = Package::of_folder(&folder)?;
        package.warn(ui);
        let path = self.file.or_else(|| package.manifest_id().map(|id| PathBuf::from(format!("{id}.zip"))));
        let path =
            path.ok_or_else(|| usage("the manifest has no id to name the file after").hint("name it with -O"))?;
        if path == Path::new("-") {
            return Ok(ui.raw(&package.bytes)?);
        }
        file::write(&path, &package.bytes, self.force)?;
        let size = package.bytes.len();
        let about = json!({"file": path, "size": size, "digest": package.digest, "left_out": package.left_out});
        Ok(ui.json_or(|| about, || format!("{} ({size} bytes)", path.display()))?)
    }
}

/// Check a plugin's folder, package or manifest as a server would
///
/// What a server would refuse is an error. What it would take, but fails when the plugin is started, is a warning: a program
/// that is missing, not executable or no program, an interpreter that is not here, a manifest within a folder, keys that are
/// not known, packages of Node that are not there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd validate my-plugin\n  plugd validate my-plugin.zip\n  \
                        plugd validate external.yaml   the manifest of an external plugin")]
pub(super) struct Validate {
    /// Folder of a plugin, package, or manifest (.json, .yaml, .yml) of an external plugin
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    manifest: ManifestArg,
    /// Take only the events of Storyden, as `plugd serve --event-catalog storyden` does
    #[arg(long)]
    storyden_events: bool,
}

impl Validate {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let catalog = if self.storyden_events { storyden::events::catalog() } else { EventCatalog::any() };
        if is_manifest(&self.path) { self.manifest(&catalog, ui) } else { self.package(&catalog, ui) }
    }

    fn manifest(&self, catalog: &EventCatalog, ui: &Ui) -> Result<(), Failure> {
        let written = Manifest::read(&self.path)?;
        let remarks = remarks(&written.object, false);
        let manifest = domain::manifest::Manifest::from_value(Value::Object(written.object), catalog)?;
        remarks.iter().for_each(|remark| ui.warn(remark));
        let json = || json!({"manifest": manifest.to_map(), "package": null, "warnings": remarks});
        Ok(ui.json_or(json, || valid(&manifest, "the manifest of an external plugin"))?)
    }

    fn package(&self, catalog: &EventCatalog, ui: &Ui) -> Result<(), Failure> {
        let mut package = Package::read(&self.path, &self.manifest)?;
        let read = domain::package::Package::read(package.bytes.clone(), catalog)?;
        package.remarks.extend(start::missing_here(&read));
        package.warn(ui);
        let size = package.bytes.len();
        let json = || {
            let files: Vec<&str> = read.files.iter().map(|file| &*file.path).collect();
            let about = json!({"digest": package.digest, "size": size, "files": files, "left_out": package.left_out});
            json!({"manifest": read.manifest.to_map(), "package": about, "warnings": package.remarks})
        };
        let files = match read.files.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        Ok(ui.json_or(json, || valid(&read.manifest, &format!("{files}, {size} bytes")))?)
    }
}

fn valid(manifest: &domain::manifest::Manifest, about: &str) -> String {
    let names = [manifest.id.as_str(), &manifest.name, &manifest.version].map(sanitize).join(" ");
    format!("{} is valid: {about}", names.trim_end())
}

/// Is this file the manifest of a plugin, rather than a package?
fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && matches!(extension, Some("json" | "yaml" | "yml"))
}

fn no_package(path: &Path) -> Failure {
    Failure::new(format!("{} is a manifest, not a package", path.display()))
        .hint(format!(
            "name its folder to have that packaged; `plugd register {}` is for a plugin that somebody else runs",
            quoted(path)
        ))
        .exit(Exit::Refused)
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

#[cfg(test)]
mod tests;
