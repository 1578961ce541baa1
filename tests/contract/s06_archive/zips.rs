//! Archives: good ones by a writer, others by changes to the bytes of good ones.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::harness::chaos_manifest;

/// Where a header of the directory has the uncompressed size of its entry.
pub(super) const SIZE: usize = 24;
/// Where it has the checksum.
pub(super) const CRC: usize = 16;
/// Where it has the mode.
pub(super) const MODE: usize = 40;

/// An archive in the making.
pub(super) struct Zip(ZipWriter<Cursor<Vec<u8>>>);

impl Zip {
    /// With nothing in it.
    pub(super) fn empty() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }

    /// With the manifest of a plugin that behaves.
    pub(super) fn new() -> Self {
        Self::empty().file("manifest.json", manifest().as_bytes())
    }

    /// A file as it is.
    pub(super) fn file(mut self, name: &str, contents: &[u8]) -> Self {
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o644);
        self.0.start_file(name, options).unwrap();
        self.0.write_all(contents).unwrap();
        self
    }

    /// A file of so many zeros, compressed.
    pub(super) fn zeros(mut self, name: &str, length: usize) -> Self {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.0.start_file(name, options).unwrap();
        self.0.write_all(&vec![0; length]).unwrap();
        self
    }

    /// A folder.
    pub(super) fn folder(mut self, name: &str) -> Self {
        self.0.add_directory(name, SimpleFileOptions::default()).unwrap();
        self
    }

    /// A symbolic link.
    pub(super) fn link(mut self, name: &str, target: &str) -> Self {
        self.0.add_symlink(name, target, SimpleFileOptions::default()).unwrap();
        self
    }

    pub(super) fn build(self) -> Vec<u8> {
        self.0.finish().unwrap().into_inner()
    }
}

/// The manifest of a plugin that behaves.
pub(super) fn manifest() -> String {
    chaos_manifest(&["tame"]).to_string()
}

/// The same package with a field of an entry's header in the directory overwritten.
pub(super) fn patched(mut archive: Vec<u8>, name: &str, field: usize, value: &[u8]) -> Vec<u8> {
    let is_header = |at: &usize| {
        archive[*at..].starts_with(b"PK\x01\x02")
            && archive.get(*at + 46..).is_some_and(|rest| rest.starts_with(name.as_bytes()))
    };
    let at = (0..archive.len()).find(is_header).unwrap() + field;
    archive[at..at + value.len()].copy_from_slice(value);
    archive
}

/// The same package with a name changed wherever it stands: writers refuse some names.
pub(super) fn renamed(mut archive: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    for at in 0..=archive.len() - from.len() {
        if archive[at..].starts_with(from.as_bytes()) {
            archive[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    archive
}
