//! A folder as an archive.

use std::{
    fs,
    io::{self, Cursor, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{
    ignored::{is_ignored, is_worth_a_word},
    manifest::{MANIFEST, Manifest, YAML},
    unreadable,
};
use crate::cli::failure::Failure;

type Archive = ZipWriter<Cursor<Vec<u8>>>;

/// A folder to be packaged.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Folder<'a> {
    /// Where it is.
    pub(in crate::cli) dir: &'a Path,
    /// Its manifest, if it is not where it usually is.
    pub(in crate::cli) manifest: Option<&'a Path>,
    /// Folders and files that are no part of the plugin, beside what [`is_ignored`].
    pub(in crate::cli) except: &'a [PathBuf],
}

impl Folder<'_> {
    /// The archive, and what its author may miss in it. First the manifest, so that no other file of its name in the folder is taken for it (CONTRACT 6), then
    /// every file in the order of names.
    ///
    /// # Errors
    /// A file can't be read.
    pub(super) fn zip(&self, manifest: &Manifest) -> Result<(Vec<u8>, Vec<String>), Failure> {
        let (mut files, mut missed) = (Vec::new(), Vec::new());
        self.collect(self.dir, &mut files, &mut missed).map_err(|error| unreadable(self.dir, error))?;
        files.sort();
        missed.sort();
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        add(&mut archive, MANIFEST, &manifest.json, 0o644).map_err(|error| unreadable(&manifest.path, error))?;
        for path in &files {
            self.add_file(&mut archive, path).map_err(|error| unreadable(path, error))?;
        }
        let bytes = archive.finish().map_err(|error| unreadable(self.dir, io::Error::from(error)))?;
        Ok((bytes.into_inner(), missed))
    }

    /// Links are left out: what they lead to may be anywhere.
    fn collect(&self, dir: &Path, files: &mut Vec<PathBuf>, missed: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if self.is_manifest(&path) || self.is_excepted(&path) {
                continue;
            }
            let within = path.strip_prefix(self.dir).unwrap_or(&path);
            if is_ignored(within) {
                let name = Some(within).filter(|_| is_worth_a_word(&entry.file_name()));
                missed.extend(name.map(|name| format!("{} is left out: its name begins with a dot", name.display())));
            } else if kind.is_dir() {
                self.collect(&path, files, missed)?;
            } else if kind.is_file() {
                files.push(path);
            } else {
                missed.push(format!("{} is left out: it is a link, or no file", within.display()));
            }
        }
        Ok(())
    }

    /// The manifest is written by itself, and in JSON only.
    fn is_manifest(&self, path: &Path) -> bool {
        [MANIFEST].iter().chain(&YAML).any(|name| path == self.dir.join(name))
            || self.manifest.is_some_and(|manifest| is_same(path, manifest))
    }

    fn is_excepted(&self, path: &Path) -> bool {
        self.except.iter().any(|other| is_same(path, other))
    }

    fn add_file(&self, archive: &mut Archive, path: &Path) -> io::Result<()> {
        let name = path.strip_prefix(self.dir).unwrap_or(path).to_str();
        let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8"))?;
        add(archive, name, &fs::read(path)?, fs::metadata(path)?.permissions().mode() & 0o777)
    }
}

fn is_same(path: &Path, other: &Path) -> bool {
    path.file_name() == other.file_name()
        && fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(other).is_ok_and(|other| other == path))
}

fn add(archive: &mut Archive, name: &str, contents: &[u8], mode: u32) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(mode);
    archive.start_file(name, options)?;
    archive.write_all(contents)
}
