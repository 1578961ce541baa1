//! Packages: made of folders, read, checked. `plugd package` and `plugd validate`.

mod folder;
mod manifest;
mod remarks;

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};

use self::folder::{Contents, too_much};
use super::{
    failure::{Exit, Failure},
    ui::{Ui, first_few, sanitize},
    usage,
};
use crate::{
    domain::{
        self,
        events::EventCatalog,
        package::{LIMITS, MAX_ARCHIVE, Package as Read},
    },
    files, storyden,
};

pub(super) use self::{
    folder::{Folder, Ignored, PLUGDIGNORE},
    manifest::{MANIFEST, ManifestFile, YAML},
    remarks::of_manifest as remarks,
};

#[derive(Debug, Clone, Default, Args)]
pub(super) struct ManifestArg {
    /// Manifest of a folder, JSON or YAML [default: its manifest.json, manifest.yaml or manifest.yml]
    #[arg(long, short, value_name = "FILE")]
    pub(super) manifest: Option<PathBuf>,
}

/// A package that a server takes, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) bytes: Bytes,
    pub(super) digest: String,
    read: Read,
    /// Remarks on what its author may not have meant.
    remarks: Vec<String>,
    /// The files of its folder that are left out by a pattern.
    left_out: Vec<String>,
}

impl Package {
    /// The package at a path, an archive or a folder that becomes one. What a server would refuse is refused.
    pub(super) fn read(path: &Path, manifest: &ManifestArg) -> Result<Self, Failure> {
        let about = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if about.is_dir() {
            return Self::of_folder(&Folder { dir: path, manifest: manifest.manifest.as_deref(), except: &[] });
        }
        if is_manifest(path) {
            let hint = "name its folder; `plugd register MANIFEST` is for a plugin that somebody else runs";
            let what = format!("{} is a manifest, not a package", path.display());
            return Err(Failure::new(what).hint(hint).exit(Exit::Refused));
        }
        if manifest.manifest.is_some() {
            return Err(usage(format!("--manifest is for folders, and {} is a file", path.display())));
        }
        let bytes = files::read(path, MAX_ARCHIVE).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => {
                let limit = HumanBytes(LIMITS.archive);
                too_much(format!("{} has more than {limit}, and a package at most that", path.display()))
            }
            _ => unreadable(path, error),
        })?;
        Ok(Self::of_bytes(bytes.into())?)
    }

    pub(super) fn of_folder(folder: &Folder<'_>) -> Result<Self, Failure> {
        let manifest = ManifestFile::of_folder(folder.dir, folder.manifest)?;
        // The file that `plugd package` and `plugd download` leave behind when they are run in the folder.
        let own = manifest.id().map(|id| folder.dir.join(format!("{id}.zip")));
        let except: Vec<PathBuf> = folder.except.iter().cloned().chain(own).collect();
        let contents = Contents::of(&Folder { except: &except, ..*folder })?;
        let mut package = Self::of_bytes(contents.zip(&manifest, LIMITS.archive)?.into())?;
        package.remarks.extend(contents.remark_on_links());
        Ok(Self { left_out: contents.left_out, ..package })
    }

    pub(super) fn of_bytes(bytes: Bytes) -> domain::error::Result<Self> {
        let read = Read::read(bytes.clone(), &EventCatalog::any())?;
        let (digest, remarks) = (read.digest.to_string(), remarks::of_package(&read));
        Ok(Self { bytes, digest, read, remarks, left_out: Vec::new() })
    }

    pub(super) fn manifest_id(&self) -> &str {
        &self.read.manifest.id
    }

    pub(super) fn version(&self) -> &str {
        &self.read.manifest.version
    }

    /// What its author may want to know: the remarks, the files that are not in it and how to have them.
    pub(super) fn notes(&self) -> Vec<String> {
        let left_out = self.left_out.first().map(|first| {
            let remedy =
                format!("to have one, add a line like `!{first}` to {PLUGDIGNORE} (patterns as in a .gitignore)");
            format!("left out: {}; {remedy}", first_few(&self.left_out))
        });
        self.remarks.iter().map(|remark| format!("warning: {remark}")).chain(left_out).collect()
    }

    /// Prints the notes.
    pub(super) fn warn(&self, ui: &Ui) {
        self.notes().iter().for_each(|note| ui.note(note));
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
        let folder =
            Folder { dir: &self.dir, manifest: self.manifest.manifest.as_deref(), except: self.file.as_slice() };
        let package = Package::of_folder(&folder)?;
        package.warn(ui);
        let path = self.file.unwrap_or_else(|| PathBuf::from(format!("{}.zip", package.read.manifest.id)));
        if path == Path::new("-") {
            return Ok(ui.raw(&package.bytes)?);
        }
        write(&path, &package.bytes, self.force)?;
        let size = package.bytes.len();
        let about = json!({"file": path, "size": size, "digest": package.digest, "left_out": package.left_out});
        Ok(ui.json_or(|| about, || format!("{} ({size} bytes)", path.display()))?)
    }
}

