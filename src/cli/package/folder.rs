//! What of a folder goes into its package, and the archive of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{
    manifest::{MANIFEST, Manifest, YAML},
    size::{self, File},
};
use crate::{
    cli::{
        failure::{Exit, Failure},
        file::{text, unreadable},
        ui::first_few,
    },
    domain::package::{LIMITS, reserved},
    files,
};

/// The author's own patterns, as in a `.gitignore`, at the top of the folder. They come after [`DEFAULTS`], so that a
/// negated one (`!.well-known`) brings back what those leave out.
pub(in crate::cli) const PLUGDIGNORE: &str = ".plugdignore";

/// What is left out of every package, as lines of a `.gitignore`: repositories, secrets, virtual environments and caches, all
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

/// A folder to be packaged.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Folder<'a> {
    /// Where it is.
    pub(in crate::cli) dir: &'a Path,
    /// Its manifest, if it is not where it usually is.
    pub(in crate::cli) manifest: Option<&'a Path>,
    /// Folders and files that are no part of the plugin, beside what is [`Ignored`].
    pub(in crate::cli) except: &'a [PathBuf],
}

impl Folder<'_> {
    /// The manifest is written by itself, and in JSON only.
    fn is_manifest(&self, path: &Path) -> bool {
        [MANIFEST].iter().chain(&YAML).any(|name| path == self.dir.join(name))
            || self.manifest.is_some_and(|manifest| is_same(path, manifest))
    }

    fn is_excepted(&self, path: &Path) -> bool {
        self.except.iter().any(|other| is_same(path, other))
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

    /// Is this left out, of a folder that is not itself left out?
    fn has(&self, path: &Path, is_dir: bool) -> bool {
        self.patterns.matched(self.within(path), is_dir).is_ignore()
    }

    /// Is this left out, or a folder that it is in?
    pub(in crate::cli) fn covers(&self, path: &Path) -> bool {
        let within = self.within(path);
        let covered = |path: &Path| self.patterns.matched_path_or_any_parents(path, path.is_dir());
        within.is_relative() && matches!(covered(within), Match::Ignore(_))
    }

    fn within<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.dir).unwrap_or(path)
    }
}

fn no_pattern(path: &Path, line: &str, error: &ignore::Error) -> Failure {
    Failure::new(format!("{} has a line that is no pattern: {line:?}: {error}", path.display()))
        .hint("write a pattern a line, as in a .gitignore")
        .exit(Exit::Refused)
}

/// What is in a folder, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: Vec<File>,
    /// What is left out by a pattern, folders without what is in them.
    pub(super) left_out: Vec<String>,
    /// Links and what else is no file, which a package can't have.
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
        size::check(&contents.files)?;
        Ok(contents)
    }

    fn add_folder(&mut self, folder: &Folder<'_>, ignored: &Ignored, dir: &Path) -> Result<(), Failure> {
        let read = || -> io::Result<Vec<_>> { fs::read_dir(dir)?.collect() };
        for entry in read().map_err(|error| unreadable(dir, error))? {
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&path, error))?;
            if folder.is_manifest(&path) || folder.is_excepted(&path) {
                continue;
            }
            let name = name_of(folder.dir, &path)?;
            if ignored.has(&path, kind.is_dir()) {
                self.left_out.extend(Some(name).filter(|name| name != PLUGDIGNORE));
            } else if kind.is_dir() {
                self.add_folder(folder, ignored, &path)?;
            } else if kind.is_file() {
                let about = entry.metadata().map_err(|error| unreadable(&path, error))?;
                self.files.push(File { name, path, size: about.len(), mode: about.permissions().mode() & 0o777 });
            } else {
                self.links.push(name);
            }
        }
        Ok(())
    }

    /// The archive of these with at most so many bytes. First the manifest, so that no other file of its name in the folder
    /// is taken for it (CONTRACT 6), then every file in the order of names.
    pub(super) fn zip(&self, manifest: &Manifest, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut archive = ZipWriter::new(Bounded { memory: Cursor::default(), limit });
        let failure = |path: &Path, error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => size::too_large(&self.files),
            _ => unreadable(path, error),
        };
        add(&mut archive, MANIFEST, &manifest.json, 0o644).map_err(|error| failure(&manifest.path, error))?;
        for File { name, path, mode, .. } in &self.files {
            // It may have grown since it was looked at.
            let bytes = files::read(path, LIMITS.file).map_err(|error| unreadable(path, error))?;
            add(&mut archive, name, &bytes, *mode).map_err(|error| failure(path, error))?;
        }
        let bytes = archive.finish().map_err(|error| failure(&manifest.path, error.into()))?;
        Ok(bytes.memory.into_inner())
    }

    /// The refusal of a package of these; if it is for a name that plugd keeps for itself, with what leaves that out.
    pub(super) fn refused(&self, failure: Failure) -> Failure {
        let is_reserved = |file: &&File| reserved(&file.name).is_some();
        match self.files.iter().find(is_reserved).filter(|_| failure.reason.as_deref() == Some("INVALID_PACKAGE")) {
            Some(File { name, .. }) => {
                let top = name.split_once('/').map_or_else(|| name.clone(), |(folder, _)| format!("{folder}/"));
                failure.hint(format!("rename it, or add `/{top}` to {PLUGDIGNORE}"))
            }
            None => failure,
        }
    }

    /// What is said of the links.
    pub(super) fn remark_on_links(&self) -> Option<String> {
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for link in &self.links {
            folders.entry(parent(link)).or_default().push(link);
        }
        let told: Vec<String> = folders
            .into_iter()
            .map(|(folder, links)| match links.as_slice() {
                [link] => (*link).to_owned(),
                several => format!("{} in {}", several.len(), if folder.is_empty() { "." } else { folder }),
            })
            .collect();
        let remedy = match self.links.iter().any(|link| is_module(link)) {
            true => {
                "install node_modules without them: `npm install --install-links`, `pnpm install --node-linker=hoisted`"
            }
            false if self.links.len() == 1 => "put what it leads to in its place",
            false => "put what they lead to in their place",
        };
        let are_left_out = "left out as links, or no files, which a package can't have";
        (!told.is_empty()).then(|| format!("{are_left_out}: {}; {remedy}", first_few(&told)))
    }
}

/// The folder of a name in a package; empty at the top.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Is this a package of `node_modules`, as `node_modules/a` and `node_modules/@scope/a` are?
fn is_module(name: &str) -> bool {
    let last = |folder: &str| folder.rsplit('/').next().unwrap_or_default().to_owned();
    let folder = parent(name);
    last(folder) == "node_modules" || last(folder).starts_with('@') && last(parent(folder)) == "node_modules"
}

/// The name of a file in the package.
fn name_of(dir: &Path, path: &Path) -> Result<String, Failure> {
    let name = path.strip_prefix(dir).unwrap_or(path).to_str().map(str::to_owned);
    name.ok_or_else(|| {
        Failure::new(format!("can't package {}: its name is not UTF-8", path.display())).exit(Exit::Refused)
    })
}

fn add(archive: &mut ZipWriter<Bounded>, name: &str, contents: &[u8], mode: u32) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(mode);
    archive.start_file(name, options)?;
    archive.write_all(contents)
}

/// Memory that takes no more than an archive may have: what follows would be compressed for nothing.
#[derive(Debug)]
struct Bounded {
    memory: Cursor<Vec<u8>>,
    limit: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.memory.position() + bytes.len() as u64 > self.limit {
            // The archive is given up. That it is brought to an end all the same is nobody's business.
            self.limit = u64::MAX;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.memory.seek(to)
    }
}

#[cfg(test)]
mod tests;
