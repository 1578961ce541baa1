//! What will fail when a package is started, though every server takes it.

use std::{env, io::Read, path::Path};

use serde_json::{Map, Value};

use super::manifest::MANIFEST;
use crate::{
    cli::ui::first_few,
    domain::{
        package::{Package, PackageFile},
        program::{HEAD_BYTES, Runner, diagnose, runner},
    },
    files::find_program,
};

/// What `plugd dev` runs by itself.
pub(in crate::cli) const BUILD: &str = "build.sh";

/// What Node's package managers read, and where they put what it names.
const PACKAGE_JSON: &str = "package.json";
const NODE_MODULES: &str = "node_modules";

/// Most bytes of a `package.json` that are read: as many as of a manifest.
const MAX_PACKAGE_JSON: u64 = 1024 * 1024;

/// Programs whose first argument, if it is no option, is the file that they run.
const INTERPRETERS: [&str; 10] = ["python3", "python", "node", "nodejs", "ruby", "perl", "php", "sh", "bash", "lua"];

/// What will fail in this package, wherever it is started.
pub(super) fn remarks(package: &Package) -> Vec<String> {
    let all = [program(package), script(package), nested(package), backslashes(package), modules(package)];
    all.into_iter().flatten().collect()
}

/// What the package needs and this host does not have. It is looked for where the server runs; here is a hint of it, no more.
pub(super) fn missing_here(package: &Package) -> Option<String> {
    let command = &package.manifest.command;
    if command.is_empty() || command.contains('\\') {
        return None;
    }
    if !command.contains('/') {
        return (!is_on_path(command)).then(|| {
            format!(
                "the command {command:?} is not on the PATH here: it has to be on plugd's, or in the package as \
                 \"./{command}\""
            )
        });
    }
    let head = head(package, package.file(command)?, HEAD_BYTES as u64)?;
    let Runner::Interpreter(interpreter) = runner(&head)? else { return None };
    (!interpreter.exists()).then(|| {
        format!("the interpreter {interpreter:?} of the command {command:?} is not here: it has to be on plugd's host")
    })
}

fn is_on_path(command: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| find_program(command, &path).is_some())
}

/// What is wrong with a command that names a file of the package.
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
    let cannot = |why: &str| format!("the command {command:?} can't be started: {why}");
    let Some(file) = package.file(command) else {
        return Some(cannot(match (package.has_folder(command), package.file(BUILD).is_some()) {
            (true, _) => "it is a folder",
            (false, true) => "it is not in the package (./build.sh may have to be run first)",
            (false, false) => "it is not in the package",
        }));
    };
    let problem = diagnose(&head(package, file, HEAD_BYTES as u64)?, file.mode)?;
    let remedy = match file.mode & 0o111 {
        0 => format!(" (`chmod +x {}`)", file.path),
        _ => String::new(),
    };
    Some(cannot(&format!("{problem}{remedy}")))
}

/// A script that an interpreter is to run must be there.
fn script(package: &Package) -> Option<String> {
    let manifest = &package.manifest;
    let script = manifest.args.first().filter(|first| !first.starts_with(['-', '/']))?;
    // What has no extension may be anything, and Node tries some by itself.
    let is_file = Path::new(script).extension().is_some();
    let is_run = is_file && INTERPRETERS.contains(&manifest.command.as_str());
    let is_missing = is_run && package.file(script).is_none() && !package.has_folder(script);
    is_missing.then(|| format!("{script:?}, which {} is to run, is not in the package", manifest.command))
}

/// The first manifest in the archive counts, wherever it is, and the program's place is told from the top (CONTRACT 6).
fn nested(package: &Package) -> Option<String> {
    let mut manifests = package.files.iter().filter(|file| file.path.rsplit('/').next() == Some(MANIFEST));
    let folder = manifests.next()?.path.strip_suffix(MANIFEST).filter(|folder| !folder.is_empty())?;
    let other = manifests.find(|file| file.path == MANIFEST);
    let other = other.map(|_| format!(", though there is a {MANIFEST} at the top")).unwrap_or_default();
    Some(format!(
        "the manifest that counts is {folder}{MANIFEST}, the first in the archive{other}: the plugin starts at the top, not \
         in {folder}; `plugd package` makes archives without a folder around it"
    ))
}

fn backslashes(package: &Package) -> Option<String> {
    let names: Vec<&str> = package.files.iter().map(|file| &*file.path).filter(|path| path.contains('\\')).collect();
    let why = "a backslash is a letter like any other here, so these are no files in folders; `plugd package` writes /";
    (!names.is_empty()).then(|| format!("names with backslashes: {}: {why}", first_few(&names)))
}

/// Node finds what `package.json` names in `node_modules`, unless a bundler put it all into one file.
fn modules(package: &Package) -> Option<String> {
    let file = package.file(PACKAGE_JSON).filter(|file| file.size <= MAX_PACKAGE_JSON)?;
    let read: Value = serde_json::from_slice(&head(package, file, MAX_PACKAGE_JSON)?).ok()?;
    let needed = read.get("dependencies").and_then(Value::as_object).map(Map::keys)?;
    let has = |name: &str| package.has_folder(&format!("{NODE_MODULES}/{name}"));
    let missing: Vec<&str> = needed.map(String::as_str).filter(|name| !has(name)).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{PACKAGE_JSON} depends on what {NODE_MODULES} in the package does not have: {}. Run `npm install \
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