/// Check a plugin's folder, package or manifest as a server would
///
/// What a server would refuse is an error. What it would take, but fails when the plugin is started, is a warning: a program
/// that is missing, not executable or no program, a manifest within a folder, keys that are not known, packages of Node that
/// are not there.
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
        if is_manifest(&self.path) {
            let written = ManifestFile::read(&self.path)?.object;
            let remarks = remarks(&written, false);
            let manifest = self.check(Value::Object(written))?;
            remarks.iter().for_each(|remark| ui.warn(remark));
            let json = || json!({"manifest": manifest.to_map(), "package": null, "warnings": remarks});
            return Ok(ui.json_or(json, || valid(&manifest, "the manifest of an external plugin"))?);
        }
        let package = Package::read(&self.path, &self.manifest)?;
        let manifest = self.check(Value::Object(package.read.manifest.to_map()))?;
        package.warn(ui);
        let (size, count) = (package.bytes.len(), package.read.files.len());
        let json = || {
            let files: Vec<&str> = package.read.files.iter().map(|file| &*file.path).collect();
            let about = json!({"digest": package.digest, "size": size, "files": files, "left_out": package.left_out});
            json!({"manifest": manifest.to_map(), "package": about, "warnings": package.remarks})
        };
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        Ok(ui.json_or(json, || valid(&manifest, &format!("{files}, {size} bytes")))?)
    }

    fn check(&self, manifest: Value) -> domain::error::Result<domain::manifest::Manifest> {
        let catalog = if self.storyden_events { storyden::events::catalog() } else { EventCatalog::any() };
        domain::manifest::Manifest::from_value(manifest, &catalog)
    }
}

fn valid(manifest: &domain::manifest::Manifest, about: &str) -> String {
    let names = [manifest.id.as_str(), &manifest.name, &manifest.version].map(sanitize).join(" ");
    format!("{} is valid: {about}", names.trim_end())
}

/// Whether this file is the manifest of a plugin, rather than a package.
fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && matches!(extension, Some("json" | "yaml" | "yml"))
}

/// The text of a file of the user's.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    files::read_text(path, files::MAX_TEXT).map_err(|error| unreadable(path, error))
}

/// A file or folder can't be read.
pub(super) fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::from(error).about(format_args!("can't read {}", path.display()))
}

/// Writes a file; one that is there is only replaced by force.
pub(super) fn write(path: &Path, bytes: &[u8], is_forced: bool) -> Result<(), Failure> {
    let new = || OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes);
    let written = if is_forced { fs::write(path, bytes) } else { new() };
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => Failure::from(error).about(format_args!("can't write {}", path.display())),
    })
}

/// The failure to write what is there already.
pub(super) fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} is there already", path.display()))
        .hint("name another one, or replace it with --force")
        .exit(Exit::Conflict)
}

#[cfg(test)]
mod tests;
