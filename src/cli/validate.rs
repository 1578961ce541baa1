//! `plugd validate`: what a server would say, without one.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    package::{Manifest, ManifestArg, Package, is_manifest, not_here, remarks},
    ui::{Ui, sanitize},
};
use crate::domain::{self, events::EventCatalog};

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

/// What a valid plugin is.
struct Valid {
    manifest: domain::manifest::Manifest,
    package: Option<Packed>,
    /// What its author may not have meant, and what will fail when it is started.
    remarks: Vec<String>,
}

/// What a package has beside its manifest.
struct Packed {
    digest: String,
    size: usize,
    files: Vec<String>,
    /// What of its folder is not in it, and that in words.
    left_out: Vec<String>,
    note: Option<String>,
}

impl Validate {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let catalog = if self.storyden_events { EventCatalog::storyden() } else { EventCatalog::any() };
        let valid = if is_manifest(&self.path) {
            of_manifest(&self.path, &catalog)?
        } else {
            of_package(Package::read(&self.path, &self.manifest)?, &catalog)?
        };
        valid.remarks.iter().for_each(|remark| ui.warn(remark));
        valid.package.iter().filter_map(|package| package.note.as_ref()).for_each(|note| ui.note(note));
        if ui.is_json() {
            return Ok(ui.json(&valid.json())?);
        }
        Ok(ui.line(&valid.line())?)
    }
}

fn of_manifest(path: &Path, catalog: &EventCatalog) -> Result<Valid, Failure> {
    let written = Manifest::read(path)?;
    let remarks = remarks(&written.object, false);
    let manifest = domain::manifest::Manifest::from_value(Value::Object(written.object), catalog);
    Ok(Valid { manifest: manifest?, package: None, remarks })
}

fn of_package(package: Package, catalog: &EventCatalog) -> Result<Valid, Failure> {
    let Package { bytes, digest, remarks, left_out, left_out_note: note, .. } = package;
    let size = bytes.len();
    let read = domain::package::Package::read(bytes, catalog)?;
    let files = read.files.into_iter().map(|file| file.path).collect();
    let remarks = remarks.into_iter().chain(not_here(&read.manifest.command)).collect();
    Ok(Valid { manifest: read.manifest, package: Some(Packed { digest, size, files, left_out, note }), remarks })
}

impl Valid {
    fn line(&self) -> String {
        let about = match &self.package {
            Some(Packed { size, files, .. }) if files.len() == 1 => format!("1 file, {size} bytes"),
            Some(Packed { size, files, .. }) => format!("{} files, {size} bytes", files.len()),
            None => "the manifest of an external plugin".to_owned(),
        };
        let manifest = &self.manifest;
        let names = [manifest.id.as_str(), &manifest.name, &manifest.version].map(sanitize).join(" ");
        format!("{} is valid: {about}", names.trim_end())
    }

    fn json(&self) -> Value {
        let package = self.package.as_ref();
        let package = package.map(|Packed { digest, size, files, left_out, .. }| {
            json!({"digest": digest, "size": size, "files": files, "left_out": left_out})
        });
        json!({"manifest": self.manifest.to_map(), "package": package, "warnings": self.remarks})
    }
}
