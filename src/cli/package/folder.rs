//! The files of a folder that go into its package, and their archive.

use std::{
    fs,
    io::{self, Cursor, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use indicatif::HumanBytes;
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{MANIFEST, ManifestFile, YAML, text, unreadable};
use crate::{
    cli::{
        failure::{Exit, Failure},
        ui::first_few,
    },
    domain::package::LIMITS,
    files,
};

/// The author's own patterns, as in a `.gitignore`, at the top of the folder. They come after [`DEFAULTS`], so that a
/// negated one (`!.well-known`) brings back what those leave out.
pub(in crate::cli) const PLUGDIGNORE: &str = ".plugdignore";

/// The patterns of what is left out of every package, as lines of a `.gitignore`: repositories, secrets, virtual environments and caches, all
/// of which have a dot, what editors leave behind, and what Python and Cargo make. What a plugin runs with stays: `node_modules`
/// with the folders in it that begin with a dot, like `.prisma`, but not its programs and caches.
const DEFAULTS: [&str; 10] = [
    ".*",
    "!**/node_modules/**/.*",
    "**/node_modules/.bin/",
    "**/node_modules/.cache/",
    "*~",
    "*.swp",
    "*.swo",
    r"\#*#",
    "__pycache__/",
    // Only at the top: elsewhere it may be anything.
    "/target/",
];

/// The permissions that a package keeps. Who else may write a file is up to the umask with which it was made, and is no part of it:
/// the same files are the same package.
const MODE: u32 = 0o755;

/// A folder to be packaged.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Folder<'a> {
    /// The folder's path.
    pub(in crate::cli) dir: &'a Path,
    /// The manifest, if it is not where it usually is.
    pub(in crate::cli) manifest: Option<&'a Path>,
    /// Folders and files that are no part of the plugin, beside what is [`Ignored`].
    pub(in crate::cli) except: &'a [PathBuf],
}

impl Folder<'_> {
    /// A digest of the files that its package is made of, whether or not they make one.
    pub(in crate::cli) fn digest(&self) -> Result<Vec<u8>, Failure> {
        let manifests = [MANIFEST].iter().chain(&YAML).map(|name| self.dir.join(name));
        let manifests = manifests.chain(self.manifest.map(PathBuf::from)).map(|path| (path, 0));
        let mut digest = Sha256::new();
        for (path, mode) in manifests.chain(Contents::of(self)?.files.into_iter().map(|file| (file.path, file.mode))) {
            digest.update(format!("{path:?} {mode} "));
            digest.update(files::read(&path, LIMITS.file).unwrap_or_default());
        }
        Ok(digest.finalize().to_vec())
    }

    /// Whether this is no part of the plugin, or its manifest: that is written by itself, and in JSON only.
    fn excepts(&self, path: &Path) -> bool {
        [MANIFEST].iter().chain(&YAML).any(|name| path == self.dir.join(name))
            || self.except.iter().map(PathBuf::as_path).chain(self.manifest).any(|other| is_same(path, other))
    }
}

fn is_same(path: &Path, other: &Path) -> bool {
    path.file_name() == other.file_name()
        && fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(other).is_ok_and(|other| other == path))
}

/// The patterns of one folder.
#[derive(Debug)]
pub(in crate::cli) struct Ignored {
    dir: PathBuf,
    patterns: Gitignore,
}

impl Ignored {
    /// The patterns of this folder.
    pub(in crate::cli) fn of(dir: &Path) -> Result<Self, Failure> {
        let mut builder = GitignoreBuilder::new(dir);
        for line in DEFAULTS {
            builder.add_line(None, line).map_err(|error| Failure::new(error.to_string()))?;
        }
        let path = dir.join(PLUGDIGNORE);
        // A byte order mark would become part of the first pattern.
        for line in if path.is_file() { text(&path)? } else { String::new() }.lines() {
            builder.add_line(None, line).map_err(|error| no_pattern(&path, line, &error))?;
        }
        let patterns = builder.build().map_err(|error| no_pattern(&path, "", &error))?;
        Ok(Self { dir: dir.to_owned(), patterns })
    }

    /// Whether this is left out, of a folder that is not itself left out.
    fn has(&self, path: &Path, is_dir: bool) -> bool {
        self.patterns.matched(path, is_dir).is_ignore()
    }

    /// Whether this is left out, or a folder that it is in.
    pub(in crate::cli) fn covers(&self, path: &Path) -> bool {
        let covered = |within| self.patterns.matched_path_or_any_parents(within, path.is_dir()).is_ignore();
        path.strip_prefix(&self.dir).is_ok_and(covered)
    }
}

fn no_pattern(path: &Path, line: &str, error: &ignore::Error) -> Failure {
    Failure::new(format!("{} has a line that is no pattern: {line:?}: {error}", path.display()))
        .hint("write a pattern a line, as in a .gitignore")
        .exit(Exit::Refused)
}

/// A file that goes into a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    /// Its name in the package.
    name: String,
    path: PathBuf,
    size: u64,
    mode: u32,
}

