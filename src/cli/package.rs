//! From a folder to a package: a zip of what belongs into one, the same bytes for the same files.

use std::{
    fs,
    io::{self, Cursor, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::failure::Failure;

/// The manifest's file in a package.
pub(super) const MANIFEST: &str = "manifest.json";

/// Names that no package wants, wherever they are in the folder.
const IGNORED: [&str; 8] =
    [".git", "node_modules", "target", ".venv", "__pycache__", ".DS_Store", ".next", ".plugd-dev"];

/// What a package may have, CONTRACT section 6: bytes of the archive.
const MAX_ARCHIVE: u64 = 50 * 1024 * 1024;

/// A package, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// The archive.
    pub(super) bytes: Vec<u8>,
    /// "sha256:…" of it.
    pub(super) digest: String,
}

impl Package {
    fn new(bytes: Vec<u8>) -> Result<Self, Failure> {
        if bytes.len() as u64 > MAX_ARCHIVE {
            return Err(Failure::new(format!("the package has {} bytes, more than 50 MiB", bytes.len()))
                .hint("leave out what the plugin does not need to run"));
        }
        Ok(Self { digest: digest(&bytes), bytes })
    }

    /// The package at a path: a folder is packaged, an archive is taken as it is.
    ///
    /// # Errors
    /// It can't be read, or is too large.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let about = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if about.is_dir() {
            return Self::of_folder(path, &[]);
        }
        Self::new(fs::read(path).map_err(|error| unreadable(path, error))?)
    }

    /// Packages a folder, without what [`is_ignored`] and without the folders `except`.
    ///
    /// # Errors
    /// It has no manifest, can't be read, or makes too large a package.
    pub(super) fn of_folder(folder: &Path, except: &[PathBuf]) -> Result<Self, Failure> {
        if !folder.join(MANIFEST).is_file() {
            return Err(Failure::new(format!("there is no {MANIFEST} in {}", folder.display()))
                .hint("give the folder that holds the manifest")
                .exit(super::failure::Exit::NotFound));
        }
        let mut files = Vec::new();
        collect(folder, except, &mut files).map_err(|error| unreadable(folder, error))?;
        files.sort();
        Self::new(zip(folder, &files)?)
    }
}

/// "sha256:…" of some bytes.
#[must_use]
pub(super) fn digest(bytes: &[u8]) -> String {
    crate::domain::plugin::Digest(Sha256::digest(bytes).into()).to_string()
}

/// Does no package want what is at this path within its folder?
#[must_use]
pub(super) fn is_ignored(path: &Path) -> bool {
    path.iter().any(|part| IGNORED.iter().any(|ignored| part == *ignored))
}

fn collect(folder: &Path, except: &[PathBuf], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if is_ignored(Path::new(&entry.file_name())) {
            continue;
        }
        if kind.is_dir() && !is_one_of(&path, except) {
            collect(&path, except, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_one_of(path: &Path, folders: &[PathBuf]) -> bool {
    fs::canonicalize(path)
        .is_ok_and(|path| folders.iter().any(|folder| fs::canonicalize(folder).is_ok_and(|f| f == path)))
}

fn zip(folder: &Path, files: &[PathBuf]) -> Result<Vec<u8>, Failure> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for path in files {
        add(&mut archive, folder, path).map_err(|error| unreadable(path, error))?;
    }
    let bytes = archive.finish().map_err(|error| unreadable(folder, io::Error::from(error)))?;
    Ok(bytes.into_inner())
}

fn add(archive: &mut ZipWriter<Cursor<Vec<u8>>>, folder: &Path, path: &Path) -> io::Result<()> {
    let name = path.strip_prefix(folder).unwrap_or(path).to_str();
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8"))?;
    let contents = fs::read(path)?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(fs::metadata(path)?.permissions().mode() & 0o777);
    archive.start_file(name, options)?;
    archive.write_all(&contents)
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::from(error).about(format_args!("can't read {}", path.display()))
}

#[cfg(test)]
mod tests;
