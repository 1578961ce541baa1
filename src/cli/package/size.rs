//! What is too much for a package, told before anything is compressed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    cli::failure::{Exit, Failure},
    domain::package::LIMITS,
};

/// A file that goes into a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    /// Its name in the package.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Its bytes.
    pub(super) size: u64,
    /// Its permission bits.
    pub(super) mode: u32,
}

/// Folders that a refusal tells.
const MAX_TOLD: usize = 3;
const MIB: u64 = 1024 * 1024;

/// Refuses files that are more or larger than a server takes, with the folders that hold the most and what to do.
pub(super) fn check(files: &[File]) -> Result<(), Failure> {
    // And the manifest.
    let count = files.len() + 1;
    if count > LIMITS.files {
        let what = format!("there are {count} files, and a package has at most {}", LIMITS.files);
        return Err(too_much(&what, files, &|_| 1, &|count| count.to_string()));
    }
    if let Some(File { name, size, .. }) = files.iter().find(|file| file.size > LIMITS.file) {
        let limit = mib(LIMITS.file);
        return Err(refusal(format!("{name} has {}, and a file of a package at most {limit}", mib(*size)), files));
    }
    let total: u64 = files.iter().map(|file| file.size).sum();
    if total > LIMITS.total {
        let what = format!("the files have {}, and those of a package at most {}", mib(total), mib(LIMITS.total));
        return Err(too_much(&what, files, &|file| file.size, &mib));
    }
    Ok(())
}

/// The package is too large, compressed.
pub(super) fn too_large(files: &[File]) -> Failure {
    let what = format!("compressed, the package has more than {}", mib(LIMITS.archive));
    too_much(&what, files, &|file| file.size, &mib)
}

/// An archive that somebody made is too large.
pub(super) fn too_large_archive(path: &Path) -> Failure {
    let limit = mib(LIMITS.archive);
    Failure::new(format!("{} has more than {limit}, and a package at most that", path.display()))
        .hint("leave out what the plugin does not need to run")
        .exit(Exit::Refused)
}

fn too_much(what: &str, files: &[File], weight: &dyn Fn(&File) -> u64, words: &dyn Fn(u64) -> String) -> Failure {
    let tell = |folders: Vec<(&str, u64)>| {
        let told = folders.into_iter().take(MAX_TOLD).map(|(name, weight)| format!("{name} {}", words(weight)));
        told.collect::<Vec<_>>().join(", ")
    };
    let top = tell(heaviest(files, weight, &|name| name.split('/').next()));
    let modules = tell(heaviest(files, weight, &module));
    let modules = if modules.is_empty() { modules } else { format!(" (the most within node_modules: {modules})") };
    refusal(format!("{what}: {top}{modules}"), files)
}

fn refusal(what: String, files: &[File]) -> Failure {
    let remedy = "name what the plugin does not need to run in .plugdignore, a pattern a line as in a .gitignore";
    let has_modules = files.iter().any(|file| module(&file.name).is_some());
    let remedy = match has_modules {
        true => format!(
            "`npm install --omit=dev` leaves out what only building needs, and a bundler makes one file of it all; or {remedy}"
        ),
        false => remedy.to_owned(),
    };
    Failure::new(what).hint(remedy).exit(Exit::Refused)
}

/// The parts that hold the most, the heaviest first.
fn heaviest<'a>(
    files: &'a [File],
    weight: &dyn Fn(&File) -> u64,
    part: &dyn Fn(&'a str) -> Option<&'a str>,
) -> Vec<(&'a str, u64)> {
    let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
    for file in files {
        if let Some(part) = part(&file.name) {
            *parts.entry(part).or_default() += weight(file);
        }
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    parts
}

/// The package of `node_modules` that a file belongs to: `a`, or `@scope/a`.
fn module(name: &str) -> Option<&str> {
    let within =
        name.strip_prefix("node_modules/").or_else(|| name.split_once("/node_modules/").map(|split| split.1))?;
    let parts = if within.starts_with('@') { 2 } else { 1 };
    match within.match_indices('/').nth(parts - 1) {
        Some((end, _)) => Some(&within[..end]),
        None => Some(within),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a size in words")]
fn mib(bytes: u64) -> String {
    if bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{:.1} MiB", bytes as f64 / MIB as f64)
    }
}

#[cfg(test)]
mod tests;
