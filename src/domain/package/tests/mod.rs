//! Archives for tests: good ones from a writer, bad ones by patching the bytes of good ones.

use std::io::{Cursor, Write};

use serde_json::json;
use zip::{
    ZipWriter,
    write::{FileOptionExtension, FileOptions, SimpleFileOptions},
};

use super::*;

mod hostile;
mod limits;
mod paths;

/// Offsets in a central directory header.
const FLAGS: usize = 8;
const METHOD: usize = 10;
const CRC: usize = 16;
const PACKED: usize = 20;
const SIZE: usize = 24;
const MODE: usize = 38;
const OFFSET: usize = 42;

/// The smallest manifest.
fn mk_manifest() -> Vec<u8> {
    json!({"id": "greeter", "author": "plugd", "name": "Greeter"}).to_string().into_bytes()
}

/// An archive that is being written; it begins with a manifest.
struct Zip(ZipWriter<Cursor<Vec<u8>>>);

impl Zip {
    fn bare() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }

    fn new() -> Self {
        Self::bare().file("manifest.json", &mk_manifest())
    }

    fn file(self, name: &str, contents: &[u8]) -> Self {
        self.entry(name, contents, SimpleFileOptions::default().unix_permissions(0o644))
    }

    fn entry<T: FileOptionExtension>(mut self, name: &str, contents: &[u8], options: FileOptions<'_, '_, T>) -> Self {
        self.0.start_file(name, options).unwrap();
        self.0.write_all(contents).unwrap();
        self
    }

    fn folder(mut self, name: &str) -> Self {
        self.0.add_directory(name, SimpleFileOptions::default()).unwrap();
        self
    }

    fn link(mut self, name: &str, target: &str) -> Self {
        self.0.add_symlink(name, target, SimpleFileOptions::default()).unwrap();
        self
    }

    fn build(self) -> Vec<u8> {
        self.0.finish().unwrap().into_inner()
    }
}

/// Writes over a field of an entry's header in the directory.
fn patch(mut bytes: Vec<u8>, name: &str, offset: usize, value: &[u8]) -> Vec<u8> {
    let at = header_of(&bytes, name) + offset;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// Reads a four-byte field of an entry's header in the directory.
fn field(bytes: &[u8], name: &str, offset: usize) -> [u8; 4] {
    let at = header_of(bytes, name) + offset;
    bytes[at..at + 4].try_into().unwrap()
}

fn header_of(bytes: &[u8], name: &str) -> usize {
    let is_header =
        |at: &usize| bytes[*at..].starts_with(b"PK\x01\x02") && bytes[*at + 46..].starts_with(name.as_bytes());
    (0..bytes.len()).find(is_header).unwrap()
}

/// Renames an entry, everywhere: writers refuse some names.
fn rename(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    renamed
}

fn read(bytes: Vec<u8>) -> Result<Package, Error> {
    Package::read(Bytes::from(bytes), &EventCatalog::any())
}

/// The package is refused for this entry, in words that contain these.
#[track_caller]
fn assert_refused(bytes: Vec<u8>, entry: &str, words: &str) {
    assert_refusal(&read(bytes).unwrap_err(), entry, words);
}

#[track_caller]
fn assert_refusal(error: &Error, entry: &str, words: &str) {
    assert_eq!(error.reason.name(), "INVALID_PACKAGE", "{error}");
    assert!(error.message.starts_with("The provided plugin file is invalid: "), "{error}");
    assert!(error.message.contains(words), "{error}");
    let named = error.metadata.get("entry").map_or("", String::as_str);
    assert_eq!(named, entry, "{error}");
    let field = if entry.is_empty() { "package".to_owned() } else { format!("package[{entry}]") };
    assert_eq!(error.violations[0].field, field);
}
