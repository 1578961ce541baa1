//! What an archive's directory says that it holds, and where that belongs in the install directory (CONTRACT 6, "Path
//! safety"): checked before anything is decompressed.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::successors,
};

use zip::{CompressionMethod, read::ZipFileEntry};

use super::{super::error::Result, Archive, Limits, PackageFile, Refusal};

/// Bits of a Unix mode that say what kind of file it is.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Permissions of a file that has none in the archive (CONTRACT 7), and of one that was a link there.
const DEFAULT_MODE: u32 = 0o644;

/// Most bytes of one part of a path: what Linux file systems take.
const MAX_PART: usize = 255;

/// Most bytes of a path, so that with the install directory before it, it stays below what Linux takes.
const MAX_PATH: usize = 1024;

/// What is said of a path that leaves the install directory.
pub(super) const ESCAPES: &str = "archive entry escapes extraction directory";

#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Files, in the archive's order.
    pub(super) files: Vec<Planned>,
    /// Folders that it names.
    pub(super) folders: BTreeSet<String>,
    /// Bytes of all files, by the directory's word.
    total: u64,
    /// Bytes of all files as they lie in the archive.
    packed: u64,
}

/// A file and its place in the archive.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) index: usize,
    /// It is a symbolic link in the archive, and becomes an ordinary file with the link's text (CONTRACT 6).
    pub(super) is_link: bool,
    pub(super) file: PackageFile,
}

impl Layout {
    /// Reads the archive's directory.
    pub(super) fn plan(archive: &Archive<'_>, limits: &Limits) -> Result<Self> {
        if archive.len() > limits.entries {
            return Err(Refusal::archive(format!("it has more than {} entries", limits.entries)).into());
        }
        let mut layout = Self::default();
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(|error| Refusal::archive(error.to_string()))?;
            let name = entry.name().map_err(|error| Refusal::archive(error.to_string()))?;
            layout.add(index, &entry, limits).map_err(|why| Refusal::entry(&name, why))?;
        }
        layout.check_packed(archive)?;
        layout.check_conflicts()?;
        layout.check_folders(limits)?;
        Ok(layout)
    }

    fn add(&mut self, index: usize, entry: &ZipFileEntry<'_>, limits: &Limits) -> Result<(), String> {
        let name = entry.name().map_err(|error| error.to_string())?;
        let path = clean(&name)?;
        if is_folder(&name, entry) {
            return self.add_folder(path);
        }
        check_kind(&path, entry)?;
        self.count(entry, limits)?;
        let is_link = kind(entry) == LINK;
        let file = PackageFile { path, size: entry.size(), mode: mode(entry) };
        self.files.push(Planned { index, is_link, file });
        Ok(())
    }

    /// The install directory itself and its `logs` are there anyway.
    fn add_folder(&mut self, path: String) -> Result<(), String> {
        if path.is_empty() || path == "logs" {
            return Ok(());
        }
        if let Some(why) = reserved(&path) {
            return Err(why.to_owned());
        }
        self.folders.insert(path);
        Ok(())
    }

    fn count(&mut self, entry: &ZipFileEntry<'_>, limits: &Limits) -> Result<(), String> {
        self.total = self.total.saturating_add(entry.size());
        self.packed = self.packed.saturating_add(entry.compressed_size());
        if self.files.len() >= limits.files {
            return Err(format!("the archive has more than {} files", limits.files));
        }
        if entry.size() > limits.file {
            return Err(format!("it has more than {} bytes uncompressed", limits.file));
        }
        if self.total > limits.total {
            return Err(format!("the archive's files up to it have more than {} bytes uncompressed", limits.total));
        }
        Ok(())
    }

    /// Entries that share their data could make a small archive take for ever to read, even if they yield nothing.
    fn check_packed(&self, archive: &Archive<'_>) -> Result<()> {
        if self.packed > archive.central_directory_start() {
            return Err(Refusal::archive("its entries overlap: they claim more bytes than it has").into());
        }
        Ok(())
    }

    /// Two files with one path, or a file where another needs a folder.
    fn check_conflicts(&self) -> Result<()> {
        let mut paths: BTreeMap<&str, bool> = self.folders.iter().map(|path| (&**path, false)).collect();
        for Planned { file, .. } in &self.files {
            if let Some(is_file) = paths.insert(&file.path, true) {
                let other = if is_file { "file" } else { "folder" };
                return Err(Refusal::entry(&file.path, format!("the archive has another {other} there")).into());
            }
        }
        for Planned { file, .. } in &self.files {
            let inside = format!("{}/", file.path);
            if let Some((other, _)) = paths.range(&*inside..).next().filter(|(path, _)| path.starts_with(&inside)) {
                return Err(Refusal::entry(other, format!("{:?} is a file, not a folder", file.path)).into());
            }
        }
        Ok(())
    }

    /// One long path needs as many folders as it has parts, though the archive names none of them.
    fn check_folders(&self, limits: &Limits) -> Result<()> {
        let paths = self.files.iter().map(|planned| &*planned.file.path);
        let mut needed: BTreeSet<&str> = self.folders.iter().map(|path| &**path).collect();
        for path in paths.chain(self.folders.iter().map(|path| &**path)) {
            // A folder that is needed already has all of its own.
            let ancestors = successors(parent(path), |folder| parent(folder));
            let count = ancestors.take_while(|folder| needed.insert(folder)).count();
            if count > 0 && needed.len() > limits.entries {
                let message = format!("it needs more than {} folders", limits.entries);
                return Err(Refusal::archive(message).into());
            }
        }
        Ok(())
    }
}

