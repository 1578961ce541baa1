//! A folder as an archive.

use std::{
    fs,
    io::{self, Cursor, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{
    contents::{Contents, File},
    limits,
    manifest::{MANIFEST, Manifest, YAML},
    unreadable,
};
use crate::{cli::failure::Failure, domain::package::LIMITS, files};

type Archive = ZipWriter<Bounded>;

/// A folder to be packaged.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Folder<'a> {
    /// Where it is.
    pub(in crate::cli) dir: &'a Path,
    /// Its manifest, if it is not where it usually is.
    pub(in crate::cli) manifest: Option<&'a Path>,
    /// Folders and files that are no part of the plugin, beside what is [`super::Ignored`].
    pub(in crate::cli) except: &'a [PathBuf],
}

impl Folder<'_> {
    /// The archive of these contents. First the manifest, so that no other file of its name in the folder is taken for it
    /// (CONTRACT 6), then every file in the order of names.
    ///
    /// # Errors
    /// A file can't be read, or the archive becomes larger than any server takes.
    pub(super) fn zip(&self, manifest: &Manifest, contents: &Contents) -> Result<Vec<u8>, Failure> {
        self.zip_within(LIMITS.archive, manifest, contents)
    }

    /// The same with at most so many bytes.
    pub(super) fn zip_within(&self, limit: u64, manifest: &Manifest, contents: &Contents) -> Result<Vec<u8>, Failure> {
        let mut archive = ZipWriter::new(Bounded { memory: Cursor::default(), limit });
        let failure = |path: &Path, error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => limits::too_large(&contents.files),
            _ => unreadable(path, error),
        };
        add(&mut archive, MANIFEST, &manifest.json, 0o644).map_err(|error| failure(&manifest.path, error))?;
        for File { name, path, mode, .. } in &contents.files {
            // It may have grown since it was looked at.
            let bytes = files::read(path, LIMITS.file).map_err(|error| unreadable(path, error))?;
            add(&mut archive, name, &bytes, *mode).map_err(|error| failure(path, error))?;
        }
        let bytes = archive.finish().map_err(|error| failure(self.dir, error.into()))?;
        Ok(bytes.memory.into_inner())
    }

    /// The manifest is written by itself, and in JSON only.
    pub(super) fn is_manifest(&self, path: &Path) -> bool {
        [MANIFEST].iter().chain(&YAML).any(|name| path == self.dir.join(name))
            || self.manifest.is_some_and(|manifest| is_same(path, manifest))
    }

    pub(super) fn is_excepted(&self, path: &Path) -> bool {
        self.except.iter().any(|other| is_same(path, other))
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
