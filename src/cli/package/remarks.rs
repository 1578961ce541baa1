//! Remarks on what the author of a package may not have meant: every server takes it, but a key is ignored, or a start fails.

use std::io::Read;

use serde_json::{Map, Value, json};

use super::MANIFEST;
use crate::{
    cli::ui::{did_you_mean, first_few},
    domain::{
        events::EventCatalog,
        manifest::Manifest,
        package::{LIMITS, Package, PackageFile},
        program::{HEAD_BYTES, diagnose},
        text::unmarked,
    },
};

/// Remarks on a manifest: the keys that no server keeps, and a command that is missing.
pub(in crate::cli) fn of_manifest(written: &Map<String, Value>, is_supervised: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    // A manifest that is refused gets no remarks beside.
    let Ok(kept) = Manifest::from_value(Value::Object(written.clone()), &EventCatalog::any()) else { return remarks };
    compare("", &Value::Object(written.clone()), &Value::Object(kept.to_map()), &mut remarks);
    if is_supervised && kept.command.is_empty() {
        remarks.push("the manifest has no \"command\": the plugin can be installed, but not started".to_owned());
    }
    remarks
}

/// Finds what is written but not kept, at any depth.
fn compare(path: &str, written: &Value, kept: &Value, remarks: &mut Vec<String>) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (key, value) in written.iter().filter(|(_, value)| !is_void(value)) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match kept.get(key) {
                    Some(kept) => compare(&path, value, kept, remarks),
                    None => remarks.push(unknown(&path, key)),
                }
            }
        }
        (Value::Array(written), Value::Array(kept)) if written.len() == kept.len() => {
            for (index, (written, kept)) in written.iter().zip(kept).enumerate() {
                compare(&format!("{path}[{index}]"), written, kept, remarks);
            }
        }
        _ => {}
    }
}

fn unknown(path: &str, key: &str) -> String {
    let guess = did_you_mean(key, Manifest::keys()).map(|guess| format!("; {guess}")).unwrap_or_default();
    format!("the manifest's \"{path}\" is not known and is ignored{guess}")
}

/// Whether this is as good as not written.
fn is_void(value: &Value) -> bool {
    *value == Value::Null || *value == false || *value == "" || *value == json!([]) || *value == json!({})
}

/// Remarks on a package, which hold wherever it is started.
pub(super) fn of_package(package: &Package) -> Vec<String> {
    let written = manifest(package).map(|written| of_manifest(&written, true)).unwrap_or_default();
    written.into_iter().chain(of_start(package)).collect()
}

/// Remarks on what will fail at the start.
fn of_start(package: &Package) -> Vec<String> {
    let all = [program(package), nested(package), backslashes(package), modules(package)];
    all.into_iter().flatten().collect()
}

/// The manifest that counts: the first in the archive, in whatever folder (CONTRACT 6).
fn manifest_file(package: &Package) -> Option<&PackageFile> {
    package.files.iter().find(|file| file.path.rsplit('/').next() == Some(MANIFEST))
}

/// The manifest of a package as it is written.
fn manifest(package: &Package) -> Option<Map<String, Value>> {
    let bytes = head(package, manifest_file(package)?, LIMITS.manifest)?;
    serde_json::from_slice(unmarked(&bytes).ok()?).ok()
}

/// Says what is wrong with a command that names a file of the package.
fn program(package: &Package) -> Option<String> {
    let command = &package.manifest.command;
    if command.contains('\\') {
        return Some(format!(
            "the command {command:?} has a backslash, which is a letter like any other here: write /"
        ));
    }
    if !command.contains('/') || command.starts_with('/') {
        return None;
    }
    let why = match package.file(command) {
        Some(file) => diagnose(&head(package, file, HEAD_BYTES as u64)?, file.mode)?.to_string(),
        None if package.has_folder(command) => "it is a folder".to_owned(),
        None => "it is not in the package (has it been built?)".to_owned(),
    };
    Some(format!("the command {command:?} can't be started: {why}"))
}

/// The program's place is told from the top, also by a manifest in a folder (CONTRACT 6).
fn nested(package: &Package) -> Option<String> {
    let folder = manifest_file(package)?.path.strip_suffix(MANIFEST).filter(|folder| !folder.is_empty())?;
    Some(format!(
        "the manifest that counts is {folder}{MANIFEST}, the first in the archive: the plugin starts at the top, not in \
         {folder}; `plugd package` makes archives without a folder around it"
    ))
}

fn backslashes(package: &Package) -> Option<String> {
    let names: Vec<&str> = package.files.iter().map(|file| &*file.path).filter(|path| path.contains('\\')).collect();
    let why = "a backslash is a letter like any other here, so these are no files in folders; `plugd package` writes /";
    (!names.is_empty()).then(|| format!("names with backslashes: {}: {why}", first_few(&names)))
}

/// Node finds what `package.json` names in `node_modules`, unless a bundler put it all into one file.
fn modules(package: &Package) -> Option<String> {
    let bytes = head(package, package.file("package.json")?, LIMITS.manifest)?;
    let read: Value = serde_json::from_slice(&bytes).ok()?;
    let needed = read.get("dependencies").and_then(Value::as_object).map(Map::keys)?;
    let has = |name: &str| package.has_folder(&format!("node_modules/{name}"));
    let missing: Vec<&str> = needed.map(String::as_str).filter(|name| !has(name)).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "package.json depends on what node_modules in the package does not have: {}. Run `npm install \
             --omit=dev` in the folder, unless all is bundled into one file",
            first_few(&missing)
        )
    })
}

/// The first bytes of a file.
fn head(package: &Package, file: &PackageFile, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = package.extract_each(&mut |other, reader| match other.path == file.path {
        true => reader.take(limit).read_to_end(&mut bytes).map(drop),
        false => Ok(()),
    });
    read.ok().map(|()| bytes)
}

#[cfg(test)]
mod tests;