fn is_folder(name: &str, entry: &ZipFileEntry<'_>) -> bool {
    name.ends_with('/') || kind(entry) == FOLDER
}

fn kind(entry: &ZipFileEntry<'_>) -> u32 {
    entry.unix_mode().unwrap_or_default() & KIND
}

fn mode(entry: &ZipFileEntry<'_>) -> u32 {
    match entry.unix_mode().unwrap_or_default() & 0o777 {
        0 => DEFAULT_MODE,
        _ if kind(entry) == LINK => DEFAULT_MODE,
        bits => bits | 0o400,
    }
}

fn check_kind(path: &str, entry: &ZipFileEntry<'_>) -> Result<(), String> {
    if path.is_empty() {
        return Err("it has no name".to_owned());
    }
    if let Some(why) = reserved(path) {
        return Err(why.to_owned());
    }
    if entry.encrypted() {
        return Err("it is encrypted; leave it unencrypted".to_owned());
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        other => Err(format!("its compression method ({other}) is not supported; use deflate or none")),
    }
}

/// The path that this name has in the install directory, as if joined to it and cleaned: an absolute name lands inside,
/// a backslash is an ordinary character. Empty if it is the install directory itself.
pub fn clean(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("it has no name");
    }
    if name.contains('\0') {
        return Err("its name has a NUL character");
    }
    let path = join("", name).ok_or(ESCAPES)?;
    match path.len() > MAX_PATH || path.split('/').any(|part| part.len() > MAX_PART) {
        true => Err("its name is too long"),
        false => Ok(path),
    }
}

/// Whether a link at `path` with this text leads out of the install directory.
pub(super) fn leads_out(path: &str, target: &str) -> bool {
    let folder = parent(path).unwrap_or_default();
    target.starts_with('/') || join(folder, target).is_none()
}

/// `name` within the clean path `folder`, cleaned; none if it leaves the root, even for a moment: the root's own name
/// is nothing that an archive may know.
fn join(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Why plugd keeps this path of the install directory for itself, if it does: its markers, and the logs.
pub fn reserved(path: &str) -> Option<&'static str> {
    let top = path.split('/').next().unwrap_or_default();
    if top == "logs" {
        Some("\"logs\" is where plugd writes the plugin's logs; leave it out or name it otherwise")
    } else if top == ".sdxlock" || top.starts_with(".plugd") {
        Some("the name is reserved for plugd; leave it out or name it otherwise")
    } else {
        None
    }
}

/// The folder that a path is in; none for what is at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}