/// The contents of a folder, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: Vec<File>,
    /// The names that are left out by a pattern, folders without what is in them.
    pub(super) left_out: Vec<String>,
    /// The links and whatever else is no file, which a package can't have.
    links: Vec<String>,
}

impl Contents {
    /// Looks through a folder, which must not hold more than any server takes.
    pub(super) fn of(folder: &Folder<'_>) -> Result<Self, Failure> {
        let mut contents = Self::default();
        contents.add_folder(folder, &Ignored::of(folder.dir)?, folder.dir)?;
        contents.files.sort();
        contents.left_out.sort();
        contents.links.sort();
        check_size(&contents.files)?;
        Ok(contents)
    }

    fn add_folder(&mut self, folder: &Folder<'_>, ignored: &Ignored, dir: &Path) -> Result<(), Failure> {
        let read = || -> io::Result<Vec<_>> { fs::read_dir(dir)?.collect() };
        for entry in read().map_err(|error| unreadable(dir, error))? {
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&path, error))?;
            if folder.excepts(&path) {
                continue;
            }
            let name = name_of(folder.dir, &path)?;
            if ignored.has(&path, kind.is_dir()) {
                self.left_out.extend(Some(name).filter(|name| name != PLUGDIGNORE));
            } else if kind.is_dir() {
                self.add_folder(folder, ignored, &path)?;
            } else if kind.is_file() {
                let about = entry.metadata().map_err(|error| unreadable(&path, error))?;
                self.files.push(File { name, path, size: about.len(), mode: about.permissions().mode() & MODE });
            } else {
                self.links.push(name);
            }
        }
        Ok(())
    }

    /// The archive of these with at most so many bytes. First the manifest, so that no other file of its name in the folder
    /// is taken for it (CONTRACT 6), then every file in the order of names.
    pub(super) fn zip(&self, manifest: &ManifestFile, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut archive = ZipWriter::new(Cursor::default());
        add(&mut archive, MANIFEST, &manifest.json, 0o644).map_err(|error| unreadable(&manifest.path, error))?;
        for File { name, path, mode, .. } in &self.files {
            // The file may have grown since it was looked at.
            let bytes = files::read(path, LIMITS.file).map_err(|error| unreadable(path, error))?;
            add(&mut archive, name, &bytes, *mode).map_err(|error| unreadable(path, error))?;
        }
        let bytes = archive.finish().map_err(|error| unreadable(&manifest.path, error.into()))?.into_inner();
        if bytes.len() as u64 > limit {
            return Err(too_much(format!("compressed, the package has more than {}", HumanBytes(LIMITS.archive))));
        }
        Ok(bytes)
    }

    /// A remark on the links, if there are any.
    pub(super) fn remark_on_links(&self) -> Option<String> {
        let names = (!self.links.is_empty()).then(|| first_few(&self.links))?;
        Some(format!(
            "left out as links, or no files, which a package can't have: {names}; put what they lead to in their place \
             (`npm install --install-links`, `pnpm install --node-linker=hoisted`)"
        ))
    }
}

/// The name of a file in the package.
fn name_of(dir: &Path, path: &Path) -> Result<String, Failure> {
    let name = path.strip_prefix(dir).unwrap_or(path).to_str().map(str::to_owned);
    name.ok_or_else(|| {
        Failure::new(format!("can't package {}: its name is not UTF-8", path.display())).exit(Exit::Refused)
    })
}

fn add(archive: &mut ZipWriter<Cursor<Vec<u8>>>, name: &str, contents: &[u8], mode: u32) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(mode);
    archive.start_file(name, options)?;
    archive.write_all(contents)
}

/// Refuses files that are more or larger than a server takes, before they are compressed.
fn check_size(files: &[File]) -> Result<(), Failure> {
    // The manifest is one more.
    let count = files.len() + 1;
    if count > LIMITS.files {
        return Err(too_much(format!("there are {count} files, and a package has at most {}", LIMITS.files)));
    }
    if let Some(File { name, size, .. }) = files.iter().find(|file| file.size > LIMITS.file) {
        let (size, limit) = (HumanBytes(*size), HumanBytes(LIMITS.file));
        return Err(too_much(format!("{name} has {size}, and a file of a package at most {limit}")));
    }
    let total: u64 = files.iter().map(|file| file.size).sum();
    if total > LIMITS.total {
        let (total, limit) = (HumanBytes(total), HumanBytes(LIMITS.total));
        return Err(too_much(format!("the files have {total}, and those of a package at most {limit}")));
    }
    Ok(())
}

/// The refusal of a package that is too large.
pub(super) fn too_much(what: String) -> Failure {
    let hint = "leave out what the plugin does not need to run: name it in .plugdignore, a pattern a line as in a .gitignore; \
                of node_modules, `npm install --omit=dev` leaves out what only building needs";
    Failure::new(what).hint(hint).exit(Exit::Refused)
}

#[cfg(test)]
mod tests;
